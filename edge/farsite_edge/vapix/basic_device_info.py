"""`basicdeviceinfo.cgi` (AXIS OS 8.40 and newer), and the same facts from parameters for older firmware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from farsite_edge.vapix import json_api
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.text import clean, serial_of
from farsite_signaling.wire.os_versions import version_tuple

PATH = "/axis-cgi/basicdeviceinfo.cgi"
PARAMETER_GROUPS = ("Brand", "Properties.Firmware", "Properties.System")


@dataclass(frozen=True)
class DeviceInfo:
    """Who a device is. `serial` is 12 upper-case hex digits, or empty when the device does not tell."""

    serial: str
    model: str  # ProdNbr, such as P3265-V
    product: str = ""  # ProdShortName, such as AXIS P3265-V
    full_name: str = ""
    device_type: str = ""  # ProdType, such as Dome Camera
    brand: str = ""
    variant: str = ""
    version: str = ""
    build_date: str = ""
    hardware_id: str = ""
    architecture: str = ""
    soc: str = ""

    @property
    def version_tuple(self) -> tuple[int, ...]:
        return version_tuple(self.version)


_PROPERTIES = {
    "model": "ProdNbr",
    "product": "ProdShortName",
    "full_name": "ProdFullName",
    "device_type": "ProdType",
    "brand": "Brand",
    "variant": "ProdVariant",
    "version": "Version",
    "build_date": "BuildDate",
    "hardware_id": "HardwareID",
    "architecture": "Architecture",
    "soc": "Soc",
}
_PARAMETERS = {
    "model": "Brand.ProdNbr",
    "product": "Brand.ProdShortName",
    "full_name": "Brand.ProdFullName",
    "device_type": "Brand.ProdType",
    "brand": "Brand.Brand",
    "variant": "Brand.ProdVariant",
    "version": "Properties.Firmware.Version",
    "build_date": "Properties.Firmware.BuildDate",
    "hardware_id": "Properties.System.HardwareID",
    "architecture": "Properties.System.Architecture",
    "soc": "Properties.System.Soc",
}


def info_from_parameters(values: Mapping[str, str]) -> DeviceInfo:
    """For firmware before 8.40: the groups of `PARAMETER_GROUPS`, names without `root.`."""
    serial = serial_of(values.get("Properties.System.SerialNumber")) or ""
    return _info(serial, values, _PARAMETERS)


def _info(serial: str, source: Mapping[str, Any], names: Mapping[str, str]) -> DeviceInfo:
    return DeviceInfo(serial=serial, **{ours: clean(source.get(theirs)) for ours, theirs in names.items()})


class _InfoRequest(ApiRequest[DeviceInfo]):
    path = PATH
    content_type = json_api.JSON
    api_method: ClassVar[str]

    def body(self) -> bytes:
        return json_api.build(self.api_method)

    def parse(self, answer: Answer) -> DeviceInfo:
        properties = json_api.parse(answer).get("propertyList")
        if not isinstance(properties, dict):
            raise bad_answer("device information without properties")
        serial = serial_of(properties.get("SerialNumber"))
        if serial is None:
            raise bad_answer("device information without a serial number")
        return _info(serial, properties, _PROPERTIES)


class GetAllProperties(_InfoRequest):
    """Needs an operator; adds architecture and SoC."""

    api_method = "getAllProperties"


class GetAllUnrestrictedProperties(_InfoRequest):
    """Needs no account, works on a factory-new device. Firmware 8.45 does not know it (error 2004)."""

    anonymous = True
    api_method = "getAllUnrestrictedProperties"
