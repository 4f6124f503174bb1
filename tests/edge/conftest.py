"""A small cloud that signs what edge hosts ask for, and devices that answer as told."""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_edge.devices.gateway import Gateway
from farsite_edge.discovery import FoundDevice
from farsite_edge.testing import RunningEdge, run_edge
from farsite_edge.vapix import SystemReady
from farsite_edge.vapix.onvif_users import OnvifUser
from farsite_signaling.identity import (
    CertificateAuthority,
    Identity,
    generate_key,
    load_private_key,
    make_request,
    public_pem,
    sign_grant,
)
from farsite_signaling.identity.certificates import (
    certificate_name,
    certificate_pem,
    load_certificate,
    public_key_of,
)
from farsite_signaling.identity.device_certificates import device_names, sign_device_certificate
from farsite_signaling.identity.renewals import verify_device_request, verify_renewal
from farsite_signaling.rest import problem_response
from farsite_signaling.wire.device_certificates import DeviceCertificateRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, EdgeId, EdgeName, OrgId
from farsite_signaling.wire.rights import Role, rights_of

GOOD, USED, EXPIRED = "GOOD-CODE", "USED-CODE", "OLD-CODE"


class SmallCloud:
    """Answers claims and renewals; `clock_off` and `spoil` make the answers wrong."""

    def __init__(self) -> None:
        self.ca = CertificateAuthority.create("Test")
        self.other_ca = CertificateAuthority.create("Other")
        self.grant_key = generate_key()
        self.clock_off = timedelta()
        self.spoil: dict[str, Any] = {}
        self.claims = 0
        self.url = ""
        self.lifetime = timedelta(days=90)
        self.refuse_devices = False
        self.device_age = timedelta()
        self.device_requests: list[DeviceCertificateRequest] = []
        self.relay_checks: list[dict[str, str]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/v1/claims", self.claim)
        app.router.add_post("/api/v1/edge/renewals", self.renew)
        app.router.add_post("/api/v1/edge/relay-check", self.relay_check)
        app.router.add_post("/api/v1/edge/device-certificates", self.sign_device)
        return app

    async def claim(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.claims += 1
        codes = {USED: ErrorCode.SETUP_CODE_USED, EXPIRED: ErrorCode.SETUP_CODE_EXPIRED}
        if body["code"] != GOOD:
            code = codes.get(body["code"], ErrorCode.SETUP_CODE_INVALID)
            return problem_response(FarsiteError(code, "This setup code does not work.").problem())
        answer = self.enrolment(body["csr"]) | {
            "edge_id": "edge1",
            "edge_name": "Site one",
            "organization_id": "org1",
            "organization_name": "Test",
        }
        return web.json_response(answer | self.spoil)

    async def renew(self, request: web.Request) -> web.Response:
        body = await request.json()
        certificate = load_certificate(body["certificate"])
        name = str(certificate_name(certificate))
        verify_renewal(body["proof"], public_key_of(certificate), name=name, csr=body["csr"], now=time.time())
        return web.json_response(self.enrolment(body["csr"]) | self.spoil)

    async def sign_device(self, request: web.Request) -> web.Response:
        """`refuse_devices`: as a cloud that is away."""
        if self.refuse_devices:
            return web.Response(status=503)
        wanted = DeviceCertificateRequest.model_validate(await request.json())
        certificate = load_certificate(wanted.certificate)
        name, key = str(certificate_name(certificate)), public_key_of(certificate)
        verify_device_request(wanted.proof, key, name=name, text=wanted.signed(), now=time.time())
        self.device_requests.append(wanted)
        names = device_names(wanted.device, wanted.host_name, wanted.addresses)
        signed = sign_device_certificate(
            load_private_key(self.ca.private_pem()),
            self.ca.certificate,
            wanted.csr,
            names,
            device=wanted.device,
            now=datetime.now(UTC) - self.device_age,
            lifetime=timedelta(days=wanted.days),
        )
        answer = {
            "certificate": certificate_pem(signed),
            "expires_at": signed.not_valid_after_utc.isoformat(),
        }
        return web.json_response(answer, status=201)

    async def relay_check(self, request: web.Request) -> web.Response:
        self.relay_checks.append(await request.json())
        now = datetime.now(UTC).isoformat()
        return web.json_response({"ice_servers": [], "expires_at": now, "server_time": now})

    def enrolment(self, csr: str) -> dict[str, Any]:
        name = EdgeName(OrgId("org1"), EdgeId("edge1"))
        now = datetime.now(UTC)
        return {
            "name": str(name),
            "certificate": self.ca.issue(csr, name, lifetime=self.lifetime),
            "ca": self.ca.pem,
            "grant_key": public_pem(self.grant_key.public_key()),
            "hub_url": self.url.replace("http", "ws", 1) + "/hub",
            "expires_at": (now + self.lifetime).isoformat(),
            "server_time": (now + self.clock_off).isoformat(),
        }

    def client(self, ca: CertificateAuthority | None = None) -> Identity:
        key = generate_key()
        name = ClientName(OrgId("org1"), AccountId("ann"), ClientId("laptop"))
        return Identity.from_pem(key, (ca or self.ca).issue(make_request(key, "laptop"), name))

    def grant(self, client: Identity, role: Role = Role.ADMIN, **changes: Any) -> Grant:
        now = int(time.time())
        values: dict[str, Any] = {
            "iss": "urn:farsite:org1:cloud",
            "aud": str(EdgeName(OrgId("org1"), EdgeId("edge1"))),
            "sub": client.urn,
            "sid": uuid.uuid4().hex,
            "org": "org1",
            "role": role,
            "rights": rights_of(role),
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "until": now + 3600,
        }
        return Grant(**(values | changes))

    def token(self, grant: Grant) -> str:
        return sign_grant(self.grant_key, grant)


@pytest.fixture
async def small_cloud() -> AsyncIterator[SmallCloud]:
    cloud = SmallCloud()
    server = TestServer(cloud.app())
    await server.start_server()
    cloud.url = str(server.make_url("")).rstrip("/")
    yield cloud
    await server.close()


@dataclass
class FakeDevice:
    """A device that counts what it is asked; `password` is the right one."""

    serial: str = "ACCC8E000001"
    password: str = "right"
    setup: bool = False
    reachable: bool = True
    log_ins: int = 0
    values: dict[str, str] = field(default_factory=lambda: {"Brand.ProdNbr": "P1", "Network.Name": "a"})
    deaf: bool = False


@dataclass(frozen=True)
class _Info:
    serial: str
    model: str = "P1"
    version: str = "11.11.1"


class _FakeClient:
    pin = None
    secure = True

    def __init__(self, device: FakeDevice, credentials: tuple[str, str] | None) -> None:
        self._device = device
        self._credentials = credentials

    async def system_ready(self) -> SystemReady:
        self._reach()
        return SystemReady(ready=True, setup_required=self._device.setup)

    async def info(self) -> _Info:
        self._enter()
        return _Info(self._device.serial)

    async def read_pin(self) -> str:
        self._reach()
        return "ab" * 32

    async def parameters(self, *groups: str) -> dict[str, str]:
        self._enter()
        return {name: value for name, value in self._device.values.items() if name.startswith(groups)}

    async def update_parameters(self, values: dict[str, str]) -> None:
        self._enter()
        if not self._device.deaf:
            self._device.values |= values

    async def snapshot(self) -> bytes:
        self._enter()
        return b"\xff\xd8picture"

    async def rights(self) -> None:
        self._enter()

    async def onvif_users(self) -> list[OnvifUser]:
        return []

    async def add_first_user(self, name: str, password: str) -> None:
        self._device.setup = False
        self._device.password = password

    def _reach(self) -> None:
        if not self._device.reachable:
            raise FarsiteError(ErrorCode.DEVICE_UNREACHABLE, "No answer.")

    def _enter(self) -> None:
        self._reach()
        self._device.log_ins += 1
        if self._credentials is None or self._credentials[1] != self._device.password:
            raise FarsiteError(ErrorCode.DEVICE_CREDENTIALS, "Wrong user name or password.")


class FakeSite:
    """A `Gateway` to devices in memory, each at 127.0.0.1 and a port of its own."""

    def __init__(self, *devices: FakeDevice) -> None:
        self.devices = {20000 + number: device for number, device in enumerate(devices)}

    def gateway(self) -> Gateway:
        return Gateway(self._discover, self._client, lambda name, password: (name, password))

    async def _discover(self, **_: Any) -> Any:
        for port, device in self.devices.items():
            yield FoundDevice(device.serial, "127.0.0.1", port, model="P1", setup_required=device.setup)

    def _client(self, _address: str, *, http_port: int, credentials: Any, **_: Any) -> _FakeClient:
        return _FakeClient(self.devices[http_port], credentials)


@pytest.fixture
async def claimed(small_cloud: SmallCloud, tmp_path: Path) -> AsyncIterator[RunningEdge]:
    async with run_edge(tmp_path / "edge", discovery_interval=3600) as edge:
        await edge.claim(small_cloud.url, GOOD)
        yield edge


@contextmanager
def client_tls(identity: Identity | None, folder: Path) -> Iterator[ssl.SSLContext]:
    """As a client of the LAN API: its certificate, and no check of the server's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        identity.save(folder)
        context.load_cert_chain(folder / "identity.crt", folder / "identity.key")
    yield context
