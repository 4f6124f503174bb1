"""Snapshots and the MJPEG stream."""

from __future__ import annotations

import asyncio
import re
import time

from aiohttp import web

from farsite_edge.simulator.device import SimulatedDevice
from farsite_edge.simulator.picture import FRAMES_PER_SECOND, MAX_PIXELS

BOUNDARY = "myboundary"
DEFAULT = (640, 360)
_RESOLUTION = re.compile(r"([0-9]{2,4})x([0-9]{2,4})")


async def snapshot(device: SimulatedDevice, request: web.Request) -> web.Response:
    picture = await _frame(device, *_resolution(request), _number(request, "compression", 30, 100))
    return web.Response(body=picture, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def stream(device: SimulatedDevice, request: web.Request) -> web.StreamResponse:
    """Frames until the viewer leaves, the device stops or `duration` seconds are over (0: no end)."""
    size = _resolution(request)
    compression = _number(request, "compression", 30, 100)
    pause = 1 / (_number(request, "fps", 0, FRAMES_PER_SECOND) or FRAMES_PER_SECOND)
    duration = _number(request, "duration", 0, 86_400)
    response = web.StreamResponse(headers={"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"})
    await response.prepare(request)
    end = time.monotonic() + duration if duration else float("inf")
    try:
        while time.monotonic() < end and not await _stopped(device, pause):
            await response.write(_part(await _frame(device, *size, compression)))
    except ConnectionError:
        pass  # the viewer left
    return response


async def _stopped(device: SimulatedDevice, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await device.stopping.wait()
    except TimeoutError:
        return False
    return True


async def _frame(device: SimulatedDevice, width: int, height: int, compression: int) -> bytes:
    return await asyncio.to_thread(device.picture.frame, width, height, time.time(), compression)


def _part(picture: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture + b"\r\n"


def _resolution(request: web.Request) -> tuple[int, int]:
    asked = request.query.get("resolution")
    if asked is None:
        return DEFAULT
    match = _RESOLUTION.fullmatch(asked)
    if match is None or int(match[1]) * int(match[2]) > MAX_PIXELS:
        raise web.HTTPBadRequest(text="Error: invalid resolution")
    return int(match[1]), int(match[2])


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, "")
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 9 else default
