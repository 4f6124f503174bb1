"""Finding edge hosts on the network, and trusting the right one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from farsite_client.lan import FoundEdge, ask_info, discover, open_claimed, open_unclaimed
from farsite_client.profile import Profile
from farsite_client.testing import EMAIL, PASSWORD, FakeCloud
from farsite_signaling.identity import CertificateAuthority, Identity, fingerprint, generate_key, make_request
from farsite_signaling.identity.identity import CERTIFICATE_FILE, KEY_FILE
from farsite_signaling.rest import problem_middleware
from farsite_signaling.wire.edge_api import ClaimRequest, EdgeInfo, EdgeState, EdgeStatus
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId
from farsite_signaling.wire.lan import make_answer, parse_query


def info(name: str = "Shop", shown: str = "AA", port: int = 37443, **more: Any) -> EdgeInfo:
    values: dict[str, Any] = {"id": "edge1", "state": EdgeState.UNCLAIMED, "version": "0.1.0"}
    return EdgeInfo(name=name, protocol_versions=[1], https_port=port, fingerprint=shown, **(values | more))


class Responder(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queries = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.queries += 1
        token = parse_query(data).token
        for answer in (b"", b"\x00" * 600, b"[" * 5000, make_answer("other-token", info("Liar"))):
            self.transport.sendto(answer, addr)
        self.transport.sendto(make_answer(token, info()), addr)
        self.transport.sendto(make_answer(token, info("Annex", id="edge2")), addr)


async def test_edge_hosts_that_answer_are_found_once() -> None:
    loop = asyncio.get_running_loop()
    transport, responder = await loop.create_datagram_endpoint(Responder, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    found = await discover(timeout=0.3, group="127.0.0.1", port=port)
    assert responder.queries == 2
    assert [(edge.address, edge.info.name) for edge in found] == [
        ("127.0.0.1", "Annex"),
        ("127.0.0.1", "Shop"),
    ]
    transport.close()


async def test_an_edge_host_is_asked_over_http() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=info().model_dump_json(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/info", answer)
    server = TestServer(app)
    await server.start_server()
    assert server.port is not None
    port = server.port
    assert (await ask_info("127.0.0.1", port)).info.name == "Shop"
    await server.close()
    with pytest.raises(FarsiteError) as caught:
        await ask_info("127.0.0.1", port)
    assert caught.value.code is ErrorCode.PEER_UNREACHABLE


class EdgeApi:
    """An edge host's HTTPS API: what was asked, and the client certificates' subjects."""

    def __init__(self) -> None:
        self.claims: list[dict[str, Any]] = []
        self.grants: list[str] = []
        self.certificates: list[Any] = []

    def app(self) -> web.Application:
        app = web.Application(middlewares=[problem_middleware])
        app.add_routes([web.post("/api/v1/claim", self._claim), web.get("/api/v1/status", self._status)])
        return app

    async def _claim(self, request: web.Request) -> web.Response:
        self.claims.append(await request.json())
        return web.Response(text=info().model_dump_json(), content_type="application/json")

    async def _status(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.grants.append(request.headers["Authorization"])
        self.certificates.append(request.transport.get_extra_info("peercert"))
        status = EdgeStatus(
            id="edge1",
            name="Shop",
            state=EdgeState.CLAIMED,
            version="0.1.0",
            cloud_state="online",
            remote_access=False,
            time=datetime.now(UTC),
        )
        return web.Response(text=status.model_dump_json(), content_type="application/json")


def edge_identity(authority: CertificateAuthority, folder: Path, edge: str = "edge1") -> Identity:
    key = generate_key()
    name = EdgeName(OrgId("org1"), EdgeId(edge))
    identity = Identity.from_pem(key, authority.issue(make_request(key, edge), name))
    identity.save(folder)
    return identity


@asynccontextmanager
async def https(api: EdgeApi, folder: Path, ca: str | None = None) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / CERTIFICATE_FILE, folder / KEY_FILE)
    if ca is not None:
        context.load_verify_locations(cadata=ca)
        context.verify_mode = ssl.CERT_REQUIRED
    server = TestServer(api.app(), scheme="https")
    await server.start_server(ssl=context)
    assert server.port is not None
    yield server.port
    await server.close()


CLAIM = ClaimRequest(cloud_url="https://cloud", code=SecretStr("ABCD"), remote_access=True)


async def test_a_claim_goes_to_the_announced_certificate_only(tmp_path: Path) -> None:
    api, authority = EdgeApi(), CertificateAuthority.create("edge")
    identity = edge_identity(authority, tmp_path)
    async with https(api, tmp_path) as port:
        impostor = FoundEdge("127.0.0.1", info(shown="00:" * 31 + "00", port=port))
        async with open_unclaimed(impostor) as edge:
            with pytest.raises(FarsiteError) as caught:
                await edge.claim(CLAIM)
        assert caught.value.code is ErrorCode.FINGERPRINT_MISMATCH
        assert api.claims == []

        honest = FoundEdge("127.0.0.1", info(shown=fingerprint(identity.certificate), port=port))
        async with open_unclaimed(honest) as edge:
            await edge.claim(CLAIM)
    assert api.claims == [{"cloud_url": "https://cloud", "code": "ABCD", "remote_access": True}]


@pytest.fixture
async def profile(fake_cloud: FakeCloud, tmp_path: Path) -> Profile:
    profile = Profile(tmp_path / "home")
    from farsite_client.cloud import CloudClient

    async with CloudClient(fake_cloud.url) as cloud:
        signed_in = await cloud.sign_in(EMAIL, PASSWORD)
        await profile.enrol(cloud, signed_in, (await cloud.organizations())[0], "laptop")
    return profile


async def test_the_api_on_the_network_is_mutual(
    fake_cloud: FakeCloud, profile: Profile, tmp_path: Path
) -> None:
    api, folder = EdgeApi(), tmp_path / "edge"
    edge_identity(fake_cloud.authority, folder)
    async with (
        https(api, folder, fake_cloud.authority.pem) as port,
        open_claimed(profile, "127.0.0.1", port, edge="edge1", grant="g.r.ant") as edge,
    ):
        assert (await edge.status()).name == "Shop"
    assert api.grants == ["Farsite-Grant g.r.ant"]
    assert ("URI", profile.load().name) in api.certificates[0]["subjectAltName"]


@pytest.mark.parametrize("case", ["another edge host", "another organization"])
async def test_a_grant_is_shown_to_its_own_edge_host_only(
    fake_cloud: FakeCloud, profile: Profile, tmp_path: Path, case: str
) -> None:
    api, folder = EdgeApi(), tmp_path / "edge"
    foreign = case == "another organization"
    authority = CertificateAuthority.create("org2") if foreign else fake_cloud.authority
    edge_identity(authority, folder, "edge1" if foreign else "edge2")
    async with (
        https(api, folder, fake_cloud.authority.pem) as port,
        open_claimed(profile, "127.0.0.1", port, edge="edge1", grant="g") as edge,
    ):
        with pytest.raises(FarsiteError) as caught:
            await edge.status()
    assert caught.value.code is ErrorCode.CERTIFICATE_INVALID
    assert api.grants == []
