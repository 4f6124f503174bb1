from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_cloud.outbound import Addresses, Outbound, Target, check_url
from farsite_signaling.wire.errors import FarsiteError

HERE = ("127.0.0.0/8",)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "192.168.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:0:a00:1::",
        "fd00::1",
        "fe80::1%eth0",
        "ff02::1",
    ],
)
def test_the_inside_is_refused_unless_the_operator_allows_it(address):
    target = Target("name", 443, tls=True)
    with pytest.raises(FarsiteError) as caught:
        Addresses().check(target, ["1.1.1.1", address])
    assert caught.value.code == "outbound_refused"
    assert address not in caught.value.detail
    network = "::/0" if ":" in address else "0.0.0.0/0"
    Addresses([network]).check(target, [address])


def test_the_outside_is_open_with_tls_only():
    Addresses().check(Target("name", 443, tls=True), ["1.1.1.1", "2606:4700::1111"])
    with pytest.raises(FarsiteError, match="https"):
        Addresses().check(Target("name", 80, tls=False), ["1.1.1.1"])
    Addresses(["10.0.0.0/8"]).check(Target("name", 80, tls=False), ["10.0.0.1"])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@example.com",
        "https://example.com#part",
        "https://example.com:0",
        "https://example.com:99999",
        "https://[::1",
        "https://example.com\\@inside",
        "https://exa mple.com",
        "https://example.com/\r\nHost: x",
        "https://example.com/" + "x" * 2000,
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(FarsiteError) as caught:
        check_url(url)
    assert caught.value.code == "outbound_refused"
    assert "secret" not in caught.value.detail or "secret" in url


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_no_spelling_of_this_machine_is_connected_to(host):
    async def refuse(reader, writer):
        raise AssertionError("connected")

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FarsiteError) as caught:
            await Outbound().request("GET", f"http://{host}:{port}/")
    assert caught.value.code == "outbound_refused"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://localhost/",
        "https://metrics.localhost./",
        "http://hooks.example.com/",
        "http://1.1.1.1/",
    ],
)
def test_what_can_never_be_reached_is_known_before(url, monkeypatch):
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", None)
    with pytest.raises(FarsiteError) as caught:
        Outbound().check(url)
    assert caught.value.code == "outbound_refused"
    if "1.1.1.1" not in url:
        Outbound(("0.0.0.0/0", "::/0")).check(url)


def test_names_are_looked_up_when_they_are_asked():
    for host in ("hooks.example.com", "localhost.example.com", "10.example", "fd00.example"):
        Outbound().check(f"https://{host}/")
    Outbound(("10.0.0.0/8",)).check("http://hooks.example.com/")
    with pytest.raises(FarsiteError, match="outbound_allowed"):
        Outbound(("10.0.0.0/8",)).check("http://192.168.0.4/")


@pytest.fixture
async def far():
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), headers={"Got": request.headers.get("X-Given", "")})

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://10.0.0.1/")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    app = web.Application()
    for path, handler in {"/echo": echo, "/away": elsewhere, "/endless": endless, "/never": never}.items():
        app.router.add_route("*", path, handler)
    async with TestServer(app) as server:
        yield server


async def test_requests_carry_what_was_given_and_follow_nothing(far):
    outbound = Outbound(HERE)
    reply = await outbound.request("POST", str(far.make_url("/echo")), headers={"X-Given": "a"}, data=b"body")
    assert (reply.status, reply.body, reply.headers["Got"]) == (200, b"body", "a")
    away = await outbound.request("GET", str(far.make_url("/away")))
    assert (away.status, away.headers["Location"]) == (302, "http://10.0.0.1/")


async def test_answers_are_bounded_in_size_and_time(far):
    outbound = Outbound(HERE)
    with pytest.raises(FarsiteError, match="longer than 1000 bytes") as caught:
        await outbound.request("GET", str(far.make_url("/endless")), max_bytes=1000)
    assert caught.value.code == "outbound_failed"
    with pytest.raises(FarsiteError, match="no answer within"):
        await outbound.request("GET", str(far.make_url("/never")), seconds=0.05)


async def test_a_name_that_changes_its_answer_is_asked_once(far, monkeypatch):
    """DNS rebinding: the second answer would be the inside."""
    asked = []

    async def answer(self, host, port, **how):
        asked.append(host)
        where = "127.0.0.1" if len(asked) == 1 else "127.99.99.99"
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (where, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answer)
    reply = await Outbound(("127.0.0.1/32",)).request("GET", f"http://rebinding.test:{far.port}/echo")
    assert reply.status == 200
    assert asked == ["rebinding.test"]


async def test_one_address_inside_is_enough_to_refuse(monkeypatch):
    async def answer(self, host, port, **how):
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (ip, port)) for ip in ("1.1.1.1", "10.0.0.1")]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answer)
    with pytest.raises(FarsiteError, match="not on the public internet"):
        await Outbound().request("GET", "https://both.test/")


async def test_the_address_connected_to_is_looked_at_once_more(far, monkeypatch):
    monkeypatch.setattr(Outbound, "_resolve", lambda self, target: _resolved(["127.0.0.1"]))
    with pytest.raises(FarsiteError) as caught:
        await Outbound().request("GET", str(far.make_url("/echo")))
    assert caught.value.code == "outbound_refused"


async def _resolved(found):
    return found


async def test_certificates_are_checked_with_the_operators_authorities_too(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    app = web.Application()
    app.router.add_get("/", _ok)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    try:
        url = f"https://127.0.0.1:{server.port}/"
        with pytest.raises(FarsiteError, match="certificate is not trusted"):
            await Outbound(HERE).request("GET", url)
        assert (await Outbound(HERE, tmp_path / "ca.pem").request("GET", url)).status == 200
    finally:
        await server.close()
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(FarsiteError, match="outbound_ca_file"):
        Outbound(HERE, tmp_path / "ca.pem")


async def _ok(request: web.Request) -> web.Response:
    return web.Response()


async def test_nobody_there_is_said(unused_tcp_port):
    with pytest.raises(FarsiteError, match="cannot be connected to"):
        await Outbound(HERE).request("GET", f"http://127.0.0.1:{unused_tcp_port}/")
