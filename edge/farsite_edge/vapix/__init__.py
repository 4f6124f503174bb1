"""VAPIX, the HTTP API of Axis devices: typed requests and answers (free of I/O) and one client for all of them."""

from __future__ import annotations

from farsite_edge.vapix.api_discovery import Api, ApiStatus
from farsite_edge.vapix.authentication import Credentials
from farsite_edge.vapix.basic_device_info import DeviceInfo
from farsite_edge.vapix.client import DeviceClient
from farsite_edge.vapix.errors import ApiError, ApiMissing, Refused
from farsite_edge.vapix.firmware import FirmwareStatus, UpgradeFirmware
from farsite_edge.vapix.parameters import ParameterList, is_masked
from farsite_edge.vapix.system_ready import SystemReady
from farsite_edge.vapix.text import clean, serial_of
from farsite_edge.vapix.usergroup import Rights
from farsite_edge.vapix.users import Role, User

__all__ = [
    "Api",
    "ApiError",
    "ApiMissing",
    "ApiStatus",
    "Credentials",
    "DeviceClient",
    "DeviceInfo",
    "FirmwareStatus",
    "ParameterList",
    "Refused",
    "Rights",
    "Role",
    "SystemReady",
    "UpgradeFirmware",
    "User",
    "clean",
    "is_masked",
    "serial_of",
]
