"""Everything one device tells of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from farsite_edge.devices.manager import DeviceManager
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.vapix import Api
from farsite_edge.vapix.config_discovery import RestApi
from farsite_edge.vapix.ipv6 import IPv6Info, IPv6Settings
from farsite_edge.vapix.network import NetworkInfo
from farsite_signaling.wire.device_api import ApiVersion, DeviceDetails, NetworkSettings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_versions import version_tuple

T = TypeVar("T")
GROUPS = ("Properties", "Audio.NbrOfConfigs")
EMBEDDED = "Properties.EmbeddedDevelopment.Version"


async def read_details(record: DeviceRecord, client: Any) -> DeviceDetails:
    """What cannot be read is named; what ends the log-in is raised."""
    reading = _Reading()
    info = await client.info()
    ready = await reading.take("whether it is ready", client.system_ready())
    rights = await reading.take("the rights of the account", client.rights())
    apis = await reading.take("its APIs", client.apis()) or []
    rest = await reading.take("its REST APIs", client.rest_apis()) or []
    firmware = (
        await reading.take("its firmware", client.firmware_status()) if _has_fwmgr(info, apis) else None
    )
    values = await reading.take("its properties", client.parameters(*GROUPS)) or {}
    network = await reading.take("its network settings", client.network())
    ipv6 = await reading.take("its IPv6 settings", client.ipv6())
    return DeviceDetails(
        device=record.shown(),
        **{name: getattr(info, name) for name in _INFO},
        uptime=ready.uptime if ready else None,
        boot_id=ready.boot_id if ready else None,
        account=rights.user if rights else "",
        account_groups=sorted(rights.groups) if rights else [],
        inactive_version=firmware.inactive if firmware else None,
        capabilities=capabilities(values, apis, rest),
        apis=listed(apis, rest),
        network=shown_network(network, ipv6) if network else None,
        problems=reading.problems,
    )


_INFO = ("full_name", "brand", "variant", "hardware_id", "architecture", "soc", "build_date")


class _Reading:
    def __init__(self) -> None:
        self.problems: list[str] = []

    async def take(self, what: str, question: Awaitable[T]) -> T | None:
        try:
            return await question
        except FarsiteError as error:
            if error.code is not ErrorCode.DEVICE_ANSWER:
                raise
            self.problems.append(f"Could not read {what}: {error.detail}"[:300])
            return None


def _has_fwmgr(info: Any, apis: Sequence[Api]) -> bool:
    return any(api.id == "fwmgr" for api in apis) or info.version_tuple >= (7, 40)


def capabilities(values: Mapping[str, str], apis: Sequence[Api], rest: Sequence[RestApi]) -> list[str]:
    """In words, from what the device offers; sorted."""
    ids = {api.id for api in apis} | {api.id for api in rest}
    offered = {
        "video": bool(values.get("Properties.Image.Format")),
        "audio": values.get("Properties.Audio.Audio", "").lower() == "yes"
        or _number(values.get("Audio.NbrOfConfigs")) > 0,
        "ptz": values.get("Properties.PTZ.PTZ", "").lower() == "yes",
        "apps": version_tuple(values.get(EMBEDDED, "")) >= (1, 20) or "application" in ids,
        "storage": values.get("Properties.LocalStorage.LocalStorage", "").lower() == "yes"
        or "disk-management" in ids,
        "firmware": "fwmgr" in ids,
        "network": "network-settings" in ids,
        "certificates": "cert" in ids,
        "firewall": "firewall" in ids,
        "rest": bool(rest),
        "events": "event-streaming-over-websocket" in ids,
        "mqtt": "mqtt-client" in ids,
        "ports": "io-port-management" in ids,
    }
    return sorted(name for name, has in offered.items() if has)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else 0


def listed(apis: Sequence[Api], rest: Sequence[RestApi]) -> list[ApiVersion]:
    classic = [ApiVersion(id=api.id, version=api.version, state=api.status) for api in apis]
    return classic + [ApiVersion(id=api.id, version=api.version, state=api.state, rest=True) for api in rest]


async def read_network(manager: DeviceManager, device: str) -> NetworkSettings:
    """Raises `device_…`, `conflict` while somebody works on it."""
    async with manager.logged_in(device) as client:
        return shown_network(await client.network(), await client.ipv6())


def shown_network(network: NetworkInfo, ipv6: IPv6Info | None = None) -> NetworkSettings:
    ipv4, six = network.ipv4, ipv6.settings if ipv6 else IPv6Settings("")
    return NetworkSettings(
        interface=network.interface,
        mode=ipv4.mode,
        address=f"{ipv4.address}/{ipv4.prefix}" if ipv4.address else "",
        router=ipv4.router,
        addresses=list(network.addresses),
        mac=network.mac,
        hostname=network.hostname,
        name_servers=list(network.name_servers),
        ipv6=network.ipv6,
        ipv6_mode=six.mode,
        ipv6_address=six.address,
        ipv6_router=six.router,
    )
