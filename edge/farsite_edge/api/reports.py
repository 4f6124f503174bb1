"""A device's server report on its way to whoever asked."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from farsite_edge.vapix.report import GetServerReport
from farsite_signaling.wire.errors import FarsiteError


async def send_report(request: web.Request, client: Any, mode: str, device: str) -> web.StreamResponse:
    """Nothing is kept here: as fast as the caller takes it. What breaks off in its middle ends the connection, so that
    half a report is never taken for a whole one."""
    report = GetServerReport(mode)
    ending = "txt" if mode == "text" else "zip"
    async with client.report(report) as blocks:
        response = web.StreamResponse()
        response.content_type = "text/plain" if mode == "text" else "application/zip"
        response.headers["Content-Disposition"] = f'attachment; filename="{device}-report.{ending}"'
        await response.prepare(request)
        try:
            async for block in blocks:
                await response.write(block)
        except FarsiteError:
            if request.transport is not None:
                request.transport.abort()
            raise
        await response.write_eof()
    return response
