"""The network check against real servers: what is right is PASS, and every fault is called by its name."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from aiohttp import web

from farsite_signaling.hub.testing import HubServer, MemoryOrganization
from farsite_signaling.peer.netcheck import Target, netcheck
from farsite_signaling.peer.netcheck import names as names_module
from farsite_signaling.peer.netcheck.nat import nat_row
from farsite_signaling.peer.netcheck.stunping import Mapping, parse_success
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import HUB_PATH
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.netcheck import CheckReport, CheckRow, RelayCheck, Result

StartHub = Callable[..., Awaitable[HubServer]]
Ask = Callable[[], Awaitable[RelayCheck]]
BOUND = 12.0
"""Twice of what a check takes whose parts all go unanswered: the machine may be busy."""
NOW = datetime.datetime.now(datetime.UTC)
GOOD_PROXY = "http://edge:pass%20word@127.0.0.1:{}"


def offering(*servers: IceServer) -> Ask:
    async def ask() -> RelayCheck:
        return RelayCheck(ice_servers=list(servers), expires_at=NOW, server_time=NOW)

    return ask


def target(hub: Any, *servers: IceServer, **more: Any) -> Target:
    api = hub.url.removesuffix(HUB_PATH).replace("ws", "http", 1)
    return Target(cloud_url=api, hub_url=hub.url, ask_relays=offering(*servers), **more)


def results(report: CheckReport) -> dict[str, Result]:
    return {row.name: row.result for row in report.rows}


def starting(report: CheckReport, name: str) -> CheckRow:
    [row] = [row for row in report.rows if row.name.startswith(name)]
    return row


class TlsHub:
    """A hub behind TLS, as a cloud has it."""

    def __init__(self, hub: HubServer, certificate: trustme.LeafCert) -> None:
        self._hub = hub
        self._certificate = certificate
        self.port = 0

    @property
    def url(self) -> str:
        return f"wss://localhost:{self.port}{HUB_PATH}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[TlsHub]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate.configure_cert(context)
        app = web.Application()
        app.router.add_get(HUB_PATH, self._hub.hub.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_everything_right(start_hub: StartHub, coturn: Any) -> None:
    hub = await start_hub()
    report = await netcheck(target(hub, coturn.server("stun"), coturn.server("udp", "tcp", "tls")))
    found = results(report)
    for name in ("DNS 127.0.0.1", "DNS localhost", "UDP", "IPv4", "NAT", "hub TCP", "hub WebSocket", "clock"):
        assert found[name] is Result.PASS, report.row(name)
    for transport in ("UDP", "TCP", "TLS"):
        row = starting(report, f"TURN {transport}")
        assert row.result is Result.PASS, row
        assert row.latency_ms is not None and row.latency_ms > 0
    assert not report.failed
    assert "none: seen as this machine's own address" in report.row("NAT").detail


async def test_the_allow_list_is_this_deployments(start_hub: StartHub, coturn: Any) -> None:
    hub = await start_hub()
    report = await netcheck(target(hub, coturn.server("stun", "udp", "tls")))
    lines = {(line.host, line.port, line.protocol) for line in report.allow_list}
    assert lines == {
        ("127.0.0.1", str(hub.port), "tcp"),
        ("127.0.0.1", str(coturn.port), "udp"),
        ("localhost", str(coturn.tls_port), "tcp"),
        ("any", "49152-65535", "udp"),
    }
    assert all(line.why for line in report.allow_list)


async def test_the_hub_lets_nobody_in_and_keeps_no_trace(
    start_hub: StartHub, organization: MemoryOrganization
) -> None:
    hub = await start_hub()
    report = await netcheck(target(hub))
    assert report.row("hub WebSocket").result is Result.PASS
    assert len(hub.hub) == 0
    assert organization.presence == []


async def test_udp_blocked_is_said_and_other_transports_make_it_a_warning(
    start_hub: StartHub, coturn: Any
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        nowhere = f"turn:127.0.0.1:{silent.getsockname()[1]}?transport=udp"
        blocked = coturn.server("udp").model_copy(update={"urls": [nowhere]})
        only_tcp = coturn.server("tcp").model_copy(
            update={"urls": [f"turn:localhost:{coturn.port}?transport=tcp"]}
        )
        hub = await start_hub()
        started = time.monotonic()
        report = await netcheck(target(hub, blocked))
        assert time.monotonic() - started < BOUND
        assert report.row("UDP").result is Result.WARN
        assert "blocked" in report.row("UDP").detail
        assert report.row("relay").result is Result.FAIL
        report = await netcheck(target(hub, blocked, only_tcp))
    assert starting(report, "TURN UDP").result is Result.WARN
    assert starting(report, "TURN TCP").result is Result.PASS
    assert not report.failed


async def test_wrong_credentials_are_named(start_hub: StartHub, coturn: Any) -> None:
    hub = await start_hub()
    report = await netcheck(target(hub, coturn.server("udp", secret="another secret")))
    row = starting(report, "TURN UDP")
    assert row.result is Result.FAIL
    assert "401" in row.detail
    assert "secret" in row.fix


async def test_a_relay_with_an_unknown_authority_is_named(start_hub: StartHub, coturn: Any) -> None:
    hub = await start_hub()
    row = starting(await netcheck(target(hub, coturn.server("tls", ca=False))), "TURN TLS")
    assert row.result is Result.FAIL
    assert "authority this machine does not know" in row.detail


async def test_through_a_proxy(start_hub: StartHub, coturn: Any, squid: int) -> None:
    hub = await start_hub()
    proxy = GOOD_PROXY.format(squid)
    report = await netcheck(target(hub, coturn.server("udp", "tcp", "tls"), proxy_address=proxy))
    for name in ("proxy", "hub TCP", "hub WebSocket", "clock"):
        assert report.row(name).result is Result.PASS, report.row(name)
    for transport in ("TCP", "TLS"):
        row = starting(report, f"TURN {transport}")
        assert row.result is Result.PASS, row
        assert row.name.endswith("by proxy")
    assert starting(report, "TURN UDP").result is Result.PASS
    assert "pass" not in report.model_dump_json().replace("PASS", "").replace("passed", "")
    assert ("127.0.0.1", str(squid)) in {(line.host, line.port) for line in report.allow_list}


async def test_a_wrong_proxy_password_is_named(start_hub: StartHub, coturn: Any, squid: int) -> None:
    hub = await start_hub()
    proxy = f"http://edge:guess@127.0.0.1:{squid}"
    report = await netcheck(target(hub, coturn.server("tcp"), proxy_address=proxy))
    assert report.row("proxy").result is Result.PASS
    assert report.row("proxy login").result is Result.FAIL
    assert "password" in report.row("proxy login").fix
    assert "user name and password" in starting(report, "TURN TCP").detail
    assert "hub WebSocket" not in results(report)
    assert "guess" not in report.model_dump_json()


async def test_a_proxy_that_is_not_there(start_hub: StartHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    report = await netcheck(target(await start_hub(), proxy_address=f"socks5://127.0.0.1:{port}"))
    assert report.row("proxy").result is Result.FAIL
    assert "refused" in report.row("proxy").detail


async def test_a_proxy_reached_by_https_is_refused_with_advice(start_hub: StartHub) -> None:
    with pytest.raises(FarsiteError) as caught:
        await netcheck(target(await start_hub(), proxy_address="https://127.0.0.1:1"))
    assert caught.value.code is ErrorCode.SETTING_INVALID


async def test_tls_with_a_good_certificate(start_hub: StartHub) -> None:
    authority = trustme.CA()
    expiring = authority.issue_cert("localhost", not_after=NOW + datetime.timedelta(days=5))
    for certificate, result in ((authority.issue_cert("localhost"), Result.PASS), (expiring, Result.WARN)):
        async with TlsHub(await start_hub(), certificate).serving() as hub:
            report = await netcheck(target(hub, tls=trusting(authority)))
            assert report.row("hub TLS").result is result, report.row("hub TLS")
            assert report.row("hub WebSocket").result is Result.PASS


@pytest.mark.parametrize(
    ("dates", "host", "known", "words"),
    [
        ({}, "localhost", False, "authority this machine does not know"),
        ({}, "elsewhere.example", True, "another host name"),
        ({"not_after": NOW - datetime.timedelta(days=1)}, "localhost", True, "has expired"),
        ({"not_before": NOW + datetime.timedelta(days=1)}, "localhost", True, "not valid yet"),
    ],
)
async def test_certificate_problems_are_named(
    start_hub: StartHub, dates: dict[str, Any], host: str, known: bool, words: str
) -> None:
    authority = trustme.CA(organization_name="Inspecting proxy")
    async with TlsHub(await start_hub(), authority.issue_cert(host, **dates)).serving() as hub:
        trust = trusting(authority if known else trustme.CA())
        report = await netcheck(target(hub, tls=trust))
    row = report.row("hub TLS")
    assert row.result is Result.FAIL
    assert words in row.detail
    assert "issued by" in row.detail
    assert row.fix
    assert "hub WebSocket" not in results(report)
    # Even then the clock is compared, by the HTTP answer's date.
    assert report.row("clock").result is Result.PASS


@pytest.mark.parametrize(("ahead", "side", "result"), [(7200, "behind", "FAIL"), (-60, "ahead of", "WARN")])
async def test_a_wrong_clock_is_named_with_its_seconds(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, ahead: float, side: str, result: str
) -> None:
    hub = await start_hub()
    monkeypatch.setattr("farsite_signaling.hub.hub.time", SimpleNamespace(time=lambda: time.time() + ahead))
    row = (await netcheck(target(hub))).row("clock")
    assert row.result == result
    assert side in row.detail
    assert abs(float(row.detail.split()[0]) - abs(ahead)) < 1


async def test_a_name_that_does_not_resolve() -> None:
    report = await netcheck(Target(cloud_url="https://cloud.invalid", ask_relays=offering()))
    assert report.row("DNS cloud.invalid").result is Result.FAIL
    assert report.row("hub TCP").result is Result.FAIL
    assert report.row("TURN").result is Result.WARN


async def test_a_resolver_that_never_answers_does_not_hold_the_check_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(*_: Any, **__: Any) -> Any:
        asyncio.run_coroutine_threadsafe(answered.wait(), loop).result(30)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(names_module.socket, "getaddrinfo", hang)
    started = time.monotonic()
    report = await netcheck(Target(cloud_url="https://slow.example"))
    answered.set()
    assert time.monotonic() - started < BOUND
    assert "no answer in time" in report.row("DNS slow.example").detail


async def test_a_silent_cloud_is_bounded(start_hub: StartHub) -> None:
    async def never() -> RelayCheck:
        await asyncio.Event().wait()
        raise AssertionError

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        started = time.monotonic()
        report = await netcheck(Target(cloud_url=f"http://127.0.0.1:{port}", ask_relays=never))
        assert time.monotonic() - started < BOUND
    assert report.row("hub TCP").result is Result.PASS
    assert report.row("hub WebSocket").result is Result.FAIL
    assert report.row("TURN").result is Result.WARN


async def test_signed_out_relays_are_skipped_with_advice(start_hub: StartHub) -> None:
    hub = await start_hub()
    report = await netcheck(
        Target(cloud_url=hub.url.replace("ws", "http"), hub_url=hub.url, no_relays="Sign in.")
    )
    assert (report.row("TURN").result, report.row("TURN").fix) == (Result.WARN, "Sign in.")
    assert report.row("hub WebSocket").result is Result.PASS
    assert not report.failed


def seen(*mapped: tuple[str, int], servers: tuple[str, ...] = ("5.9.0.1", "5.9.0.2")) -> list[Mapping]:
    places = [(server, 3478 + number) for number, server in enumerate(servers)]
    return [Mapping(place, address, 1.0) for place, address in zip(places, mapped, strict=False)]


@pytest.mark.parametrize(
    ("found", "source", "result", "words"),
    [
        ([], "10.0.0.2", Result.WARN, "unknown"),
        (seen(("198.51.100.1", 1000)), "10.0.0.2", Result.WARN, "two are needed"),
        (seen(("198.51.100.1", 1000), ("198.51.100.1", 1000)), "10.0.0.2", Result.PASS, "easy: the same"),
        (seen(("198.51.100.1", 1000), ("198.51.100.1", 1001)), "10.0.0.2", Result.WARN, "hard (symmetric)"),
        (
            seen(("198.51.100.1", 1), ("198.51.100.2", 1)),
            "10.0.0.2",
            Result.WARN,
            "198.51.100.1, 198.51.100.2",
        ),
        (seen(("198.51.100.1", 1000)), "198.51.100.1", Result.PASS, "none"),
        (
            seen(("198.51.100.1", 1), ("198.51.100.1", 1), servers=("5.9.0.1", "5.9.0.1")),
            "10.0.0.2",
            Result.PASS,
            "2 ports of one server",
        ),
    ],
)
def test_the_kind_of_nat(found: list[Mapping], source: str, result: Result, words: str) -> None:
    row = nat_row(found, source)
    assert row.result is result
    assert words in row.detail


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x01" + bytes(18),
        b"\x01\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x20\x00\xff\x00\x01",
        b"\x01\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x20\x00\x08\x00",
    ],
)
def test_damaged_stun_answers_are_passed_over(data: bytes) -> None:
    assert parse_success(data) is None


async def test_the_text_for_people_holds_every_row_and_no_control_characters(start_hub: StartHub) -> None:
    from farsite_signaling.checks import lines

    report = await netcheck(target(await start_hub()))
    odd = CheckRow(name="odd", result=Result.FAIL, detail="a\x1b[2Jb", fix="do\nthis")
    text = "\n".join(lines(report.model_copy(update={"rows": [*report.rows, odd]})))
    for row in report.rows:
        assert row.name in text
    assert "\x1b" not in text
    assert "-> do this" in text
    coloured = "\n".join(lines(report, colour=True))
    assert "\x1b[32mPASS\x1b[0m" in coloured
