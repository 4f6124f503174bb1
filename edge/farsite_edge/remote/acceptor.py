"""Accepts the streams of tunnels that run in this process: judged, and connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from farsite_edge.remote.device_stream import connect
from farsite_edge.remote.judge import StreamJudge
from farsite_edge.remote.reach import ApiAccess, DeviceAccess
from farsite_edge.remote.splice import Splice
from farsite_edge.remote.usage import Usage
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.stream import OpenRequest

Factory = Callable[[], asyncio.BaseProtocol]


class GrantedTunnel(Protocol):
    @property
    def grant(self) -> Grant | None: ...


class EdgeAcceptor:
    """`api` makes the protocol of one connection to the HTTP API. Implements `StreamAcceptor`."""

    def __init__(
        self, judge: StreamJudge, api: Factory, *, timeout: float, usage: Usage | None = None
    ) -> None:
        self.judge = judge
        self.api = api
        self.timeout = timeout
        self.usage = usage or Usage()

    async def accept(self, tunnel: GrantedTunnel, request: OpenRequest) -> Factory:
        """Raises `FarsiteError` to refuse: `forbidden`, `device_unknown`, `device_…`, `grant_expired`."""
        grant = tunnel.grant
        if grant is None:
            raise FarsiteError(ErrorCode.FORBIDDEN, "This tunnel carries no grant.")
        access = await self.judge.judge(grant, request)
        if isinstance(access, ApiAccess):
            return self.api
        try:
            splice = await self._device(grant, access)
        except FarsiteError as error:
            await self.judge.note_refused(grant, request, error)
            if error.code is ErrorCode.DEVICE_CERTIFICATE_CHANGED:
                await self.judge.certificate_changed(access.device, error)
            raise
        return lambda: splice.stream

    async def _device(self, grant: Grant, access: DeviceAccess) -> Splice:
        splice = self.usage.splice(grant.sid, access.device)
        try:
            await connect(access, splice, timeout=self.timeout)
            await self.judge.note_first(grant, access.device)
        except BaseException:
            # Refused, failed or cancelled (the tunnel went away): nobody will use this connection.
            splice.close()
            self.usage.drop(grant.sid, access.device, splice)
            raise
        return splice
