"""How a device's web server wants to be spoken to."""

from __future__ import annotations

import asyncio

from farsite_client.session import RemoteSession
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import Service

LOOK_TIMEOUT = 5.0
_MOVED = {b"301", b"302", b"303", b"307", b"308"}


async def check_stream(session: RemoteSession, device: str, service: Service) -> None:
    """One stream, opened and let go. Raises what would become of every connection: `forbidden`, `device_…`.

    A device that is away now may be back later: that is no reason not to listen for it.
    """
    try:
        _, writer = await session.open_device(device, service)
    except FarsiteError as error:
        if error.code is ErrorCode.PROTOCOL_ERROR and service == "rtsp":
            detail = "This edge host is of a release that cannot forward RTSP yet. Update it."
            raise FarsiteError(ErrorCode.VERSION_UNSUPPORTED, detail) from None
        if error.code is not ErrorCode.DEVICE_UNREACHABLE:
            raise
    else:
        writer.transport.abort()


async def https_only(session: RemoteSession, device: str) -> bool:
    """Whether the device sends whoever asks by HTTP to HTTPS, or has HTTPS alone."""
    known = (await session.edge.device(device)).https_port is not None
    try:
        async with asyncio.timeout(LOOK_TIMEOUT):
            return known and _sent_to_https(await _first_answer(session, device))
    except FarsiteError as error:
        return error.code is ErrorCode.DEVICE_UNREACHABLE
    except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
        return False


async def _first_answer(session: RemoteSession, device: str) -> bytes:
    reader, writer = await session.open_device(device)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()


def _sent_to_https(head: bytes) -> bool:
    line, _, fields = head.lower().partition(b"\r\n")
    moved = not _MOVED.isdisjoint(line.split(b" ")[1:2])
    return moved and b"\r\nlocation: https://" in b"\r\n" + fields
