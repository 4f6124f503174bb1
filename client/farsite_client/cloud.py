"""`CloudClient`: the cloud's REST API, typed.

    async with CloudClient("https://cloud.example.com") as cloud:
        signed_in = await cloud.sign_in("me@example.com", "…")
        async for edge_host in cloud.edge_hosts(organization_id):
            print(edge_host.name, edge_host.online)

Every failure is a `FarsiteError` with the code the cloud answered, or `cloud_unreachable`, `certificate_invalid`,
`proxy_authentication`, `proxy_unreachable` when there was no answer.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
from pydantic import BaseModel, SecretStr

from farsite_client.access import AccessCalls
from farsite_client.audit import AuditCalls
from farsite_client.calls import organization_path
from farsite_client.device_sign_in import DeviceSignInCalls
from farsite_client.edge_recovery import EdgeRecoveryCalls
from farsite_client.factors import FactorCalls
from farsite_client.http import TIMEOUT, failures, parse, raise_for_problem, read_limited, reveal
from farsite_client.inventory import InventoryCalls
from farsite_client.licences import LicenceCalls
from farsite_client.lifecycle import LifecycleCalls
from farsite_client.notices import NoticeCalls
from farsite_client.people import PeopleCalls
from farsite_client.personal import PersonalCalls
from farsite_client.providers import ProviderCalls
from farsite_client.read_before import ReadBefore
from farsite_client.work import WorkCalls
from farsite_signaling.peer.proxy import parse_proxy
from farsite_signaling.wire.cloud_api import (
    EdgeHost,
    EdgeHostChange,
    EdgeHostList,
    Enrolment,
    EnrolRequest,
    Folder,
    FolderList,
    Me,
    Organization,
    OrganizationList,
    SessionRequest,
    SessionTicket,
    SetupCode,
    SetupCodeRequest,
    SignInRequest,
    SignInResult,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS
from farsite_signaling.wire.netcheck import RelayCheck

ModelT = TypeVar("ModelT", bound=BaseModel)
PREFIX = "/api/v1"
MAX_ATTEMPTS = 3
MAX_RETRY_WAIT = 10.0
DOWNLOAD_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
_RETRIED = (ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE)


def check_url(url: str) -> str:
    """The cloud's base address without a trailing slash; `https://` is added. Raises `setting_invalid`."""
    full = url.strip()
    full = full if "://" in full else f"https://{full}"
    try:
        parts = urlsplit(full)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.username is not None or parts.query or parts.fragment:
        raise FarsiteError(
            ErrorCode.SETTING_INVALID,
            f"{url[:200]!r} is not a cloud's address. Write it as https://cloud.example.com.",
        )
    return full.rstrip("/")


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """The system's authorities and those of `ca_file` (PEM). Raises `setting_invalid`."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) or "no PEM certificates in it"
            raise FarsiteError(
                ErrorCode.SETTING_INVALID, f"The authorities in {ca_file} cannot be used: {reason}."
            ) from None
    return context


class CloudClient(
    PeopleCalls,
    PersonalCalls,
    EdgeRecoveryCalls,
    FactorCalls,
    ProviderCalls,
    AuditCalls,
    DeviceSignInCalls,
    InventoryCalls,
    AccessCalls,
    LifecycleCalls,
    WorkCalls,
    NoticeCalls,
    LicenceCalls,
):
    """One signed-in user at one cloud. Use as `async with`; `token` may be set later, by `sign_in`."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        proxy: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        self.url = check_url(url)
        self.token = token
        self.clock_offset: float | None = None
        """Cloud's clock minus this machine's, seconds, to about one second; None before the first answer."""
        self._proxy = None if proxy is None else parse_proxy(proxy)
        # With the system's authorities alone the context that aiohttp has made already is as good.
        self._tls = True if ca_file is None else tls_context(ca_file)
        self._session: aiohttp.ClientSession | None = None
        self.read_before = ReadBefore()
        """Edits say what was read (`If-Match`): somebody else's change since then is `precondition_failed`."""

    @property
    def host(self) -> str:
        parts = urlsplit(self.url)
        return parts.netloc

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=self._connector(), timeout=TIMEOUT, raise_for_status=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _connector(self) -> aiohttp.BaseConnector:
        if self._proxy is None:
            return aiohttp.TCPConnector(ssl=self._tls)
        from farsite_signaling.peer.http_proxy import connector

        return connector(self._proxy, self._tls)

    # who

    async def sign_in(self, email: str, password: str, code: str | None = None) -> SignInResult:
        """Also keeps the token for the calls that follow. Raises `sign_in_failed`, `mfa_required`, `rate_limited`."""
        request = SignInRequest(email=email, password=SecretStr(password))
        if code is not None:
            request = request.model_copy(update={"code": SecretStr(code)})
        result = await self._ask("POST", "/auth/sign-in", SignInResult, request)
        self.token = result.token
        return result

    async def sign_out(self) -> None:
        """Revoke the token."""
        await self._send("POST", "/auth/sign-out")
        self.token = None

    async def me(self) -> Me:
        return await self._ask("GET", "/me", Me)

    async def organizations(self) -> list[Organization]:
        answer = await self._ask("GET", "/organizations", OrganizationList)
        return answer.organizations

    # an organization

    async def folders(self, organization: str) -> list[Folder]:
        answer = await self._ask("GET", f"{organization_path(organization)}/folders", FolderList)
        return answer.folders

    async def enrol(self, organization: str, csr: str, name: str) -> Enrolment:
        """A certificate for this machine's key; the newest replaces the one before."""
        request = EnrolRequest(csr=csr, name=name)
        return await self._ask(
            "POST", f"{organization_path(organization)}/client-certificates", Enrolment, request
        )

    async def setup_code(
        self, organization: str, name: str, *, description: str = "", folder: str | None = None
    ) -> SetupCode:
        """A one-time code to claim an edge host with, called `name` from then on."""
        request = SetupCodeRequest(name=name, description=description, folder_id=folder)
        return await self._ask("POST", f"{organization_path(organization)}/setup-codes", SetupCode, request)

    def edge_hosts(self, organization: str, *, page_size: int = 100) -> AsyncIterator[EdgeHost]:
        """All of them, fetched page by page as they are read."""
        path = f"{organization_path(organization)}/edge-hosts"
        return self._each(path, EdgeHostList, lambda page: page.edge_hosts, page_size)

    async def edge_host(self, organization: str, edge: str) -> EdgeHost:
        return await self._ask("GET", _edge(organization, edge), EdgeHost)

    async def change_edge_host(self, organization: str, edge: str, change: EdgeHostChange) -> EdgeHost:
        return await self._ask("PATCH", _edge(organization, edge), EdgeHost, change)

    async def remove_edge_host(self, organization: str, edge: str, *, risk_confirmed: bool = False) -> None:
        """Its certificate is revoked and its tunnels are cut. Raises `confirmation_needed`, `conflict` while it has
        devices."""
        query = {"risk_confirmed": str(risk_confirmed).lower()}
        await self._send("DELETE", _edge(organization, edge), query=query)

    async def session(self, organization: str, edge: str, client: str) -> SessionTicket:
        """Ask to open a tunnel to an edge host as `client` (the enrolled URN)."""
        request = SessionRequest(client=client)
        return await self._ask("POST", f"{_edge(organization, edge)}/sessions", SessionTicket, request)

    async def renew_session(self, organization: str, session: str) -> SessionTicket:
        """A fresh ticket of a session that is live. Raises `session_ended`, `edge_offline`, …"""
        path = f"{organization_path(organization)}/sessions/{quote(session, safe='')}/renewal"
        return await self._ask("POST", path, SessionTicket)

    async def end_session(self, organization: str, session: str) -> None:
        await self._send("DELETE", f"{organization_path(organization)}/sessions/{quote(session, safe='')}")

    async def relay_check(self, organization: str) -> RelayCheck:
        """Relays, and credentials good for minutes to try them with."""
        return await self._ask("POST", f"{organization_path(organization)}/relay-check", RelayCheck)

    # how

    async def _ask(
        self,
        method: str,
        path: str,
        model: type[ModelT],
        body: BaseModel | None = None,
        *,
        query: dict[str, str] | None = None,
    ) -> ModelT:
        answer = parse(model, await self._send(method, path, body, query), self.host)
        if method == "GET":
            self.read_before.listed(path, answer)
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        query: dict[str, str] | None = None,
    ) -> bytes:
        attempts = MAX_ATTEMPTS if method == "GET" else 1
        for attempt in range(1, attempts + 1):
            try:
                return await self._exchange(method, path, body, query)
            except FarsiteError as error:
                wait = error.retry_after
                # Only calls that change nothing are repeated, and only when the cloud says when.
                again = error.code in _RETRIED and wait is not None and wait <= MAX_RETRY_WAIT
                if attempt == attempts or not again or wait is None:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _download(self, path: str, query: dict[str, str] | None = None) -> AsyncIterator[bytes]:
        """A long answer, piece by piece; only the pauses in it are bounded."""
        async with self._answered("GET", path, None, query, timeout=DOWNLOAD_TIMEOUT) as response:
            async for piece in response.content.iter_any():
                yield piece

    async def _exchange(
        self, method: str, path: str, body: BaseModel | None, query: dict[str, str] | None
    ) -> bytes:
        async with self._answered(method, path, body, query) as response:
            return await read_limited(response)

    @asynccontextmanager
    async def _answered(
        self,
        method: str,
        path: str,
        body: BaseModel | None,
        query: dict[str, str] | None,
        *,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Its body is still to be read. Raises what the cloud answered."""
        session = self._session
        if session is None:
            raise RuntimeError("CloudClient is used inside `async with`")
        proxy = self._proxy
        async with (
            failures(
                f"The cloud {self.host}",
                ErrorCode.CLOUD_UNREACHABLE,
                proxy=None if proxy is None else proxy.address,
            ),
            session.request(
                method,
                self.url + PREFIX + path,
                json=None if body is None else reveal(body),
                params=query,
                headers=self._headers(method, path),
                proxy=proxy.url if proxy is not None and not proxy.is_socks else None,
                allow_redirects=False,
                timeout=timeout,
            ) as response,
        ):
            self._note_clock(response)
            self._refuse_redirect(response)
            await self._raise_for_problem(response)
            self.read_before.answered(method, path, response.headers)
            yield response

    def _headers(self, method: str, path: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "farsite-client"}
        headers |= self.read_before.headers(method, path)
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        return headers

    def _note_clock(self, response: aiohttp.ClientResponse) -> None:
        try:
            date = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError, TypeError):
            return
        # `Date` has whole seconds; its middle is the best guess.
        self.clock_offset = date + 0.5 - time.time()

    def _refuse_redirect(self, response: aiohttp.ClientResponse) -> None:
        # Following one would hand the token to whatever it names.
        if 300 <= response.status < 400:
            target = response.headers.get("Location", "")[:200]
            raise FarsiteError(
                ErrorCode.CLOUD_UNREACHABLE,
                f"The cloud {self.host} sends elsewhere ({target}). Sign in with the address it really has.",
            )

    async def _raise_for_problem(self, response: aiohttp.ClientResponse) -> None:
        try:
            await raise_for_problem(response, self.host)
        except FarsiteError as error:
            skew = clock_problem(self.clock_offset)
            if skew is not None and error.status in (401, 403):
                error.detail = f"{error.detail} {skew.detail}"
            raise


def clock_problem(offset: float | None) -> FarsiteError | None:
    """`clock_skew` when this machine's clock is further off than certificates and grants allow."""
    if offset is None or abs(offset) <= LEEWAY_SECONDS:
        return None
    way = "behind" if offset > 0 else "ahead of"
    return FarsiteError(
        ErrorCode.CLOCK_SKEW,
        f"This machine's clock is {abs(offset):.0f} s {way} the cloud's (at most {LEEWAY_SECONDS} s are "
        "allowed). Set the clock (NTP) and try again.",
    )


def _edge(organization: str, edge: str) -> str:
    return f"{organization_path(organization)}/edge-hosts/{quote(edge, safe='')}"
