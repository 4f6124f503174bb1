"""What can be wrong with a device, switched on and off while it runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import hdrs, web

ELSEWHERE = "http://elsewhere.invalid/"
BLOCK = b"x" * 65536


class Fault(StrEnum):
    """How every request is answered."""

    NONE = "none"
    HANG = "hang"
    LOGIN_LOOP = "login_loop"
    REDIRECT = "redirect"
    GARBAGE = "garbage"
    ENDLESS = "endless"
    DRIP = "drip"


@dataclass
class UpgradeFaults:
    """What goes wrong with the next upgrades. `refuse` is an error code; `starts_as` is the version that runs instead
    of the one installed; `log_in_lost` holds until the device has gone back."""

    refuse: int | None = None
    does_not_start: bool = False
    starts_as: str | None = None
    answer_lost: bool = False
    log_in_lost: bool = False


async def misbehave(
    fault: Fault, request: web.Request, challenge: str, stopping: asyncio.Event
) -> web.StreamResponse:
    match fault:
        case Fault.LOGIN_LOOP:
            return web.Response(status=401, headers={hdrs.WWW_AUTHENTICATE: challenge})
        case Fault.REDIRECT:
            return web.Response(status=302, headers={hdrs.LOCATION: ELSEWHERE})
        case Fault.GARBAGE:
            return await _raw(
                request, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnot a chunk\r\n"
            )
        case Fault.ENDLESS:
            return await _endless(request, stopping)
        case Fault.DRIP:
            return await _drip(request, stopping)
        case _:
            await stopping.wait()
            raise web.HTTPServiceUnavailable


async def _raw(request: web.Request, answer: bytes) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(answer)
    return await hang_up(request)


async def _endless(request: web.Request, stopping: asyncio.Event) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        while not stopping.is_set() and request.transport is not None and not request.transport.is_closing():
            await response.write(BLOCK)
            await asyncio.sleep(0)  # TLS that is being closed takes all and lets nobody else run
    except ConnectionError:
        pass  # the caller had enough
    return response


async def _drip(request: web.Request, stopping: asyncio.Event) -> web.StreamResponse:
    """A byte now and then, so that the connection is never idle for long."""
    response = web.StreamResponse(headers={hdrs.CONTENT_LENGTH: "100000"})
    try:
        await response.prepare(request)
        while not stopping.is_set() and request.transport is not None and not request.transport.is_closing():
            await response.write(b"{")
            await asyncio.sleep(0.2)
    except ConnectionError:
        pass  # the caller had enough
    return response


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.close()
    response = web.StreamResponse()
    response.force_close()
    await asyncio.sleep(0)
    return response
