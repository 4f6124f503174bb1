"""The REST API `snmp` of a simulated device: another way to what its parameters say (developer.axis.com, SNMP API)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farsite_edge.simulator.firewall import Invalid

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice

_NAMES = {
    "enabled": "SNMP.Enabled",
    "snmpV1.enabled": "SNMP.V1",
    "snmpV2.enabled": "SNMP.V2c",
    "snmpV3.enabled": "SNMP.V3",
}


def shown(device: SimulatedDevice) -> dict[str, Any]:
    values: dict[str, Any] = {"engineBoots": 1, "transportProtocol": "udp"}
    for path, parameter in _NAMES.items():
        entity, _, name = path.rpartition(".")
        place = values.setdefault(entity, {}) if entity else values
        place[name] = device.parameters.get(parameter) == "yes"
    return values


def change(device: SimulatedDevice, path: str, data: Any) -> None:
    """A property by its path, or several of an entity. Raises `Invalid`; nothing is changed then."""
    changes = dict(_flat(path.replace("/", "."), data))
    if not changes or not all(name in _NAMES and isinstance(value, bool) for name, value in changes.items()):
        raise Invalid(5, "Validation failed")
    for name, value in changes.items():
        device.parameters[_NAMES[name]] = "yes" if value else "no"


def _flat(path: str, data: Any) -> list[tuple[str, Any]]:
    if not isinstance(data, dict):
        return [(path, data)]
    return [one for name, value in data.items() for one in _flat(f"{path}.{name}".lstrip("."), value)]
