"""For tests of whatever talks to a hub: an organization in memory, and a hub on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel

from farsite_signaling.hub.authorizer import Authorizer
from farsite_signaling.hub.hub import Hub
from farsite_signaling.identity import (
    CertificateAuthority,
    Identity,
    OrganizationTrust,
    generate_key,
    make_request,
)
from farsite_signaling.identity.certificates import public_key_of
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import HUB_PATH, Hello, Report, SessionEnded
from farsite_signaling.wire.ids import (
    AccountId,
    ClientId,
    ClientName,
    EdgeId,
    EdgeName,
    OrgId,
    PeerName,
    parse_name,
)
from farsite_signaling.wire.inventory import InventoryAccepted, InventoryDelta
from farsite_signaling.wire.work import WorkReport


@dataclass
class MemoryOrganization:
    """Lets in whom its authority certified and who is not in `revoked`; keeps what the hub told it.

    `failure` is raised by every method while set; `delay` holds every answer back, in seconds.
    """

    org: str = "acme"
    revoked: set[str] = field(default_factory=set)
    presence: list[tuple[str, bool]] = field(default_factory=list)
    reports: list[tuple[str, Report]] = field(default_factory=list)
    work: list[tuple[str, WorkReport]] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    inventory: list[tuple[str, InventoryDelta]] = field(default_factory=list)
    failure: Exception | None = None
    delay: float = 0.0

    def __post_init__(self) -> None:
        self.authority = CertificateAuthority.create(self.org)
        self.trust = OrganizationTrust(self.authority.pem)
        self._changed = asyncio.Condition()

    def edge(self, name: str = "edge-1") -> Identity:
        return self._issue(EdgeName(OrgId(self.org), EdgeId(name)))

    def client(self, name: str = "laptop", account: str = "anna") -> Identity:
        return self._issue(ClientName(OrgId(self.org), AccountId(account), ClientId(name)))

    def _issue(self, name: PeerName) -> Identity:
        key = generate_key()
        return Identity.from_pem(key, self.authority.issue(make_request(key, "test"), name))

    async def until_presence(self, *expected: tuple[str, bool]) -> None:
        """Wait until the last changes told are these."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.presence[-len(expected) :] == list(expected))

    # Authorizer

    async def authenticate(self, hello: Hello) -> ec.EllipticCurvePublicKey:
        await self._hesitate()
        if hello.name in self.revoked:
            raise FarsiteError(ErrorCode.CERTIFICATE_REVOKED, "This certificate was revoked.")
        name, certificate = self.trust.verify(hello.certificate)
        if str(name) != hello.name:
            raise FarsiteError(ErrorCode.CERTIFICATE_INVALID, "The certificate is another peer's.")
        return public_key_of(certificate)

    async def may_deliver(self, sender: str, recipient: str) -> None:
        await self._hesitate()
        if parse_name(sender).org != parse_name(recipient).org:
            raise FarsiteError(ErrorCode.FORBIDDEN, "Another organization's peer.")

    async def report_received(self, name: str, report: Report) -> None:
        await self._hesitate()
        self.reports.append((name, report))

    async def work_reported(self, name: str, report: WorkReport) -> None:
        await self._hesitate()
        self.work.append((name, report))

    async def sessions_ended(self, name: str, held: Sequence[str]) -> list[SessionEnded]:
        await self._hesitate()
        return [SessionEnded(session=session) for session in held if session in self.ended]

    async def inventory_received(self, name: str, delta: InventoryDelta) -> Sequence[BaseModel]:
        await self._hesitate()
        self.inventory.append((name, delta))
        return [InventoryAccepted(epoch=delta.epoch, position=delta.last)]

    async def presence_changed(self, name: str, online: bool) -> None:
        await self._hesitate()
        async with self._changed:
            self.presence.append((name, online))
            self._changed.notify_all()

    async def _hesitate(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure


class HubServer:
    """A hub behind a real HTTP server on loopback; entering it again after leaving serves the same port."""

    def __init__(self, authorizer: Authorizer, **options: Any) -> None:
        self._authorizer = authorizer
        self._options = options
        self._stack = contextlib.AsyncExitStack()
        self.port = 0
        self.hub = Hub(authorizer, **options)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{HUB_PATH}"

    async def __aenter__(self) -> HubServer:
        self.hub = Hub(self._authorizer, **self._options)
        app = web.Application()
        app.router.add_get(HUB_PATH, self.hub.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await self._stack.enter_async_context(self.hub)
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
