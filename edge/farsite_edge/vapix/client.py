"""The requests of this package by name, and what takes their place on older firmware."""

from __future__ import annotations

from collections.abc import Mapping

from farsite_edge.vapix.api_discovery import Api, GetApiList
from farsite_edge.vapix.basic_device_info import (
    PARAMETER_GROUPS,
    DeviceInfo,
    GetAllProperties,
    GetAllUnrestrictedProperties,
    info_from_parameters,
)
from farsite_edge.vapix.config_discovery import GetRestApis, RestApi
from farsite_edge.vapix.errors import (
    UNKNOWN_METHOD,
    ApiError,
    ApiMissing,
    OtherDevice,
    Refused,
    bad_answer,
    named,
)
from farsite_edge.vapix.firmware import (
    CommitFirmware,
    FactoryDefault,
    FirmwareStatus,
    GetFirmwareStatus,
    RebootDevice,
    RollbackFirmware,
    UpgradeFirmware,
)
from farsite_edge.vapix.ipv6 import PARAMETER_GROUPS as IPV6_GROUPS
from farsite_edge.vapix.ipv6 import IPv6Info, IPv6Settings, ipv6_parameters, read_ipv6
from farsite_edge.vapix.network import PARAMETER_GROUPS as NETWORK_GROUPS
from farsite_edge.vapix.network import (
    GetNetworkInfo,
    IPv4Settings,
    NetworkInfo,
    SetHostName,
    SetIPv4,
    SetNameServers,
    from_parameters,
    host_name_parameters,
    name_server_parameters,
    to_parameters,
)
from farsite_edge.vapix.onvif_users import GetOnvifUsers, OnvifUser, SetOnvifUser
from farsite_edge.vapix.parameters import ListParameters, ParameterList, UpdateParameters
from farsite_edge.vapix.power import LegacyFactoryDefault, LegacyHardFactoryDefault, LegacyRestart
from farsite_edge.vapix.sender import RequestSender
from farsite_edge.vapix.snapshot import GetSnapshot
from farsite_edge.vapix.system_ready import GetSystemReady, SystemReady
from farsite_edge.vapix.usergroup import GetRights, Rights
from farsite_edge.vapix.users import AddFirstUser, AddUser, GetUsers, RemoveUser, Role, UpdateUser, User
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class DeviceClient(RequestSender):
    """The one way Farsite talks to a device."""

    async def system_ready(self, wait: int = 0) -> SystemReady:
        """Needs no account. Firmware before 9.50 cannot tell: there a device that answers counts as ready."""
        request = GetSystemReady(wait)
        try:
            return await self.send(request)
        except ApiMissing:
            return SystemReady(ready=True, setup_required=False, told=False)
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_SETUP_REQUIRED:
                return SystemReady(ready=True, setup_required=True)
            raise

    async def unrestricted_info(self) -> DeviceInfo:
        """What a device tells everyone. Raises `ApiMissing` or `ApiError` on firmware that tells nothing."""
        return await self.send(GetAllUnrestrictedProperties())

    async def info(self) -> DeviceInfo:
        """All facts, with credentials; read from parameters on firmware before 8.40."""
        try:
            return await self.send(GetAllProperties())
        except ApiMissing:
            return await self._info_from_parameters()
        except ApiError as error:
            if error.api_code not in UNKNOWN_METHOD:
                raise
            return await self._info_from_parameters()

    async def _info_from_parameters(self) -> DeviceInfo:
        info = info_from_parameters((await self.read_parameters(*PARAMETER_GROUPS)).values)
        if not info.serial:
            raise named(bad_answer("parameters without a serial number"), self.name)
        return info

    async def apis(self) -> list[Api]:
        """The JSON APIs; none on firmware before 8.50."""
        try:
            return await self.send(GetApiList())
        except ApiMissing:
            return []

    async def parameters(self, *groups: str) -> dict[str, str]:
        """Values by name without `root.`; groups the device has not are left out (`read_parameters` names them)."""
        return (await self.read_parameters(*groups)).values

    async def read_parameters(self, *groups: str) -> ParameterList:
        return await self.send(ListParameters(groups))

    async def update_parameters(self, values: Mapping[str, str]) -> dict[str, str]:
        """Change parameters, then read them back: the values the device has now."""
        request = UpdateParameters(values)
        await self.send(request)
        return await self.parameters(*request.values)

    async def rights(self) -> Rights:
        return await self.send(GetRights())

    async def users(self) -> list[User]:
        return await self.send(GetUsers())

    async def add_user(self, name: str, password: str, role: Role = Role.ADMIN, *, ptz: bool = True) -> None:
        await self.send(AddUser(name, password, role, ptz=ptz))

    async def add_first_user(self, name: str, password: str) -> None:
        """Set up a factory-new device. Firmware before 11.5 accepts only `root`."""
        await self.send(AddFirstUser(name, password))

    async def update_user(
        self, name: str, *, password: str | None = None, role: Role | None = None, ptz: bool = False
    ) -> None:
        """After changing the password in use, make a new client with the new one."""
        await self.send(UpdateUser(name, password=password, role=role, ptz=ptz))

    async def remove_user(self, name: str) -> None:
        await self.send(RemoveUser(name))

    async def onvif_users(self) -> list[OnvifUser]:
        """None where the device has none apart, or answers no ONVIF."""
        try:
            return await self.send(GetOnvifUsers())
        except FarsiteError as error:
            if error.code is not ErrorCode.DEVICE_ANSWER or isinstance(error, OtherDevice):
                raise
            return []

    async def set_onvif_user(self, user: OnvifUser, password: str) -> None:
        await self.send(SetOnvifUser(user, password))

    async def snapshot(
        self, resolution: str | None = None, *, camera: int | None = None, compression: int | None = None
    ) -> bytes:
        """A JPEG picture. Raises `ApiMissing` on devices without video."""
        return await self.send(GetSnapshot(resolution, camera, compression))

    async def firmware_status(self) -> FirmwareStatus:
        """Raises `ApiMissing` on firmware before 7.40."""
        return await self.send(GetFirmwareStatus())

    async def upgrade(self, request: UpgradeFirmware, *, timeout: float) -> str:
        """Send an image; the version the device says it installs. It restarts then, so the answer may be lost."""
        # A small question first: the image is sent once, with the answer to the device's challenge.
        await self.firmware_status()
        return await self.send_slowly(request, timeout=timeout)

    async def commit(self) -> None:
        await self.send(CommitFirmware())

    async def rollback(self) -> None:
        await self.send(RollbackFirmware())

    async def restart(self) -> None:
        """The answer may be lost with the connection."""
        try:
            await self.send(RebootDevice())
        except ApiMissing:
            await self.send(LegacyRestart())

    async def factory_default(self, *, hard: bool) -> None:
        """`hard` forgets the network settings too. It restarts without accounts."""
        try:
            await self.send(FactoryDefault("hard" if hard else "soft"))
        except ApiMissing:
            await self.send(LegacyHardFactoryDefault() if hard else LegacyFactoryDefault())

    async def rest_apis(self) -> list[RestApi]:
        """None on firmware before 11.8."""
        try:
            return await self.send(GetRestApis())
        except ApiMissing:
            return []

    async def network(self) -> NetworkInfo:
        try:
            return await self.send(GetNetworkInfo())
        except Refused as error:
            if not isinstance(error, ApiMissing) and getattr(error, "api_code", 0) not in UNKNOWN_METHOD:
                raise
            return from_parameters(await self.parameters(*NETWORK_GROUPS))

    async def set_ipv4(self, network: NetworkInfo, settings: IPv4Settings) -> None:
        """`network` is what `network()` gave. The connection may break before the answer."""
        if network.by_api:
            await self.send(SetIPv4(network.interface, settings))
        else:
            await self.send(UpdateParameters(to_parameters(settings)))

    async def ipv6(self) -> IPv6Info | None:
        """None where the firmware has no such settings."""
        return read_ipv6(await self.parameters(*IPV6_GROUPS))

    async def set_ipv6(self, info: IPv6Info, settings: IPv6Settings) -> None:
        """The connection may break before the answer."""
        await self.send(UpdateParameters(ipv6_parameters(settings, info)))

    async def set_host_name(self, network: NetworkInfo, name: str) -> None:
        parameters = UpdateParameters(host_name_parameters(name))
        await self.send(SetHostName(name) if network.by_api else parameters)

    async def set_name_servers(self, network: NetworkInfo, servers: tuple[str, ...]) -> None:
        """Firmware without the CGI takes two."""
        parameters = UpdateParameters(name_server_parameters(servers))
        await self.send(SetNameServers(servers) if network.by_api else parameters)
