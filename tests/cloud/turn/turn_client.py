"""A raw TURN client (RFC 8656) that says exactly what it is told to, for attacks: no checks of its own."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import ssl
import struct
from dataclasses import dataclass, field
from typing import Self

COOKIE = 0x2112A442
ALLOCATE, REFRESH, SEND, DATA, PERMISSION, CHANNEL, CONNECT = 3, 4, 6, 7, 8, 9, 10
REQUEST, INDICATION, SUCCESS, ERROR = 0x000, 0x010, 0x100, 0x110
USERNAME, INTEGRITY, ERROR_CODE, CHANNEL_NUMBER, PEER = 0x0006, 0x0008, 0x0009, 0x000C, 0x0012
PAYLOAD, REALM, NONCE, RELAYED, FAMILY, TRANSPORT = 0x0013, 0x0014, 0x0015, 0x0016, 0x0017, 0x0019
UDP, TCP = 17, 6
FAMILY_BYTE = {4: 1, 6: 2}


@dataclass
class Reply:
    method: int
    kind: int
    transaction: bytes
    attributes: dict[int, bytes]

    @property
    def code(self) -> int:
        """0 for success, else the STUN error code."""
        error = self.attributes.get(ERROR_CODE)
        return error[2] * 100 + error[3] if error is not None and self.kind == ERROR else 0


def _type(method: int, kind: int) -> int:
    return (method & 0xF) | (method & 0x70) << 1 | (method & 0xF80) << 2 | kind


def _attribute(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)


def _pad(transaction: bytes) -> bytes:
    return struct.pack("!I", COOKIE) + transaction


def _xor(data: bytes, pad: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(data, pad, strict=False))


def xor_address(address: str, port: int, transaction: bytes) -> bytes:
    parsed = ipaddress.ip_address(address)
    packed = _xor(parsed.packed, _pad(transaction))
    return struct.pack("!BBH", 0, FAMILY_BYTE[parsed.version], port ^ COOKIE >> 16) + packed


def read_address(value: bytes, transaction: bytes) -> tuple[str, int]:
    port = struct.unpack_from("!H", value, 2)[0] ^ COOKIE >> 16
    return str(ipaddress.ip_address(_xor(value[4:], _pad(transaction)))), port


def parse(data: bytes) -> Reply:
    kind, length, _, transaction = struct.unpack_from("!HHI12s", data)
    method = (kind & 0xF) | (kind & 0xE0) >> 1 | (kind & 0x3E00) >> 2
    attributes: dict[int, bytes] = {}
    position, end = 20, 20 + length
    while position < end:
        number, size = struct.unpack_from("!HH", data, position)
        attributes.setdefault(number, data[position + 4 : position + 4 + size])
        position += 4 + size + (-size % 4)
    return Reply(method, kind & 0x110, transaction, attributes)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.put_nowait(data)


@dataclass
class TurnClient:
    """`via`: udp, tcp or tls. Credentials are set before the first request."""

    host: str
    port: int
    via: str
    username: str
    credential: str
    context: ssl.SSLContext | None = None
    realm: bytes = b""
    nonce: bytes = b""
    relayed: tuple[str, int] | None = None
    _datagrams: asyncio.DatagramTransport | None = field(default=None, repr=False)
    _protocol: _Udp = field(default_factory=_Udp, repr=False)
    _reader: asyncio.StreamReader | None = field(default=None, repr=False)
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self.via == "udp":
            self._datagrams, _ = await loop.create_datagram_endpoint(
                lambda: self._protocol, remote_addr=(self.host, self.port)
            )
        else:
            tls = self.context if self.via == "tls" else None
            self._reader, self._writer = await asyncio.open_connection(self.host, self.port, ssl=tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._writer is not None:
            self._writer.close()
            await asyncio.wait_for(self._writer.wait_closed(), 5)

    def _write(self, data: bytes) -> None:
        if self._datagrams is not None:
            self._datagrams.sendto(data)
        elif self._writer is not None:
            self._writer.write(data)

    async def _read(self) -> bytes:
        if self._reader is None:
            return await self._protocol.received.get()
        head = await self._reader.readexactly(4)
        channel, length = struct.unpack("!HH", head)
        rest = length + (-length % 4) if channel & 0xC000 else length + 16
        return head + await self._reader.readexactly(rest)

    async def receive(self) -> Reply:
        async with asyncio.timeout(5):
            return parse(await self._read())

    def _message(self, method: int, kind: int, transaction: bytes, body: bytes) -> bytes:
        if not self.nonce:
            return struct.pack("!HHI", _type(method, kind), len(body), COOKIE) + transaction + body
        body += _attribute(USERNAME, self.username.encode())
        body += _attribute(REALM, self.realm) + _attribute(NONCE, self.nonce)
        text = f"{self.username}:{self.realm.decode()}:{self.credential}"
        key = hashlib.md5(text.encode()).digest()
        signed = struct.pack("!HHI", _type(method, kind), len(body) + 24, COOKIE) + transaction + body
        return signed + _attribute(INTEGRITY, hmac.new(key, signed, hashlib.sha1).digest())

    async def request(
        self, method: int, *attributes: tuple[int, bytes], peer: tuple[str, int] | None = None
    ) -> Reply:
        """One exchange; on UDP repeated until answered."""
        transaction = secrets.token_bytes(12)
        body = b"".join(_attribute(number, value) for number, value in attributes)
        if peer is not None:
            body += _attribute(PEER, xor_address(*peer, transaction))
        message = self._message(method, REQUEST, transaction, body)
        for _ in range(5):
            self._write(message)
            try:
                return await self._answer_to(transaction)
            except TimeoutError:
                continue
        raise TimeoutError("no answer from the server")

    async def _answer_to(self, transaction: bytes) -> Reply:
        async with asyncio.timeout(2):
            while True:
                reply = parse(await self._read())
                if reply.transaction == transaction:
                    return reply

    async def allocate(self, version: int = 4, transport: int = UDP) -> Reply:
        """Allocate a relayed address of this IP version, answering the server's challenge."""
        attributes = [
            (TRANSPORT, struct.pack("!BBH", transport, 0, 0)),
            (FAMILY, struct.pack("!BBH", FAMILY_BYTE[version], 0, 0)),
        ]
        reply = await self.request(ALLOCATE, *attributes)
        if reply.code in (401, 438) and not self.nonce:
            self.realm, self.nonce = reply.attributes[REALM], reply.attributes[NONCE]
            reply = await self.request(ALLOCATE, *attributes)
        if reply.kind == SUCCESS:
            self.relayed = read_address(reply.attributes[RELAYED], reply.transaction)
        return reply

    async def permission(self, address: str) -> Reply:
        return await self.request(PERMISSION, peer=(address, 7))

    async def bind_channel(self, address: str, number: int, port: int = 7) -> Reply:
        return await self.request(
            CHANNEL, (CHANNEL_NUMBER, struct.pack("!HH", number, 0)), peer=(address, port)
        )

    def send(self, address: str, port: int, data: bytes) -> None:
        transaction = secrets.token_bytes(12)
        body = _attribute(PEER, xor_address(address, port, transaction)) + _attribute(PAYLOAD, data)
        head = struct.pack("!HHI", _type(SEND, INDICATION), len(body), COOKIE) + transaction
        self._write(head + body)
