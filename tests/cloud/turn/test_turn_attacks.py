"""Attacks on a running coturn with the configuration we ship (CVE-2026-27624 and its relatives)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from farsite_cloud.turn.config import render
from farsite_cloud.turn.credentials import turn_credentials
from farsite_cloud.turn.probe import answers_udp
from farsite_cloud.turn.supervisor import TurnServer
from farsite_cloud.turn.version import installed_version
from farsite_signaling.processes import stop
from tests.cloud.turn.conftest import OLD_SECRET, SECRET, client, local_settings
from tests.cloud.turn.turn_client import CONNECT, REFRESH, SUCCESS, TCP, TurnClient

FORBIDDEN_IPV4 = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.254",
    "203.0.113.1",
    "224.0.0.251",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
]
FORBIDDEN_IPV6 = [
    "::",
    "::1",
    "::127.0.0.1",
    "::10.1.2.3",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::ffff:10.0.0.0",
    "::ffff:127.0.0.0",
    "::ffff:169.254.0.0",
    "::ffff:5.9.9.9",
    "::1:0",
    "::100:0:0",
    "1fff:ffff::",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a01:203",
    "64:ff9b::a00:0",
    "64:ff9b::",
    "64:ff9b:1::a01:203",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a01:203::1",
    "fc00::1",
    "fd00::",
    "fd00::5",
    "fdff:ffff::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff05::c",
]
OPEN = {4: ["5.9.9.9", "1.0.0.0", "223.255.255.255"], 6: ["2a00:1450::5", "2600::", "2001:200::1"]}
FORBIDDEN = {4: FORBIDDEN_IPV4, 6: FORBIDDEN_IPV6}
NAIVE_DENIALS = [
    "0.0.0.0-0.255.255.255",
    "10.0.0.0-10.255.255.255",
    "127.0.0.0-127.255.255.255",
    "169.254.0.0-169.254.255.255",
]


@pytest.mark.parametrize("via", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("version", [4, 6])
async def test_forbidden_peers_are_refused(relay: TurnServer, via: str, version: int) -> None:
    async with client(relay, via) as attacker:
        assert (await attacker.allocate(version)).kind == SUCCESS
        # A dead or broken server refuses everything: an ordinary peer is let through, before and after.
        assert [(await attacker.permission(peer)).code for peer in OPEN[version]] == [0, 0, 0]
        refused = {peer: (await attacker.permission(peer)).code for peer in FORBIDDEN[version]}
        bound = {
            peer: (await attacker.bind_channel(peer, 0x4000 + number)).code
            for number, peer in enumerate(FORBIDDEN[version])
        }
        assert (await attacker.bind_channel(OPEN[version][0], 0x4FFE)).code == 0
    assert {peer: code for peer, code in refused.items() if code != 403} == {}
    assert {peer: code for peer, code in bound.items() if code != 403} == {}


@pytest.mark.parametrize("version", [4, 6])
async def test_peers_of_the_other_family_are_refused(relay: TurnServer, version: int) -> None:
    async with client(relay) as attacker:
        await attacker.allocate(version)
        other = FORBIDDEN[10 - version]
        codes = {peer: (await attacker.permission(peer)).code for peer in other}
    assert {peer: code for peer, code in codes.items() if code not in (403, 443)} == {}


class Witness(asyncio.DatagramProtocol):
    """A service on the relay's own machine that no client may reach."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.put_nowait(data)


async def _witness() -> tuple[asyncio.DatagramTransport, Witness, int]:
    loop = asyncio.get_running_loop()
    transport, witness = await loop.create_datagram_endpoint(Witness, local_addr=("127.0.0.1", 0))
    return transport, witness, transport.get_extra_info("sockname")[1]


async def _send_all(attacker: TurnClient, port: int) -> None:
    for peer in ["127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"]:
        attacker.send(peer, port, peer.encode())
    # The answer to a request sent later shows that what came before was handled.
    assert (await attacker.request(REFRESH)).code == 0


@pytest.mark.parametrize("via", ["udp", "tcp"])
@pytest.mark.parametrize("version", [4, 6])
async def test_send_indications_reach_no_local_service(relay: TurnServer, via: str, version: int) -> None:
    transport, witness, port = await _witness()
    async with client(relay, via) as attacker:
        await attacker.allocate(version)
        await _send_all(attacker, port)
    transport.close()
    assert witness.received.empty()


async def test_the_witness_would_see_a_relayed_packet(coturn: str, data_dir: Path) -> None:
    transport, witness, port = await _witness()
    async with TurnServer(local_settings(data_dir, allow_loopback=True)) as server:
        assert server.running, server.problem
        async with client(server) as user:
            await user.allocate(4)
            assert (await user.permission("127.0.0.1")).code == 0
            user.send("127.0.0.1", port, b"through")
            assert await asyncio.wait_for(witness.received.get(), 5) == b"through"
    transport.close()


@pytest.mark.parametrize("via", ["udp", "tcp", "tls"])
async def test_tcp_relaying_is_refused(relay: TurnServer, via: str) -> None:
    async with client(relay, via) as attacker:
        assert (await attacker.allocate(4, transport=TCP)).code != 0
        assert attacker.relayed is None
    async with client(relay, "tcp") as attacker:
        await attacker.allocate(4)
        assert (await attacker.request(CONNECT, peer=(OPEN[4][0], 80))).code != 0


async def test_expired_credentials_are_refused(relay: TurnServer) -> None:
    async with client(relay, ttl=-60) as late:
        assert (await late.allocate()).code == 401


async def test_forged_credentials_are_refused(relay: TurnServer) -> None:
    async with client(relay) as forger:
        expiry, _, session = forger.username.partition(":")
        forger.username = f"{int(expiry) + 100_000}:{session}"
        assert (await forger.allocate()).code == 401
    async with client(relay, secret="the-secret-of-another-site") as stranger:
        assert (await stranger.allocate()).code == 401
    async with client(relay) as anonymous:
        anonymous.username = ""
        assert (await anonymous.allocate()).code in (400, 401)


async def test_the_second_secret_is_accepted_during_rotation(relay: TurnServer) -> None:
    async with client(relay, secret=OLD_SECRET) as user:
        assert (await user.allocate()).code == 0


async def test_a_session_has_a_quota(coturn: str, data_dir: Path) -> None:
    async with TurnServer(local_settings(data_dir, user_quota=2)) as server:
        assert server.running, server.problem
        async with client(server) as one, client(server) as two, client(server) as three:
            assert [(await user.allocate()).code for user in (one, two, three)] == [0, 0, 486]


async def test_all_sessions_have_a_quota(coturn: str, data_dir: Path) -> None:
    async with TurnServer(local_settings(data_dir, total_quota=1)) as server:
        assert server.running, server.problem
        async with client(server) as one, client(server) as two:
            two.username = one.username
            two.credential = one.credential
            assert [(await user.allocate()).code for user in (one, two)] == [0, 486]


async def test_nothing_but_the_listeners_is_open(relay: TurnServer) -> None:
    """coturn's command line (5766) and web administration (8080) stay closed."""
    settings = relay.settings
    assert _listening_ports(relay.pid or 0) == {settings.port, settings.tls_port, settings.alt_tls_port}


def _listening_ports(pid: int) -> set[int]:
    inodes = {
        target.removeprefix("socket:[").rstrip("]")
        for file in Path(f"/proc/{pid}/fd").iterdir()
        if (target := str(file.readlink())).startswith("socket:[")
    }
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


async def test_an_ipv4_deny_list_alone_is_open_to_the_attack(coturn: str, data_dir: Path) -> None:
    """Guards these tests: on a coturn with the fault, the attack does succeed where our lines are missing."""
    settings = local_settings(data_dir)
    lines = render(settings).splitlines()
    kept = [
        line
        for line in lines
        if not line.startswith(("denied-peer-ip", "no-tls", "tls-", "aux-", "proc-user"))
    ]
    naive = data_dir / "naive.conf"
    naive.write_text("\n".join([*kept, "no-tls", *(f"denied-peer-ip={block}" for block in NAIVE_DENIALS)]))
    codes = await _attack_naive(coturn, naive, settings.port or 0)
    assert codes["127.0.0.1"] == 403
    assert codes["10.1.2.3"] == 403
    if (await installed_version(coturn) or (0, 0, 0)) < (4, 9, 0):
        assert codes["::ffff:127.0.0.1"] == codes["::ffff:10.1.2.3"] == codes["fd00::5"] == 0


async def _attack_naive(coturn: str, config: Path, port: int) -> dict[str, int]:
    process = await asyncio.create_subprocess_exec(
        coturn, "-c", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await asyncio.wait_for(answers_udp("127.0.0.1", port), 10)
        username, credential = turn_credentials(SECRET, "s", 600, time.time())
        codes: dict[str, int] = {}
        for version, peers in (
            (4, ["127.0.0.1", "10.1.2.3"]),
            (6, ["::ffff:127.0.0.1", "::ffff:10.1.2.3", "fd00::5"]),
        ):
            async with TurnClient("127.0.0.1", port, "udp", username, credential) as attacker:
                assert (await attacker.allocate(version)).code == 0
                codes |= {peer: (await attacker.permission(peer)).code for peer in peers}
        return codes
    finally:
        await stop(process)
