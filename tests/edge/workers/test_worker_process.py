"""A worker's own part, in this process."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from farsite_edge.workers import messages as m
from farsite_edge.workers.worker import Worker
from farsite_signaling.peer.talk import Heard, Talk
from farsite_signaling.peer.tunnelhost import TunnelHost
from farsite_signaling.wire.envelope import Candidates, Offer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.rights import Role, rights_of

FINGERPRINT = ":".join(["AB"] * 32)


def offered() -> m.Offered:
    now = int(time.time())
    times = {"iat": now, "nbf": now, "exp": now + 60, "until": now + 60}
    grant = Grant.model_validate(
        {"iss": "cloud", "aud": "urn:farsite:a:edge:e", "sub": "urn:farsite:a:user:u:device:d", "sid": "s1"}
        | {"org": "a", "role": Role.ADMIN, "rights": rights_of(Role.ADMIN)}
        | times
    )
    offer = Offer(sdp="v=0", grant="", versions=[1])
    return m.Offered(
        link=1, offer=offer, remote=grant.sub, fingerprint=FINGERPRINT, version=1, grant=grant, servers=[]
    )


async def test_candidates_right_behind_the_offer_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()

    async def open_(_self: Any, _verified: Any, talk: Talk) -> None:
        heard.set_result(await talk.receive())
        raise FarsiteError(ErrorCode.CLOSED, "Enough.")

    monkeypatch.setattr(TunnelHost, "open", open_)
    ours, theirs = socket.socketpair()
    lines = [
        m.Begin(session="s1", options={}, device_timeout=1.0),
        offered(),
        m.LinkHeard(link=1, body=Candidates(candidates=["candidate:1"]), fingerprint=FINGERPRINT),
    ]
    with ours:
        ours.sendall(b"".join(map(m.encode, lines)))  # one read of the worker's
        async with asyncio.timeout(10):
            await Worker(theirs).run()
    assert isinstance(heard.result().body, Candidates)
