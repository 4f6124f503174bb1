"""What reached a TURN server on which network: what is remembered, and what it changes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farsite_signaling.peer import ice as ice_module
from farsite_signaling.peer.network_memory import KEPT, MAX_NETWORKS, NetworkMemory, network_fingerprint
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.servers import RelayTransport
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.path import Path as LinkPath
from farsite_signaling.wire.stream import ApiTarget

StartSite = Callable[..., Awaitable[Any]]


class Places:
    """Moves between networks, and through time."""

    def __init__(self, file: Path) -> None:
        self.here: str | None = "office"
        self.now = 1_000_000.0
        self.file = file

    def memory(self) -> NetworkMemory:
        return NetworkMemory(self.file, fingerprint=lambda: self.here, clock=lambda: self.now)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "new" / "networks.json")


def test_each_network_has_its_own(places: Places) -> None:
    assert places.memory().recall() is None
    places.memory().blocked(RelayTransport.TLS)
    places.here = "hotel"
    assert places.memory().recall() is None
    places.memory().blocked(RelayTransport.TCP)
    places.here = "office"
    assert places.memory().recall() is RelayTransport.TLS
    places.memory().open()
    assert places.memory().recall() is None
    places.here = "hotel"
    assert places.memory().recall() is RelayTransport.TCP
    assert places.file.stat().st_mode & 0o077 == 0


def test_a_network_nobody_can_tell_is_not_remembered(places: Places) -> None:
    places.here = None
    places.memory().blocked(RelayTransport.TLS)
    assert places.memory().recall() is None
    assert not places.file.exists()


def test_old_networks_are_forgotten(places: Places) -> None:
    places.memory().blocked(RelayTransport.TLS)
    places.now += KEPT + 1
    assert places.memory().recall() is None


def test_only_the_newest_are_kept(places: Places) -> None:
    for number in range(MAX_NETWORKS + 5):
        places.here, places.now = f"place {number}", places.now + 1
        places.memory().blocked(RelayTransport.TCP)
    kept = json.loads(places.file.read_text())["networks"]
    assert len(kept) == MAX_NETWORKS
    assert "place 0" not in kept


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"networks": {"office": {"transport": "smoke", "at": 1}}}', "{" * 100_000]
)
def test_a_damaged_file_is_as_none(places: Places, text: str) -> None:
    places.file.parent.mkdir()
    places.file.write_text(text)
    assert places.memory().recall() is None
    places.memory().blocked(RelayTransport.TCP)
    assert places.memory().recall() is RelayTransport.TCP


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = NetworkMemory(tmp_path / "file" / "networks.json", fingerprint=lambda: "office")
    memory.blocked(RelayTransport.TCP)
    assert memory.recall() is None


def test_a_network_is_its_addresses_and_gateways(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    header = "Iface Destination Gateway Flags\n"
    routes.write_text(header + "eth0 00000000 0100A8C0 0003\neth0 0000A8C0 00000000 0001\n")

    def of(*addresses: str) -> str | None:
        return network_fingerprint(lambda: addresses, routes)

    office = of("192.168.0.7", "127.0.0.1", "fe80::1", "2001:db8::1234")
    assert office == of("2001:db8::9999", "192.168.0.7")
    assert office != of("192.168.0.8", "2001:db8::1234")
    routes.write_text(header + "eth0 00000000 FE00A8C0 0003\n")
    assert office != of("192.168.0.7", "2001:db8::1234")
    assert of("127.0.0.1") is None
    assert network_fingerprint(lambda: ["192.168.0.7"], tmp_path / "none") is not None


@pytest.fixture
def silence() -> Iterator[int]:
    """A port that takes UDP and never answers: a firewall."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]


def behind(port: int, coturn: Any) -> list[IceServer]:
    urls = [f"turn:127.0.0.1:{port}?transport=udp", f"stun:127.0.0.1:{port}"]
    return [coturn.server("udp").model_copy(update={"urls": urls}), coturn.server("tcp", "tls")]


async def test_a_site_without_udp_is_not_made_to_wait_again(
    start_site: StartSite,
    acme: Any,
    coturn: Any,
    silence: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farsite_signaling.peer.network_memory.network_fingerprint", lambda: "office")
    file = tmp_path / "networks.json"
    site = await start_site(client=PeerOptions(addresses=(), open_timeout=10.0, network_memory=str(file)))

    async def path(servers: list[IceServer]) -> LinkPath:
        async with await site.dial(acme.ticket(servers=servers)) as tunnel:
            _, writer = await tunnel.open_stream(ApiTarget())
            writer.close()
            return LinkPath(tunnel.path)

    assert await path(behind(silence, coturn)) is LinkPath.RELAY_TCP
    assert NetworkMemory(file).recall() is RelayTransport.TCP
    # From now on only what is remembered is tried in time: others wait for longer than the attempt may take.
    monkeypatch.setattr(ice_module, "RELAY_STAGGER", 60.0)
    assert await path(behind(silence, coturn)) is LinkPath.RELAY_TCP
    # UDP is tried all the same, and believed when it works.
    assert await path([coturn.server("udp", "tls")]) is LinkPath.RELAY_UDP
    assert NetworkMemory(file).recall() is None


async def test_without_a_memory_nothing_is_written(
    start_site: StartSite, acme: Any, coturn: Any, silence: int, tmp_path: Path
) -> None:
    site = await start_site(client=replace(PeerOptions(addresses=()), open_timeout=10.0))
    async with asyncio.timeout(10):
        async with await site.dial(acme.ticket(servers=behind(silence, coturn))) as tunnel:
            assert tunnel.path is LinkPath.RELAY_TCP
    assert list(tmp_path.iterdir()) == []
