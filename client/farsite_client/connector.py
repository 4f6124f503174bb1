"""aiohttp over a tunnel: every connection is a stream."""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.stream import ApiTarget, DeviceTarget, Priority


class TunnelConnector(aiohttp.BaseConnector):
    """Opens streams to one target; the host in a request's URL only becomes its `Host` header.

    Refused streams raise the `FarsiteError` the edge host gave, out of the request itself.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        target: ApiTarget | DeviceTarget,
        *,
        priority: Priority = Priority.INTERACTIVE,
        limit: int = 16,
    ) -> None:
        super().__init__(limit=limit)
        self._tunnel = tunnel
        self._target = target
        self._priority = priority

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        _, protocol = await self._tunnel.create_connection(
            self._factory, self._target, priority=self._priority
        )
        assert isinstance(protocol, ResponseHandler)
        return protocol
