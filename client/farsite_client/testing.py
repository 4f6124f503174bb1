"""For tests of what is built on this package: a small cloud that answers the wire's models, tunnels over memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from farsite_client.session import RemoteSession, over_tunnel
from farsite_signaling.identity import CertificateAuthority, generate_key, public_pem
from farsite_signaling.peer.testing import MemoryLink, memory_links
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.rest import problem_middleware
from farsite_signaling.wire import audit_api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, OrgId
from farsite_signaling.wire.netcheck import RelayCheck
from farsite_signaling.wire.rights import Role
from farsite_signaling.wire.stream import OpenRequest

PASSWORD = "correct horse"
EMAIL = "ada@example.com"
TOKEN = "token-of-ada"


def edge_host(number: int, name: str | None = None) -> wire.EdgeHost:
    return wire.EdgeHost(
        id=f"edge{number}",
        name=name or f"Site {number}",
        folder_id="f1",
        urn=f"urn:farsite:org1:edge:edge{number}",
        online=number % 2 == 0,
        remote_access=True,
        version="0.1.0",
        claimed_at=datetime.now(UTC),
    )


@dataclass
class FakeCloud:
    """Set `failures` to what the next requests are refused with; `clock` shifts its time, seconds."""

    authority: CertificateAuthority = field(default_factory=lambda: CertificateAuthority.create("org1"))
    organizations: list[wire.Organization] = field(
        default_factory=lambda: [
            wire.Organization(id="org1", name="Acme", role=Role.OWNER, default_folder_id="f1")
        ]
    )
    edge_hosts: list[wire.EdgeHost] = field(default_factory=list)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    failures: list[FarsiteError] = field(default_factory=list)
    clock: float = 0.0
    lifetime: timedelta = timedelta(days=90)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    enrolled: int = 0
    url: str = ""

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._date, problem_middleware, self._gate])
        organization = "/api/v1/organizations/org1"
        app.add_routes(
            [
                web.post("/api/v1/auth/sign-in", self._sign_in),
                web.post("/api/v1/auth/sign-out", self._sign_out),
                web.get("/api/v1/me", self._me),
                web.get("/api/v1/organizations", self._organizations),
                web.get(f"{organization}/edge-hosts", self._edge_hosts),
                web.get(f"{organization}/audit", self._audit),
                web.post(f"{organization}/client-certificates", self._enrol),
                web.post(f"{organization}/setup-codes", self._setup_code),
                web.post(f"{organization}/edge-hosts/{{edge}}/sessions", self._session),
                web.post(f"{organization}/relay-check", self._relay_check),
            ]
        )
        return app

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.clock)

    @web.middleware
    async def _date(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await handler(request)
        response.headers["Date"] = format_datetime(self.now(), usegmt=True)
        return response

    @web.middleware
    async def _gate(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        self.headers.append(request.headers)
        if self.failures:
            raise self.failures.pop(0)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not request.path.endswith("/sign-in") and token not in self.tokens:
            raise FarsiteError(ErrorCode.TOKEN_EXPIRED, "The sign-in has expired. Sign in again.")
        return await handler(request)

    async def _sign_in(self, request: web.Request) -> web.Response:
        body = wire.SignInRequest.model_validate_json(await request.read())
        if body.password.get_secret_value() != PASSWORD:
            raise FarsiteError(ErrorCode.SIGN_IN_FAILED, "The e-mail address or the password is wrong.")
        self.tokens.add(TOKEN)
        expires = self.now() + timedelta(days=1)
        return answer(wire.SignInResult(token=TOKEN, expires_at=expires, account=self._account(body.email)))

    def _account(self, email: str = EMAIL) -> wire.Account:
        return wire.Account(id="ada", email=email)

    async def _sign_out(self, request: web.Request) -> web.Response:
        self.tokens.clear()
        return web.Response(status=204)

    async def _me(self, request: web.Request) -> web.Response:
        return answer(wire.Me(account=self._account(), organizations=self.organizations))

    async def _organizations(self, request: web.Request) -> web.Response:
        return answer(wire.OrganizationList(organizations=self.organizations))

    async def _edge_hosts(self, request: web.Request) -> web.Response:
        start, limit = int(request.query.get("cursor", "0")), int(request.query["limit"])
        page = self.edge_hosts[start : start + limit]
        following = str(start + limit) if start + limit < len(self.edge_hosts) else None
        return answer(wire.EdgeHostList(edge_hosts=page, next_cursor=following))

    async def _audit(self, request: web.Request) -> web.Response:
        row = audit_api.AuditRow(
            id="1", at=self.now(), actor=EMAIL, action="session.granted", outcome="allowed"
        )
        return answer(audit_api.AuditList(rows=[row]))

    async def _enrol(self, request: web.Request) -> web.Response:
        body = wire.EnrolRequest.model_validate_json(await request.read())
        self.enrolled += 1
        name = ClientName(OrgId("org1"), AccountId("ada"), ClientId(f"machine{self.enrolled}"))
        enrolment = wire.Enrolment(
            name=str(name),
            certificate=self.authority.issue(body.csr, name),
            ca=self.authority.pem,
            grant_key=public_pem(generate_key().public_key()),
            hub_url=self.url.replace("http", "ws") + "/hub",
            expires_at=self.now() + self.lifetime,
            server_time=self.now(),
        )
        return answer(enrolment, 201)

    async def _setup_code(self, request: web.Request) -> web.Response:
        body = wire.SetupCodeRequest.model_validate_json(await request.read())
        expires = self.now() + timedelta(minutes=15)
        return answer(
            wire.SetupCode(code="ABCD-EFGH", expires_at=expires, name=body.name, folder_id="f1"), 201
        )

    async def _relay_check(self, request: web.Request) -> web.Response:
        return answer(RelayCheck(expires_at=self.now(), server_time=self.now()), 201)

    async def _session(self, request: web.Request) -> web.Response:
        edge = next(edge for edge in self.edge_hosts if edge.id == request.match_info["edge"])
        if not edge.online:
            raise FarsiteError(ErrorCode.EDGE_OFFLINE, f"The edge host {edge.name!r} is not connected.")
        return answer(
            wire.SessionTicket(
                session="s1",
                grant="grant",
                edge=edge.urn,
                edge_name=edge.name,
                hub_url=self.url.replace("http", "ws") + "/hub",
                ice_servers=[],
                expires_at=self.now() + timedelta(minutes=1),
                server_time=self.now(),
            ),
            201,
        )


def answer(model: Any, status: int = 200) -> web.Response:
    return web.Response(
        text=model.model_dump_json(exclude_none=True), status=status, content_type="application/json"
    )


class Site:
    """The edge host's end: serves one app to `api` streams and one to each device."""

    def __init__(self) -> None:
        self.api: web.AppRunner | None = None
        self.device: web.AppRunner | None = None
        self.refuse: FarsiteError | None = None

    async def accept(self, tunnel: Tunnel, request: OpenRequest) -> Callable[[], asyncio.BaseProtocol]:
        if self.refuse is not None:
            raise self.refuse
        runner = self.api if request.target.kind == "api" else self.device
        assert runner is not None and runner.server is not None
        return runner.server


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


@asynccontextmanager
async def memory_session(site: Site) -> AsyncIterator[tuple[RemoteSession, MemoryLink]]:
    """A session with `site`, and its link to break."""
    near, far = memory_links()
    ours = Tunnel(near, session="s1", remote="urn:farsite:org1:edge:edge1", initiator=True)
    theirs = Tunnel(far, session="s1", remote="client", initiator=False, acceptor=site)
    async with theirs, ours, over_tunnel(ours, edge_host(1, "Warehouse")) as session:
        yield session, near
