"""Sends requests to one device, over HTTP or HTTPS: its certificate, its identity, its log-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from farsite_edge.vapix.authentication import Authenticator, Credentials, realm_serial
from farsite_edge.vapix.basic_device_info import GetAllUnrestrictedProperties
from farsite_edge.vapix.errors import ApiMissing, OtherDevice, Refused, bad_answer, named
from farsite_edge.vapix.pin import pin_bytes, read_pin, trust_in
from farsite_edge.vapix.report import GetServerReport
from farsite_edge.vapix.request import Answer, ApiRequest
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
from farsite_edge.vapix.usergroup import GetRights
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

T = TypeVar("T")
REPORT_TIMEOUT = 180.0
"""Seconds until a server report begins: the device puts it together first."""


class RequestSender:
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

    async def send(self, request: ApiRequest[T]) -> T:
        """Any request of this package."""
        if self.secure and self.pin is None:
            await self.read_pin()
        try:
            return request.parse(self._checked(request, await self._authenticated(request)))
        except FarsiteError as error:
            raise named(error, self.name) from None

    async def send_slowly(self, request: ApiRequest[T], *, timeout: float) -> T:
        """A request that takes longer than others: `timeout` seconds at most."""
        self._timeout, before = timeout, self._timeout
        try:
            return await self.send(request)
        finally:
            self._timeout = before

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
