"""Does a TURN server answer? One STUN binding request (RFC 8489) over UDP, repeated until it does."""

from __future__ import annotations

import asyncio
import secrets
import struct

_HEADER = struct.Struct("!HHI12s")
_COOKIE = 0x2112A442
_REQUEST, _SUCCESS = 0x0001, 0x0101
RETRY_SECONDS = 0.05


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, transaction: bytes) -> None:
        self._transaction = transaction
        self.answered = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if len(data) < _HEADER.size:
            return
        kind, _, cookie, transaction = _HEADER.unpack_from(data)
        if (kind, cookie, transaction) == (_SUCCESS, _COOKIE, self._transaction):
            self.answered.set()

    def error_received(self, exc: Exception) -> None:
        """Refused while the server is still starting: the next request may find it."""


async def answers_udp(host: str, port: int) -> None:
    """Return once a binding request is answered; the caller sets the deadline."""
    transaction = secrets.token_bytes(12)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Answers(transaction), remote_addr=(host, port)
    )
    try:
        while not protocol.answered.is_set():
            transport.sendto(_HEADER.pack(_REQUEST, 0, _COOKIE, transaction))
            try:
                async with asyncio.timeout(RETRY_SECONDS):
                    await protocol.answered.wait()
            except TimeoutError:
                continue
    finally:
        transport.close()


async def accepts_tcp(host: str, port: int) -> None:
    """Return once the port accepts a connection; the caller sets the deadline."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        writer.close()
        return
