"""How large packets may be: path MTU discovery of the packetization layer (RFC 8899, for SCTP its section 6.1).

A HEARTBEAT, padded (RFC 4820) to the size in question, is asked from the largest size on which the first hop carries
down to the common ones. What is answered is used from then on. That large packets stopped passing is found by silence:
small ones sent beside them are answered again and again, and no data is acknowledged.

    base -> searching -> settled      settled -> suspect -> settled or blocked
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum

from farsite_signaling.peer.association.packets import CHUNK_HEADER, HEADER, HEARTBEAT, PAD, chunk, parameter
from farsite_signaling.peer.association.settings import PACKET

logger = logging.getLogger(__name__)

COMMON = (9000, 1500, 1492, 1480, 1460, 1450, 1420, 1400, 1380, 1340)
"""Links' sizes: jumbo frames, Ethernet, PPPoE, tunnels of all kinds."""
_INFO = 1
"""The parameter of a HEARTBEAT (RFC 9260 section 3.3.5)."""
_NONCE = 8
_SMALL = HEADER + 2 * CHUNK_HEADER + _NONCE
_ATTEMPTS = 3
_LEAST_WAIT = 0.25
_PROOFS = 3
_RAISE_AFTER = 600.0
"""Seconds until larger sizes are tried again (RFC 8899 section 5.1.1, PMTU_RAISE_TIMER)."""


class SearchState(StrEnum):
    BASE = "base"
    SEARCHING = "searching"
    SETTLED = "settled"
    SUSPECT = "suspect"
    BLOCKED = "blocked"


class PacketSize:
    """`size` in bytes, of whole SCTP packets. `outgoing`: bodies of packets to be sent each by itself."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self.size = PACKET
        self.state = SearchState.BASE
        self.deadline: float | None = None
        self.outgoing: list[bytes] = []
        self._random = random
        self._sizes: list[int] = []
        self._left: list[int] = []
        self._nonce = b""
        self._attempts = 0
        self._proofs = 0
        self._asked_at = 0
        self._round_trip = _LEAST_WAIT

    @property
    def large(self) -> bool:
        """Packets are, or are tried to be, larger than what every path carries."""
        return self.state is SearchState.SEARCHING or self.size > PACKET

    def search(self, most: int, headers: int, now: float) -> None:
        """`most`: the largest packet the first hop carries; `headers`: what lower layers add to each."""
        sizes = {most} | {mtu - headers for mtu in COMMON if mtu - headers < most}
        self._sizes = sorted({size & ~3 for size in sizes if size > PACKET}, reverse=True)
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._left = [size for size in self._sizes if size > self.size]
        if self._left:
            self._set(SearchState.SEARCHING)
            self._attempts = 0
            self._ask(self._left[0], now)
        else:
            self._settle(now)

    def _settle(self, now: float) -> None:
        self._set(SearchState.SETTLED)
        self._nonce = b""
        larger = bool(self._sizes) and self.size < self._sizes[0]
        self.deadline = now + _RAISE_AFTER if larger else None

    def _ask(self, size: int, now: float) -> None:
        self._nonce = self._random(_NONCE)
        self._attempts += 1
        body = chunk(HEARTBEAT, parameter(_INFO, self._nonce))
        if size > _SMALL:
            body += chunk(PAD, bytes(size - _SMALL - CHUNK_HEADER))
        self.outgoing.append(body)
        self.deadline = now + max(_LEAST_WAIT, 3 * self._round_trip)

    def measured(self, round_trip: float | None) -> None:
        """Of the path, seconds: how long an answer is waited for."""
        if round_trip is not None:
            self._round_trip = round_trip

    def answered(self, info: bytes, now: float) -> bool:
        """A HEARTBEAT ACK's body. True: large packets do not pass any more, small ones do."""
        if not self._nonce or info != parameter(_INFO, self._nonce):
            return False
        self._nonce = b""
        if self.state is SearchState.SUSPECT:
            return self._proved()
        if self.state is SearchState.SEARCHING:
            self.size = self._left[0]
            self._settle(now)
        return False

    def _proved(self) -> bool:
        self._proofs += 1
        if self._proofs < _PROOFS:
            return False
        self._set(SearchState.BLOCKED)
        return True

    def expired(self, now: float) -> None:
        if self.deadline is None or now < self.deadline:
            return
        if self.state is SearchState.SETTLED:
            self._begin(now)
        elif self.state is SearchState.SEARCHING:
            self._unanswered(now)

    def _unanswered(self, now: float) -> None:
        if self._attempts >= _ATTEMPTS:
            self._left.pop(0)
            self._attempts = 0
        if self._left:
            self._ask(self._left[0], now)
        else:
            self._settle(now)

    def silent(self, timeouts: int, now: float) -> None:
        """What was repeated was not acknowledged, so often in a row: do small packets pass beside the next repetition?"""
        if self.size == PACKET or (self.state is SearchState.SUSPECT and timeouts == self._asked_at):
            return
        if self.state is not SearchState.SUSPECT:
            self._set(SearchState.SUSPECT)
            self._proofs = 0
        self._asked_at = timeouts
        self._ask(_SMALL, now)
        self.deadline = None

    def heard(self, now: float) -> None:
        """Data was acknowledged."""
        if self.state is SearchState.SUSPECT:
            self._settle(now)

    def _set(self, state: SearchState) -> None:
        if state is not self.state:
            logger.debug("packet size: %s -> %s at %d bytes", self.state, state, self.size)
            self.state = state
