"""How many sessions an edge host holds, and how many one client may be opening at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Protocol

from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class Standing(Protocol):
    """A tunnel that has a place. `detached_at`: since when its client is away, time of the event loop."""

    @property
    def detached_at(self) -> float | None: ...

    def fail(self, error: FarsiteError) -> None: ...


class Places:
    """`tunnels`: those that stand, by session; kept by the caller, and shortened here to make room."""

    def __init__(self, tunnels: MutableMapping[str, Any], *, most: int, most_opening: int) -> None:
        self._tunnels = tunnels
        self._most = most
        self._most_opening = most_opening
        self._opening: Counter[str] = Counter()
        self._joining: Counter[str] = Counter()  # links for tunnels that stand: they take no further place

    def check(self, sender: str, session: str, *, joins: bool) -> None:
        """Raises `unavailable` or `rate_limited`."""
        if not joins:
            self._check_room(session)
        if (self._joining if joins else self._opening)[sender] >= self._most_opening:
            raise FarsiteError(
                ErrorCode.RATE_LIMITED, "Too many sessions are being opened at once; try again in a moment."
            )

    @contextmanager
    def taken(self, sender: str, *, joins: bool) -> Iterator[None]:
        """While a link is being opened."""
        counter = self._joining if joins else self._opening
        counter[sender] += 1
        try:
            yield
        finally:
            counter[sender] -= 1
            if counter[sender] <= 0:
                del counter[sender]

    def _check_room(self, session: str) -> None:
        standing = len(self._tunnels) - (session in self._tunnels)
        if standing + self._opening.total() >= self._most and not self._make_room(session):
            raise FarsiteError(
                ErrorCode.UNAVAILABLE,
                f"The edge host has {self._most} sessions open, which is its limit. Close one.",
            )

    def _make_room(self, session: str) -> bool:
        """Give up the tunnel that has waited longest for its client to come back, if one does."""
        standing: list[tuple[str, Standing]] = list(self._tunnels.items())
        waiting = [
            (tunnel.detached_at, sid, tunnel)
            for sid, tunnel in standing
            if tunnel.detached_at is not None and sid != session
        ]
        if not waiting:
            return False
        _, sid, tunnel = min(waiting, key=lambda entry: entry[:2])
        del self._tunnels[sid]
        tunnel.fail(FarsiteError(ErrorCode.UNAVAILABLE, "Its place was needed while its client was away."))
        return True
