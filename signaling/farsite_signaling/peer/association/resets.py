"""Closing streams (RFC 6525, RFC 8831 section 6.7): each side resets what it sends; then the number is free."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack, unpack_from

from farsite_signaling.peer.association.packets import (
    MASK,
    RECONFIG,
    MalformedError,
    chunk,
    parameter,
    parameters,
    unwrap,
)

OUTGOING, INCOMING, ASSOCIATION, RESPONSE, ADD_OUTGOING, ADD_INCOMING = 13, 14, 15, 16, 17, 18
NOTHING, PERFORMED, DENIED, IN_PROGRESS = 0, 1, 2, 6
MAX_STREAMS = 128
_LEAST_WAIT = 0.5
_MOST_WAIT = 5.0
_ATTEMPTS = 24
"""With three in ten packets lost each way, every other attempt fails: twelve in a row are not even rare."""


class Resets:
    """`inbound(stream)` and `outbound(stream)` are called when that direction begins anew."""

    def __init__(
        self, local: int, remote: int, inbound: Callable[[int], None], outbound: Callable[[int], None]
    ) -> None:
        self.waiting: dict[int, None] = {}
        self.outgoing: list[bytes] = []
        self._inbound = inbound
        self._outbound = outbound
        self._next = local
        self._seen = (remote - 1) & MASK
        self._result = NOTHING
        self._request: tuple[int, list[int], bytes] | None = None
        self.deferred: tuple[int, int, list[int]] | None = None
        self._sent_at = 0.0
        self._attempts = 0

    # ours

    def close(self, stream: int) -> None:
        """Once everything queued on it is sent."""
        self.waiting[stream] = None

    def request(self, last_tsn: int, silent: Callable[[int], bool], now: float) -> None:
        """One request is on its way at a time; `silent` tells whether a stream has nothing left to send."""
        if self._request is not None or not self.waiting:
            return
        streams = [stream for stream in self.waiting if silent(stream)][:MAX_STREAMS]
        if not streams:
            return
        for stream in streams:
            del self.waiting[stream]
        body = pack("!LLL", self._next, self._seen, last_tsn & MASK)
        body += pack(f"!{len(streams)}H", *streams)
        message = chunk(RECONFIG, parameter(OUTGOING, body))
        self._request = (self._next, streams, message)
        self._next = (self._next + 1) & MASK
        self._attempts = 0
        self._sent_at = now
        self.outgoing.append(message)

    @property
    def deadline(self) -> float | None:
        if self._request is None:
            return None
        return self._sent_at + min(_LEAST_WAIT * 1.5**self._attempts, _MOST_WAIT)

    def expired(self, now: float) -> None:
        """Raises `TimeoutError` when the peer never answers."""
        if self._request is None or self.deadline is None or now < self.deadline:
            return
        self._attempts += 1
        if self._attempts > _ATTEMPTS:
            raise TimeoutError
        self._sent_at = now
        self.outgoing.append(self._request[2])

    # the peer's

    def receive(self, packet: bytes, start: int, end: int, cumulative: int, now: float) -> None:
        """Raises `MalformedError`."""
        for kind, value in parameters(packet, start, end):
            if kind == OUTGOING:
                self._asked(value, cumulative)
            elif kind == RESPONSE:
                self._answered(value, now)
            elif kind in (INCOMING, ASSOCIATION, ADD_OUTGOING, ADD_INCOMING) and len(value) >= 4:
                self._answer(unpack_from("!L", value)[0], DENIED)

    def _asked(self, value: bytes, cumulative: int) -> None:
        if len(value) < 12:
            raise MalformedError("a short stream reset")
        number, _, last = unpack_from("!LLL", value)
        if number == self._seen:
            self._answer(number, IN_PROGRESS if self.deferred is not None else self._result)
            return
        if number != (self._seen + 1) & MASK:
            return
        count = (len(value) - 12) // 2
        streams = list(unpack_from(f"!{count}H", value, 12))
        self._seen = number
        self.deferred = (number, unwrap(last, cumulative), streams)
        self.arrived(cumulative)
        if self.deferred is not None:
            self._answer(number, IN_PROGRESS)

    def arrived(self, cumulative: int) -> None:
        """Perform what waited for data sent before the request."""
        if self.deferred is None or cumulative < self.deferred[1]:
            return
        number, _, streams = self.deferred
        self.deferred = None
        self._result = PERFORMED
        self._answer(number, PERFORMED)
        for stream in streams:
            self._inbound(stream)

    def _answer(self, number: int, result: int) -> None:
        if len(self.outgoing) < MAX_STREAMS:
            self.outgoing.append(chunk(RECONFIG, parameter(RESPONSE, pack("!LL", number, result))))

    def _answered(self, value: bytes, now: float) -> None:
        if len(value) < 8:
            raise MalformedError("a short stream reset")
        number, result = unpack_from("!LL", value)
        if self._request is None or number != self._request[0]:
            return
        if result == IN_PROGRESS:
            self._attempts, self._sent_at = 0, now
            return
        _, streams, _ = self._request
        self._request = None
        for stream in streams:  # refused or not: the number is not used again before both sides agree
            self._outbound(stream)
