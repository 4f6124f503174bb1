"""Setting up (RFC 9260 section 5): INIT, cookie, and both sides starting at once (RFC 8841 section 9.3).

new -> cookie_wait -> cookie_echoed -> established
"""

from __future__ import annotations

import hmac
from enum import StrEnum
from struct import Struct

from farsite_signaling.peer.association.packets import (
    COOKIE_ACK,
    COOKIE_ECHO,
    INIT,
    INIT_ACK,
    MASK,
    Init,
    MalformedError,
    chunk,
)

STREAMS = 65535
_FIRST_WAIT = 0.5
_MOST_WAIT = 2.0
_ATTEMPTS = 12
_COOKIE_LIFE = 60.0
_MAX_COOKIE = 1024
_cookie = Struct("!dLLHHL??H")
_MAC = 16


class State(StrEnum):
    NEW = "new"
    COOKIE_WAIT = "cookie_wait"
    COOKIE_ECHOED = "cookie_echoed"
    ESTABLISHED = "established"


class Handshake:
    """`outgoing`: verification tag and chunk, to be sent each in a packet of its own, with checksum."""

    def __init__(
        self, tag: int, tsn: int, window: int, secret: bytes, extensions: bytes, largest: int
    ) -> None:
        self.state = State.NEW
        self.tag = tag
        self.peer: Init | None = None
        self.rtt: float | None = None
        self.outgoing: list[tuple[int, bytes]] = []
        self._tsn = tsn
        self._window = window
        self._secret = secret
        self._extensions = extensions
        self._largest = largest
        self._repeat: tuple[int, bytes] | None = None
        self._sent_at = 0.0
        self._attempts = 0

    def start(self, now: float) -> None:
        self.state = State.COOKIE_WAIT
        self._begin((0, chunk(INIT, self._ours().body())), now)

    def _ours(self, cookie: bytes | None = None) -> Init:
        return Init(
            self.tag, self._window, STREAMS, STREAMS, self._tsn, self._extensions, cookie,
            largest=self._largest,
        )  # fmt: skip

    def _begin(self, message: tuple[int, bytes], now: float) -> None:
        self._repeat = message
        self._attempts = 0
        self._sent_at = now
        self.outgoing.append(message)

    # time

    @property
    def deadline(self) -> float | None:
        if self._repeat is None:
            return None
        return self._sent_at + min(_FIRST_WAIT * 1.5**self._attempts, _MOST_WAIT)

    def expired(self, now: float) -> None:
        """Raises `TimeoutError` when nobody answers."""
        if self._repeat is None or self.deadline is None or now < self.deadline:
            return
        self._attempts += 1
        if self._attempts > _ATTEMPTS:
            raise TimeoutError
        self._sent_at = now
        self.outgoing.append(self._repeat)

    # what the peer says; each returns whether the association was established by it

    def init(self, init: Init, now: float) -> None:
        """Answered from the cookie alone: nothing is kept, however many come."""
        if self.state is State.NEW or len(self.outgoing) > 4:
            return
        if self.state is State.ESTABLISHED and (self.peer is None or init.tag != self.peer.tag):
            return  # no restart: with DTLS below, a new peer has a new association
        cookie = _cookie.pack(
            now, init.tag, init.window, init.outbound, init.inbound, init.tsn,
            init.zero_checksum, init.farsite, init.largest,
        ) + init.extensions[:16]  # fmt: skip
        answer = self._ours(cookie + self._mac(cookie))
        self.outgoing.append((init.tag, chunk(INIT_ACK, answer.body())))

    def init_ack(self, init: Init, now: float) -> None:
        if self.state is not State.COOKIE_WAIT:
            return
        if init.cookie is None or len(init.cookie) > _MAX_COOKIE:
            raise MalformedError("an INIT ACK without a usable cookie")
        self._measure(now)
        self.peer = init
        self.state = State.COOKIE_ECHOED
        self._begin((init.tag, chunk(COOKIE_ECHO, init.cookie)), now)

    def cookie_echo(self, cookie: bytes, now: float) -> bool:
        init = self._open(cookie, now)
        if init is None:
            return False
        if self.state is State.ESTABLISHED:
            if self.peer is not None and init.tag == self.peer.tag:  # our COOKIE ACK was lost
                self.outgoing.append((init.tag, chunk(COOKIE_ACK)))
            return False
        self.outgoing.append((init.tag, chunk(COOKIE_ACK)))
        return self._establish(init)

    def cookie_ack(self, now: float) -> bool:
        """Also when anything else arrives that only an established peer sends: the COOKIE ACK was lost."""
        if self.state is not State.COOKIE_ECHOED or self.peer is None:
            return False
        self._measure(now)
        return self._establish(self.peer)

    def _establish(self, peer: Init) -> bool:
        self.peer = peer
        self._repeat = None
        self.state = State.ESTABLISHED
        return True

    def _measure(self, now: float) -> None:
        if not self._attempts:
            rtt = now - self._sent_at
            self.rtt = rtt if self.rtt is None else min(rtt, self.rtt)

    # cookies

    def _mac(self, cookie: bytes) -> bytes:
        return hmac.digest(self._secret, cookie, "sha256")[:_MAC]

    def _open(self, cookie: bytes, now: float) -> Init | None:
        if not _cookie.size + _MAC <= len(cookie) <= _cookie.size + 16 + _MAC:
            return None
        fields, mac = cookie[:-_MAC], cookie[-_MAC:]
        if not hmac.compare_digest(self._mac(fields), mac):
            return None
        made, tag, window, outbound, inbound, tsn, zero, farsite, largest = _cookie.unpack_from(fields)
        if now - made > _COOKIE_LIFE:
            return None
        extensions = fields[_cookie.size :]
        return Init(tag, window, outbound, inbound, tsn & MASK, extensions, None, zero, farsite, largest)
