"""Many edge hosts' signaling in one process, each with an identity of its own: how soon they are online again.

Says `online` once all are, and after the order `{"restored": seconds}` (the system's monotonic clock) `back`: how long
after that moment each was online, for good.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from farsite_signaling.identity import CertificateAuthority, Identity, generate_key, make_request
from farsite_signaling.peer.signaling import SignalingClient, SignalingState
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId

SPREAD = 5.0
"""Seconds within which they start: heartbeats, and what follows from them, are not in step then."""


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Peer:
    def __init__(self, hub: str, authority: CertificateAuthority, number: int) -> None:
        key = generate_key()
        urn = EdgeName(OrgId("acme"), EdgeId(f"many{number}"))
        identity = Identity.from_pem(key, authority.issue(make_request(key, "lab"), urn))
        self.since = 0.0
        self.lost = asyncio.Event()
        self.client = SignalingClient(
            hub, identity, agent="lab", on_message=self._ignored, on_state=self._changed
        )

    async def _ignored(self, message: Any) -> None:
        pass

    def _changed(self, state: SignalingState, _error: object) -> None:
        if state is SignalingState.ONLINE:
            self.since = time.monotonic()
        else:
            self.lost.set()


async def order() -> dict[str, Any]:
    line = await asyncio.to_thread(sys.stdin.readline)
    return dict(json.loads(line))


async def main(folder: Path, count: int) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    key, certificate = (folder / "ca.key").read_bytes(), (folder / "ca.pem").read_text()
    authority = CertificateAuthority.load(key, certificate)
    peers = [Peer(settings["hub"], authority, number) for number in range(count)]
    async with asyncio.TaskGroup() as group:
        ended = asyncio.Event()
        for number, peer in enumerate(peers):
            group.create_task(_run(peer, SPREAD * number / count, ended))
        for peer in peers:
            await peer.client.wait_online(30)
        say(event="online")
        for peer in peers:
            await peer.lost.wait()
        say(event="lost")
        restored = (await order())["restored"]
        for peer in peers:
            await peer.client.wait_online(60)
        say(event="back", after=[peer.since - restored for peer in peers])
        ended.set()


async def _run(peer: Peer, delay: float, ended: asyncio.Event) -> None:
    await asyncio.sleep(delay)
    async with peer.client:
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
