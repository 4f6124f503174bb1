"""The words for a path and the reason for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from farsite_signaling.peer.gathering import GatheringReport
from farsite_signaling.peer.paths import classify
from farsite_signaling.peer.servers import RelayTransport, TurnServer
from farsite_signaling.wire.path import Path


def ice(
    local: tuple[str, str], remote: tuple[str, str], transport: RelayTransport | None = None, **changes: Any
) -> Any:
    server = TurnServer("turn", 443, transport, "u", "c") if transport is not None else None
    pair = SimpleNamespace(
        local_candidate=SimpleNamespace(type=local[0], host=local[1]),
        remote_candidate=SimpleNamespace(type=remote[0], host=remote[1], port=1000),
        protocol=SimpleNamespace(relay_server=server),
    )
    known = {"selected": pair, "report": GatheringReport(), "proxied": False, "relay_only": False}
    return SimpleNamespace(remote_candidates=[], **(known | changes))


def test_a_check_from_their_relay_that_came_before_its_candidate_is_no_direct_path() -> None:
    link = ice(("host", "10.0.0.1"), ("prflx", "8.8.8.8"))
    link.remote_candidates.append(SimpleNamespace(type="relay", host="8.8.8.8", port=1000))
    assert classify(link)[0] is Path.RELAY_UDP


@pytest.mark.parametrize(
    ("local", "remote", "path"),
    [
        ("10.0.0.1", ("host", "10.0.0.9"), Path.LAN),
        ("10.0.0.1", ("host", "10.9.0.9"), Path.LAN),
        ("10.0.0.1", ("prflx", "10.0.0.9"), Path.LAN),
        ("10.0.0.1", ("srflx", "8.8.8.8"), Path.DIRECT),
        ("10.0.0.1", ("prflx", "8.8.8.8"), Path.DIRECT),
        ("2a00:1::1", ("host", "2a00:2::1"), Path.DIRECT),
        ("2a00:1::1", ("host", "2a00:1::2"), Path.LAN),
        ("10.0.0.1", ("relay", "8.8.8.8"), Path.RELAY_UDP),
    ],
)
def test_paths_without_a_relay_of_ours(local: str, remote: tuple[str, str], path: Path) -> None:
    assert classify(ice(("host", local), remote))[0] is path


def test_our_relays_say_how_and_why() -> None:
    relayed, remote = ("relay", "8.8.8.8"), ("relay", "9.9.9.9")
    blocked = GatheringReport(stun_asked=1)
    tls = RelayTransport.TLS
    assert classify(ice(relayed, remote, tls, report=blocked)) == (
        Path.RELAY_TLS,
        "relay over TLS: UDP is blocked here",
    )
    path, reason = classify(ice(relayed, remote, tls, report=blocked, proxied=True))
    assert (path, reason) == (Path.RELAY_TLS, "relay over TLS through the proxy: UDP is blocked here")
    path, reason = classify(ice(relayed, remote, RelayTransport.UDP))
    assert path is Path.RELAY_UDP
    assert "no direct packets" in reason


def test_nothing_selected() -> None:
    assert classify(ice(("host", "10.0.0.1"), ("host", "10.0.0.2"), selected=None))[0] is Path.NONE
