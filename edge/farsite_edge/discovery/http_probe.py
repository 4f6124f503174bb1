"""Asks one address and port whether an Axis device is there. No account is ever sent."""

from __future__ import annotations

from typing import Any

import aiohttp

from farsite_edge.discovery.found import FoundDevice, Method
from farsite_edge.vapix.authentication import realm_serial
from farsite_edge.vapix.basic_device_info import DeviceInfo, GetAllProperties, GetAllUnrestrictedProperties
from farsite_edge.vapix.errors import Silent
from farsite_edge.vapix.parameters import ListParameters
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.system_ready import GetSystemReady
from farsite_edge.vapix.transport import device_url, exchange
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

TIMEOUT = 1.5  # of each request
HTTPS_PORTS = frozenset({443, 8443})


async def probe(
    session: aiohttp.ClientSession, address: str, port: int, timeout: float = TIMEOUT
) -> FoundDevice | None:
    """The device at a place, or None. Never raises for what is (not) there."""
    try:
        return await ask(session, address, port, timeout)
    except Silent:
        return None


async def ask(
    session: aiohttp.ClientSession, address: str, port: int, timeout: float = TIMEOUT
) -> FoundDevice | None:
    """The device at a place, or None; `timeout` is for each request. Raises `Silent` when none of them was answered in
    time: who is there may be busy."""
    secure_first = port in HTTPS_PORTS
    for secure in (secure_first, not secure_first):
        try:
            return await _Probe(session, address, port, secure=secure, timeout=timeout).run()
        except Silent:
            raise
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_UNREACHABLE and not _speaks_other_protocol(error):
                return None
    return None


def _speaks_other_protocol(error: FarsiteError) -> bool:
    # TLS towards an HTTP port, or HTTP towards a TLS port that hangs up: worth the other protocol.
    return "TLS failed" in error.detail or "disconnected" in error.detail.lower()


class _Probe:
    def __init__(
        self, session: aiohttp.ClientSession, address: str, port: int, *, secure: bool, timeout: float
    ) -> None:
        self._session = session
        self._timeout = timeout
        self._address = address
        self._port = port
        self._secure = secure
        self._setup = False

    async def run(self) -> FoundDevice | None:
        answer, challenges = await self._send(GetAllUnrestrictedProperties())
        serial = realm_serial(challenges)
        info = _info(answer)
        if info is None and serial is None:
            serial = await self._serial_from_challenge()
        if info is None and serial is None:
            return None
        return await self._found(info or DeviceInfo(serial=serial or "", model=""))

    async def _serial_from_challenge(self) -> str | None:
        """Old firmware has no anonymous API, but what needs an account names the serial number in its realm."""
        for request in (GetAllProperties(), ListParameters(["Brand"])):
            answer, challenges = await self._send(request)
            if answer.status == 401:
                return realm_serial(challenges)
        return None

    async def _found(self, info: DeviceInfo) -> FoundDevice:
        return FoundDevice(
            serial=info.serial,
            address=self._address,
            http_port=None if self._secure else self._port,
            https_port=self._port if self._secure else None,
            by=(Method.HTTP,),
            model=info.model,
            product=info.product,
            device_type=info.device_type,
            version=info.version,
            brand=info.brand,
            setup_required=await self._setup_required(),
            addresses=(self._address,),
        )

    async def _setup_required(self) -> bool:
        if self._setup:
            return True
        try:
            answer, _ = await self._send(GetSystemReady())
            return answer.status == 200 and GetSystemReady().parse(answer).setup_required
        except FarsiteError:
            return False

    async def _send(self, request: ApiRequest[Any]) -> tuple[Answer, list[str]]:
        url = device_url(self._secure, self._address, self._port, request)
        # Anyone's certificate will do: nothing secret is sent, and the pin is taken when the device is added.
        answer, challenges = await exchange(self._session, url, request, timeout=self._timeout, verify=False)
        self._setup = self._setup or "axis-setup" in answer.headers
        return answer, challenges


def _info(answer: Answer) -> DeviceInfo | None:
    if answer.status != 200:
        return None
    try:
        return GetAllUnrestrictedProperties().parse(answer)
    except FarsiteError:
        return None
