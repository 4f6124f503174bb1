"""A remote client inside a namespace: commands as JSON lines on standard input, one JSON line for each answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from farsite_client.cloud import CloudClient
from farsite_client.profile import Profile
from farsite_client.session import RemoteSession, connect
from farsite_signaling.peer.rtc import preload
from farsite_signaling.wire.errors import FarsiteError
from tests.lab.reach import reaching

SETTLE = 45.0
"""A try for a direct path that the machine was too busy for is repeated after 15 s."""
PART = 256 * 1024
PART_DIGEST = hashlib.sha256(bytes(PART)).hexdigest()
SHOWN = {"path", "reason", "moves", "last_move"}


async def sign_in(profile: Profile, *, url: str, email: str, password: str) -> dict[str, Any]:
    async with CloudClient(url, proxy=profile.proxy, ca_file=profile.ca_file) as cloud:
        signed_in = await cloud.sign_in(email, password)
        [organization] = await cloud.organizations()
        await profile.enrol(cloud, signed_in, organization, None)
    return {"organization": organization.id}


async def setup_code(profile: Profile, *, name: str) -> dict[str, Any]:
    stored = profile.load()
    async with profile.cloud(stored) as cloud:
        return {"code": (await cloud.setup_code(stored.organization_id, name)).code}


async def open_session(profile: Profile, *, edge: str, settle: str = "") -> dict[str, Any]:
    """Open, and have one request answered through the tunnel; times in milliseconds from the wish to each.

    With `settle` a relay that opened first may still give way to a direct path, for `SETTLE` seconds.
    """
    started = time.monotonic()
    async with connect(profile, edge) as session:
        opened = time.monotonic() - started
        await session.edge.status()
        answered = time.monotonic() - started
        first = session.status().path
        if settle:
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE):
                    while session.tunnel.path.relayed:
                        await session.tunnel.changed()
        status = session.status()
    return {
        "path": str(status.path),
        "first": str(first),
        "reason": status.reason,
        "open_ms": round(opened * 1000),
        "answered_ms": round(answered * 1000),
    }


async def reach(profile: Profile, *, edge: str, times: int) -> dict[str, Any]:
    """See `Reach.opened`; the first time is not counted: it fills caches."""
    async with reaching(profile, edge) as opener:
        await opener.once()
        return {"opens": [await opener.once() for _ in range(times)]}


class Held:
    """One session that stays open between commands."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._session: RemoteSession | None = None

    def _status(self) -> dict[str, Any]:
        assert self._session is not None, "no session"
        return self._session.status().model_dump(mode="json", include=SHOWN)

    async def begin(self, profile: Profile, *, edge: str) -> dict[str, Any]:
        begun = time.monotonic()
        self._session = await self._stack.enter_async_context(connect(profile, edge))
        return {**self._status(), "took": time.monotonic() - begun}

    async def carry(self, profile: Profile, *, seconds: float) -> dict[str, Any]:
        """Upload until the tunnel has moved once more, or the time is up; and how long the slowest part took."""
        assert self._session is not None, "no session"
        before = self._session.status().moves
        whole, slowest, parts = True, 0.0, 0
        end = time.monotonic() + seconds
        while (begin := time.monotonic()) < end and self._session.status().moves == before:
            arrived = await self._session.edge.upload(PART)
            whole = whole and (arrived.bytes, arrived.sha256) == (PART, PART_DIGEST)
            slowest, parts = max(slowest, time.monotonic() - begin), parts + 1
        return {**self._status(), "whole": whole, "slowest": slowest, "parts": parts}

    async def end(self, profile: Profile) -> dict[str, Any]:
        self._session = None
        await self._stack.aclose()
        return {}


HELD = Held()
COMMANDS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
    "sign_in": sign_in,
    "setup_code": setup_code,
    "open": open_session,
    "reach": reach,
    "begin": HELD.begin,
    "carry": HELD.carry,
    "end": HELD.end,
}


async def answer(profile: Profile, line: str) -> dict[str, Any]:
    request = json.loads(line)
    try:
        return {"ok": True, **await COMMANDS[request.pop("do")](profile, **request)}
    except FarsiteError as error:
        return {"ok": False, "code": str(error.code), "detail": error.detail}


async def main(home: str, ca_file: str, proxy: str) -> None:
    profile = Profile(Path(home), proxy=proxy or None, ca_file=ca_file)
    preload()  # once: the grid measures the network, not imports
    print(json.dumps({"ok": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(profile, line)), flush=True)


asyncio.run(main(*sys.argv[1:]))
