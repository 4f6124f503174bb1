"""Moving bytes for their own sake: how fast is the way here."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from farsite_signaling.rest import Api, read_query
from farsite_signaling.wire.edge_api import UploadResult
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

BLOCK = 64 * 1024
STALLED = 60.0
"""Seconds without a byte after which an upload is given up."""


class DownloadQuery(BaseModel):
    """`random` bytes do not compress; `pattern` repeats 0 to 255 and costs less to make."""

    model_config = ConfigDict(extra="forbid")

    bytes: int = Field(ge=0)
    kind: Literal["random", "pattern"] = "random"


class DiagnosticsRoutes:
    def __init__(self, limit: int) -> None:
        self._limit = limit

    def api(self) -> Api:
        api = Api()
        api.route("POST", "/diagnostics/upload", need=Right.REMOTE_ACCESS, response=UploadResult)(self.upload)
        api.route("GET", "/diagnostics/download", need=Right.REMOTE_ACCESS, query=DownloadQuery)(
            self.download
        )
        return api

    async def upload(self, request: web.Request) -> UploadResult:
        """Count and hash what is sent, then forget it."""
        self._check(request.content_length or 0)
        digest = hashlib.sha256()
        count = 0
        while block := await _next(request):
            count += len(block)
            self._check(count)
            digest.update(block)
        return UploadResult(bytes=count, sha256=digest.hexdigest())

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Send so many bytes."""
        query = read_query(request, DownloadQuery)
        self._check(query.bytes)
        response = web.StreamResponse()
        response.content_type = "application/octet-stream"
        response.content_length = query.bytes
        await response.prepare(request)
        for start in range(0, query.bytes, BLOCK):
            await response.write(_block(query.kind, min(BLOCK, query.bytes - start)))
        await response.write_eof()
        return response

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise FarsiteError(
                ErrorCode.TOO_LARGE, f"At most {self._limit} bytes are moved at once; asked for {size}."
            )


async def _next(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(STALLED):
            return await request.content.readany()
    except TimeoutError:
        raise FarsiteError(ErrorCode.TIMEOUT, f"Nothing arrived for {STALLED:.0f} s.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The upload broke off in its middle.") from None


def _block(kind: str, size: int) -> bytes:
    return os.urandom(size) if kind == "random" else _PATTERN[:size]


_PATTERN = bytes(range(256)) * (BLOCK // 256)
