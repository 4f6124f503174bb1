"""`serverreport.cgi`."""

from __future__ import annotations

from aiohttp import web

from farsite_edge.simulator.device import SimulatedDevice

BLOCK = b"----- Report -----\n" + b"0123456789abcdef" * 4095
TYPES = {"text": "text/plain", "zip": "application/zip", "zip_with_image": "application/zip"}


async def server_report(device: SimulatedDevice, request: web.Request) -> web.StreamResponse:
    kind = TYPES.get(request.query.get("mode", "text"), "text/plain")
    response = web.StreamResponse(headers={"Content-Type": kind})
    await response.prepare(request)
    await response.write(f"{device.model.product} {device.serial} {device.version}\n".encode())
    for _ in range(device.report_blocks):
        await response.write(BLOCK)
    await response.write_eof()
    return response
