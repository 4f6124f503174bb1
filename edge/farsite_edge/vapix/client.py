"""The one way Farsite talks to a device: any request of this package, over HTTP or HTTPS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from farsite_edge.vapix.api_discovery import Api, GetApiList
from farsite_edge.vapix.authentication import Authenticator, Credentials, realm_serial
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
from farsite_edge.vapix.pin import pin_bytes, read_pin, trust_in
from farsite_edge.vapix.power import LegacyFactoryDefault, LegacyHardFactoryDefault, LegacyRestart
from farsite_edge.vapix.report import GetServerReport
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.snapshot import GetSnapshot
from farsite_edge.vapix.system_ready import GetSystemReady, SystemReady
from farsite_edge.vapix.text import clean, serial_of
from farsite_edge.vapix.transport import (
    CONNECT_TIMEOUT,
    TOTAL_TIMEOUT,
    check_address,
    check_port,
    device_errors,
    device_url,
    exchange,
    parts,
    streaming,
)
from farsite_edge.vapix.usergroup import GetRights, Rights
from farsite_edge.vapix.users import AddFirstUser, AddUser, GetUsers, RemoveUser, Role, UpdateUser, User
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

T = TypeVar("T")
REPORT_TIMEOUT = 180.0
"""Seconds until a server report begins: the device puts it together first."""


class DeviceClient:
    """Speaks with one device. HTTPS is used when `https_port` is given, plain HTTP only when it is not.

    `pin` is the SHA-256 of the device's certificate. Without one the certificate met first is trusted, and
    `pin` then holds it: store it. `serial`, when given, must match the realm of the device's challenge, so that a
    password never goes to another device that took over the address. `allow_basic_http` lets a device that offers
    nothing else have the password in clear text.

    Every method raises `FarsiteError` with a `device_…` code (`invalid_request` for arguments that make no sense).
    The session is the caller's; the client keeps nothing open.
    """

    def __init__(
        self,
        address: str,
        *,
        http_port: int = 80,
        https_port: int | None = None,
        credentials: Credentials | None = None,
        pin: str | None = None,
        session: aiohttp.ClientSession,
        serial: str | None = None,
        allow_basic_http: bool = False,
        timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        self.address = check_address(address)
        self.secure = https_port is not None
        self.port = check_port(https_port if https_port is not None else http_port)
        self.pin = pin_bytes(pin).hex() if pin else None
        self._pinned = self.secure and pin is not None
        self._serial = serial_of(serial) if serial else None
        self._session = session
        self._timeout = timeout
        self._allow_basic_http = allow_basic_http
        self._authenticator = self._authenticator_for(credentials)

    def _authenticator_for(self, credentials: Credentials | None) -> Authenticator:
        return Authenticator(credentials, secure=self.secure, allow_basic_http=self._allow_basic_http)

    def log_in_as(self, name: str, password: str) -> None:
        """From now on with this account."""
        self._authenticator = self._authenticator_for(Credentials(name, password))

    @property
    def name(self) -> str:
        """How errors call the device."""
        place = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self._serial} at {place}:{self.port}" if self._serial else f"{place}:{self.port}"

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

    async def send_slowly(self, request: ApiRequest[T], *, timeout: float) -> T:
        """A request that takes longer than others: `timeout` seconds at most."""
        self._timeout, before = timeout, self._timeout
        try:
            return await self.send(request)
        finally:
            self._timeout = before

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

    async def realm_serial(self) -> str | None:
        """Whose account the device asks for, without sending any; None when it asks for none or does not say."""
        if self.secure and self.pin is None:
            await self.read_pin()
        url = device_url(self.secure, self.address, self.port, GetRights())
        try:
            _, challenges = await self._exchange(url, GetRights(), None)
        except FarsiteError as error:
            raise named(error, self.name) from None
        return realm_serial(challenges)

    @asynccontextmanager
    async def report(self, request: GetServerReport) -> AsyncIterator[AsyncIterator[bytes]]:
        """The parts of a server report, as they come."""
        if self.secure and self.pin is None:
            await self.read_pin()
        url = device_url(self.secure, self.address, self.port, request)
        try:
            header = await self._answered(request, url)
            trust = trust_in(self.pin) if self.secure and self.pin else None
            way = {"authorization": header, "trust": trust, "first_byte": REPORT_TIMEOUT}
            async with streaming(self._session, url, request, **way) as response:  # type: ignore[arg-type]
                if response.status != 200:
                    self._refuse_report(request, response)
                yield parts(response, request.limit, self._timeout)
        except FarsiteError as error:
            raise named(error, self.name) from None

    async def _answered(self, request: GetServerReport, url: URL) -> str | None:
        """The answer to the challenge of a small question, good for a large one."""
        rights = GetRights()
        asked = device_url(self.secure, self.address, self.port, rights)
        answer, challenges = await self._exchange(asked, rights, None)
        if answer.status != 401:
            return None
        await self._check_realm(challenges)
        return self._authenticator.answer(challenges, request.method, url.raw_path_qs, tried=False)[0]

    def _refuse_report(self, request: GetServerReport, response: aiohttp.ClientResponse) -> None:
        if response.status == 401 and "Authorization" in response.request_info.headers:
            raise self._authenticator.refused()
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._checked(request, Answer(response.status, b"", headers))

    async def read_pin(self) -> str:
        """Pin of the certificate the device has now, remembered if none was. Needs `https_port`."""
        url = URL.build(scheme="https", host=self.address, port=self.port)
        try:
            with device_errors(url, CONNECT_TIMEOUT):
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    seen = await read_pin(self.address, self.port)
        except FarsiteError as error:
            raise named(error, self.name) from None
        self.pin = self.pin or seen
        return seen

    async def send(self, request: ApiRequest[T]) -> T:
        """Any request of this package."""
        if self.secure and self.pin is None:
            await self.read_pin()
        try:
            return request.parse(self._checked(request, await self._authenticated(request)))
        except FarsiteError as error:
            raise named(error, self.name) from None

    async def _authenticated(self, request: ApiRequest[T]) -> Answer:
        url = device_url(self.secure, self.address, self.port, request)
        target = url.raw_path_qs
        header = None if request.anonymous else self._authenticator.first(request.method, target)
        if header is None and request.length() is not None:
            header = await self._challenged(url, request.method, target)
        answer, challenges = await self._exchange(url, request, header)
        if answer.status != 401 or request.anonymous or "axis-setup" in answer.headers:
            return answer
        await self._check_realm(challenges)
        again, chosen = self._authenticator.answer(
            challenges, request.method, target, tried=header is not None
        )
        answer, _ = await self._exchange(url, request, again)
        if answer.status == 401:
            raise self._authenticator.refused()
        self._authenticator.accepted(chosen)
        return answer

    async def _challenged(self, url: URL, method: str, target: str) -> str | None:
        """The header for a body too large to be sent twice: the challenge of an empty request is answered."""
        answer, challenges = await self._exchange(url, _Nothing(), None)
        if answer.status != 401 or "axis-setup" in answer.headers:
            return None
        await self._check_realm(challenges)
        return self._authenticator.answer(challenges, method, target, tried=False)[0]

    async def _exchange(
        self, url: URL, request: ApiRequest[Any], authorization: str | None
    ) -> tuple[Answer, list[str]]:
        trust = trust_in(self.pin) if self.secure and self.pin else None
        return await exchange(
            self._session, url, request, authorization=authorization, trust=trust, timeout=self._timeout
        )

    async def _check_realm(self, challenges: list[str]) -> None:
        """Before a password goes out: is this the device it is for? A certificate that was remembered says so; else
        the realm, else what the device tells everyone."""
        if self._serial is None:
            return
        met = realm_serial(challenges)
        if met is None and not self._pinned:
            met = await self._told_serial()
        if met is not None and met != self._serial:
            raise OtherDevice(met)

    async def _told_serial(self) -> str:
        request = GetAllUnrestrictedProperties()
        url = device_url(self.secure, self.address, self.port, request)
        try:
            answer, _ = await self._exchange(url, request, None)
            return request.parse(self._checked(request, answer)).serial
        except Refused:
            raise FarsiteError(
                ErrorCode.DEVICE_ANSWER,
                "It does not say which device it is, so the password was not sent. Check that it is the device meant.",
            ) from None

    def _checked(self, request: ApiRequest[T], answer: Answer) -> Answer:
        if answer.status in request.accepts:
            return answer
        if "axis-setup" in answer.headers:
            raise FarsiteError(
                ErrorCode.DEVICE_SETUP_REQUIRED, "It is factory new: set the password of its first account."
            )
        raise _status_error(request.path, answer)


class _Nothing(ApiRequest[None]):
    """Sent to be challenged."""

    path = "/"

    def parse(self, answer: Answer) -> None:
        return None


def _status_error(path: str, answer: Answer) -> FarsiteError:
    match answer.status:
        case 401:
            return FarsiteError(
                ErrorCode.DEVICE_CREDENTIALS, "The device asks for an account. Log in to it first."
            )
        case 403:
            detail = f"The account may not use {path}. Log in as an administrator of the device."
            return FarsiteError(ErrorCode.DEVICE_CREDENTIALS, detail)
        case 404:
            return ApiMissing(path)
        case 503:
            detail = "It is busy or starting. Try again in a minute."
            return FarsiteError(ErrorCode.DEVICE_UNREACHABLE, detail, retry_after=60)
        case status if 300 <= status < 400:
            place = clean(answer.headers.get("location"), 100)
            return bad_answer(f"a redirection to {place!r}, which is not followed; it may ask for HTTPS")
        case status:
            return bad_answer(f"HTTP status {status} for {path}")
