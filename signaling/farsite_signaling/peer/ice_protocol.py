"""One local socket or TURN allocation of an ICE connection: STUN transactions, and DTLS records past them.

Imports aioice: import this module inside functions only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from aioice import stun

from farsite_signaling.peer import relay
from farsite_signaling.peer.addresses import Address
from farsite_signaling.peer.servers import TurnServer

if TYPE_CHECKING:
    from farsite_signaling.peer.ice import IceConnection

logger = logging.getLogger(__name__)

FIRST_RETRY = 0.1
"""The first check often opens our NAT for the peer's: repeat it soon (aioice: 0.5 s)."""
CONSENT_WAIT = 2.0


class IceProtocol(relay.RelayProtocol):
    receiver: IceConnection
    relay_server: TurnServer | None = None

    def __init__(self, receiver: IceConnection) -> None:
        super().__init__(receiver)
        self._repeatable: dict[Address, stun.Message] = {}

    async def request(
        self,
        request: stun.Message,
        addr: Address,
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, Address]:
        """As aioice's, with a first retransmission after 0.1 s and more patience for single requests."""
        if integrity_key is not None:
            request.add_message_integrity(integrity_key)
        transaction = stun.Transaction(
            request, addr, self, retransmissions=retransmissions, integrity_key=integrity_key
        )
        wait = CONSENT_WAIT if retransmissions == 0 else FIRST_RETRY
        transaction._Transaction__timeout_delay = wait  # type: ignore[attr-defined]
        self.transactions[request.transaction_id] = transaction
        self._repeatable[addr] = request
        try:
            return await transaction.run()
        finally:
            del self.transactions[request.transaction_id]
            if self._repeatable.get(addr) is request:
                del self._repeatable[addr]

    def repeat(self, addr: Address) -> None:
        """Send the request that waits for an answer from there again now, once: our peer's came through."""
        if (request := self._repeatable.pop(addr, None)) is not None:
            self.send_stun(request, addr)

    def records_received(self, data: memoryview, segment: int) -> bool:
        """DTLS records in one piece; False while the handshake has them one by one."""
        sink = self.receiver.sink
        if sink is None:
            return False
        sink(data, segment)
        return True

    def send_records(self, data: memoryview, segment: int, addr: Address) -> None:
        send: Callable[[memoryview, int, Address], None] | None
        send = getattr(self.transport, "send_segments", None)
        if send is not None:
            send(data, segment, addr)
            return
        for start in range(0, len(data), segment):
            self.transport.sendto(data[start : start + segment].tobytes(), addr)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if self.receiver.sink is not None and data and 19 < cast(bytes, data)[0] < 64:
            self.receiver.sink(cast(bytes, data), len(data))  # from a relay
            return
        try:
            super().datagram_received(data, addr)
        except Exception:
            # Anybody who knows the port can send this: a damaged packet is nobody's failure.
            logger.debug("damaged STUN message from %s", addr, exc_info=True)

    def bind_failed(self, addr: Address, error: Exception) -> None:
        self.receiver.drop_pair(self, addr, error)
