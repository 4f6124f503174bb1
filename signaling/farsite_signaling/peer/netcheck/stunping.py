"""STUN binding requests (RFC 8489) from one UDP socket to several servers: how UDP gets out, and as what."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from farsite_signaling.peer.addresses import Address, open_udp

_COOKIE = 0x2112A442
_REQUEST, _SUCCESS = 0x0001, 0x0101
_XOR_MAPPED_ADDRESS = 0x0020
_FIRST_RETRY = 0.25


@dataclass(frozen=True)
class Mapping:
    """Our address as `server` sees it; `took` in milliseconds."""

    server: Address
    seen: Address
    took: float


@dataclass
class _Asked:
    server: Address
    at: float
    answer: asyncio.Future[Mapping] = field(repr=False)


class _Binding(asyncio.DatagramProtocol):
    """Only answers to our own transactions count, wherever they come from."""

    def __init__(self) -> None:
        self.asked: dict[bytes, _Asked] = {}

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        asked = self.asked.get(data[8:20])
        if asked is None or asked.answer.done():
            return
        seen = parse_success(data)
        if seen is not None:
            took = (time.monotonic() - asked.at) * 1000
            asked.answer.set_result(Mapping(asked.server, seen, took))

    def error_received(self, exc: Exception) -> None:
        """Refused by one server: the others may still answer."""


async def mappings(
    servers: list[Address], local: str, ports: tuple[int, int], timeout: float
) -> list[Mapping]:
    """What each server that answered within `timeout` seconds saw, all asked from one socket.

    Raises `OSError` and `FarsiteError` when there is no socket to be had.
    """
    transport, binding = await open_udp(_Binding, local, ports)
    try:
        asked = [_ask(binding, server) for server in servers]
        await _repeat(transport, binding, timeout)
        return [one.answer.result() for one in asked if one.answer.done()]
    finally:
        transport.abort()


def _ask(binding: _Binding, server: Address) -> _Asked:
    asked = _Asked(server, time.monotonic(), asyncio.get_running_loop().create_future())
    binding.asked[secrets.token_bytes(12)] = asked
    return asked


async def _repeat(transport: asyncio.DatagramTransport, binding: _Binding, timeout: float) -> None:
    end, wait = time.monotonic() + timeout, _FIRST_RETRY
    while (left := min(end, _patience(binding)) - time.monotonic()) > 0:
        open_ = {key: one for key, one in binding.asked.items() if not one.answer.done()}
        if not open_:
            return
        for key, one in open_.items():
            one.at = time.monotonic()
            transport.sendto(struct.pack("!HHI", _REQUEST, 0, _COOKIE) + key, one.server)
        await asyncio.wait([one.answer for one in open_.values()], timeout=min(wait, left))
        wait = min(2 * wait, 1.0)


def _patience(binding: _Binding) -> float:
    """Until when to wait for more: not long beyond the first answer, others are as near or behind a closed port."""
    answers = [(one.at, one.answer.result().took) for one in binding.asked.values() if one.answer.done()]
    return min((at + max(0.8, took * 0.005) for at, took in answers), default=float("inf"))


def parse_success(data: bytes) -> Address | None:
    """The XOR-MAPPED-ADDRESS (RFC 8489, 14.2) of a success response; `None` for anything else."""
    if len(data) < 20 or struct.unpack_from("!HHI", data)[::2] != (_SUCCESS, _COOKIE):
        return None
    position = 20
    while position + 4 <= len(data):
        kind, size = struct.unpack_from("!HH", data, position)
        value = data[position + 4 : position + 4 + size]
        if kind == _XOR_MAPPED_ADDRESS and size in (8, 20) and len(value) == size:
            return _unmask(value, data[4:20])
        position += 4 + size + (-size % 4)
    return None


def _unmask(value: bytes, mask: bytes) -> Address:
    port = int.from_bytes(value[2:4], "big") ^ (_COOKIE >> 16)
    packed = bytes(one ^ other for one, other in zip(value[4:], mask, strict=False))
    return str(ipaddress.ip_address(packed)), port
