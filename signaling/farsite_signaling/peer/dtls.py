"""aiortc's DTLS transport, several records at a time: one pass through OpenSSL and one datagram call per batch.

A record of ours is a datagram of its own. Records name their length, so a batch of them goes through OpenSSL's
memory buffers in one piece and is cut apart afterwards.
Imports aiortc and pyOpenSSL's binding: import this module inside functions only.
"""

from __future__ import annotations

import asyncio
import threading
from struct import unpack_from
from typing import Any, Protocol, cast

from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, State
from aiortc.rtcicetransport import RTCIceTransport
from OpenSSL._util import ffi, lib

from farsite_signaling.peer.latecomers import Latecomers

_RECORD_HEADER = 13
_GCM = 24
"""Nonce and tag (RFC 5288)."""
_MAX_PACKET = 16 * 1024
"""A record holds no more."""
_MAX_BATCH = 60_000
"""Below what UDP carries in one call, bytes."""
_MAX_IN = 12_000
"""OpenSSL reads one datagram into 16 KiB; a record that does not fit whole is lost."""
_ZERO_RETURN = 6


class _Buffers(threading.local):
    """Used only within one call: shared by all transports of a thread."""

    def __init__(self) -> None:
        self.plain = ffi.new(f"char[{_MAX_PACKET}]")
        self.plain_view = memoryview(ffi.buffer(self.plain))
        self.cipher = ffi.new(f"char[{_MAX_BATCH + _MAX_PACKET}]")
        self.cipher_view = memoryview(ffi.buffer(self.cipher))


_buffers = _Buffers()


class PacketReceiver(Protocol):
    def packets_received(self, packets: list[bytes]) -> None: ...


class DtlsTransport(RTCDtlsTransport):
    def __init__(self, transport: RTCIceTransport, certificates: list[RTCCertificate]) -> None:
        super().__init__(transport, certificates)
        self._packets: list[bytes] = []
        self._delivery: asyncio.Handle | None = None
        self._latecomers: Latecomers | None = None
        self.on("statechange", self._take_over)

    def _take_over(self) -> None:
        """From the end of the handshake on, records come here directly, not through the library's queue."""
        connection = cast(Any, self.transport)._connection
        connected = self._state == State.CONNECTED
        if connected:
            self._latecomers = Latecomers.of(cast(Any, self._ssl), server=self._role == "server")
        connection.sink = self.records_received if connected else None

    def packet_room(self) -> tuple[int, int] | None:
        """The largest packet the first hop carries, and what all layers add to one; None when it is not known."""
        hop = cast(Any, self.transport)._connection.first_hop()
        if hop is None or "GCM" not in (cast(Any, self._ssl).get_cipher_name() or ""):
            return None
        headers = hop[1] + _RECORD_HEADER + _GCM
        return hop[0] - headers, headers

    def keep_whole(self, wanted: bool) -> bool:
        """As `path_mtu.keep_whole`."""
        return bool(cast(Any, self.transport)._connection.keep_whole(wanted))

    def pace_reading(self, tick: float) -> None:
        """Seconds between two looks while much comes."""
        cast(Any, self.transport)._connection.pace_reading(tick)

    # sending

    def send_packets(self, packets: list[bytes]) -> None:
        """Raises `ConnectionError`. Packets that do not fit the system's buffers are lost, as on any link."""
        if self._state != State.CONNECTED:
            raise ConnectionError("Cannot send encrypted data, not connected")
        ssl = cast(Any, self._ssl)._ssl
        write = lib.SSL_write
        size = begin = 0
        for index, packet in enumerate(packets):
            length = len(packet)
            if size + length + 100 > _MAX_BATCH:
                self._flush_records(packets[begin:index])
                size, begin = 0, index
            if write(ssl, packet, length) <= 0:
                lib.ERR_clear_error()
            size += length + 64
        self._flush_records(packets[begin:])

    def _flush_records(self, packets: list[bytes]) -> None:
        """Send what OpenSSL has made, of `packets` at least, in runs of one length: the last of a run may be shorter."""
        total = lib.BIO_read(cast(Any, self._ssl)._from_ssl, _buffers.cipher, _MAX_BATCH)
        if total <= 0:
            return
        view = _buffers.cipher_view[:total]
        send = cast(Any, self.transport)._connection.send_records
        if segment := _one_length(view, packets):
            send(view, segment)
            return
        start = position = 0
        segment = 0
        while position + _RECORD_HEADER <= total:
            size = _RECORD_HEADER + unpack_from("!H", view, position + 11)[0]
            if not segment:
                segment = size
            elif size != segment:
                end = position + size if size < segment else position
                send(view[start:end], segment)
                start, segment = end, 0
                if end == position:
                    segment = size
            position += size
        if start < total:
            send(view[start:total], segment)

    # receiving

    def records_received(self, data: bytes | memoryview, segment: int) -> None:
        """Datagrams of `segment` bytes, the last one maybe shorter, in one piece.

        Their packets are handed on when everything that has come is read: one acknowledgement for all.
        """
        ssl = cast(Any, self._ssl)
        step = max(1, _MAX_IN // segment) * segment
        if self._delivery is None:
            self._delivery = asyncio.get_running_loop().call_soon(self._deliver)
        if self._latecomers is not None and (late := self._latecomers.late(data, segment)):
            self._open_late(self._latecomers, [bytes(data[at : at + segment]) for at in late])
        for start in range(0, len(data), step):
            part = data[start : start + step]
            lib.BIO_write(ssl._into_ssl, ffi.from_buffer(part), len(part))
            if not self._read(ssl._ssl, self._packets):
                self._deliver()
                cast(Any, self.transport)._connection.end_of_data()
                return

    def _open_late(self, latecomers: Latecomers, records: list[bytes]) -> None:
        """OpenSSL gets them too, and drops them."""
        opened = (latecomers.open(record) for record in records)
        self._packets.extend(packet for packet in opened if packet is not None)

    def _read(self, ssl: Any, packets: list[bytes]) -> bool:
        """False when the peer has closed."""
        read, plain, view = lib.SSL_read, _buffers.plain, _buffers.plain_view
        lib.ERR_clear_error()
        while (size := read(ssl, plain, _MAX_PACKET)) > 0:
            packets.append(view[:size].tobytes())
        return bool(lib.SSL_get_error(ssl, size) != _ZERO_RETURN)

    def _deliver(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
            self._delivery = None
        packets, self._packets = self._packets, []
        if packets and self._data_receiver is not None:
            cast(PacketReceiver, self._data_receiver).packets_received(packets)
        self._flush_records([])  # alerts, and the handshake's last flight again


def _one_length(view: memoryview, packets: list[bytes]) -> int:
    """Of all records, the last one maybe shorter; 0 when that is not so, or not plain to see."""
    if not packets:
        return 0
    first, last = len(packets[0]), len(packets[-1])
    record: int = _RECORD_HEADER + unpack_from("!H", view, 11)[0]
    expected = record * len(packets) + last - first
    if len(view) != expected or last > first or any(len(packet) != first for packet in packets[:-1]):
        return 0
    return record
