"""In a worker: each stream is asked about, and connected as main says."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from itertools import count
from typing import Any

from pydantic import BaseModel

from farsite_edge.remote.device_stream import connect
from farsite_edge.remote.reach import ApiAccess, DeviceAccess
from farsite_edge.remote.splice import Splice
from farsite_edge.remote.usage import Usage
from farsite_edge.workers.messages import OpenStream, Reason, StreamAllowed, StreamOver, StreamRefused
from farsite_signaling.wire.errors import FarsiteError, parse_code
from farsite_signaling.wire.stream import OpenRequest

Factory = Callable[[], asyncio.BaseProtocol]
Answer = StreamAllowed | StreamRefused


class AskingAcceptor:
    """Implements `StreamAcceptor`. `take_descriptor`: the one that came with the answer."""

    def __init__(
        self,
        session: str,
        say: Callable[[BaseModel], None],
        take_descriptor: Callable[[], int],
        usage: Usage,
        *,
        timeout: float,
    ) -> None:
        self._session = session
        self._say = say
        self._take_descriptor = take_descriptor
        self._usage = usage
        self._timeout = timeout
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[tuple[Answer, int | None]]] = {}

    def answered(self, answer: Answer) -> None:
        """Main's; its descriptor is closed when nobody waits any more."""
        api = isinstance(answer, StreamAllowed) and isinstance(answer.access, ApiAccess)
        descriptor = self._take_descriptor() if api else None
        waiting = self._asked.get(answer.stream)
        if waiting is not None and not waiting.done():
            waiting.set_result((answer, descriptor))
        else:
            _close(descriptor)

    async def accept(self, _tunnel: Any, request: OpenRequest) -> Factory:
        number = next(self._numbers)
        answer, descriptor = await self._ask(number, request)
        if isinstance(answer, StreamRefused):
            reason = answer.reason
            raise FarsiteError(parse_code(reason.code), reason.detail, right=answer.right)
        if isinstance(answer.access, DeviceAccess):
            splice = await self._device(number, answer.access)
        else:
            assert descriptor is not None
            splice = await _api(descriptor)
        return lambda: splice.stream

    async def _ask(self, number: int, request: OpenRequest) -> tuple[Answer, int | None]:
        waiting: asyncio.Future[tuple[Answer, int | None]] = asyncio.get_running_loop().create_future()
        self._asked[number] = waiting
        self._say(OpenStream(stream=number, request=request))
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                _close(waiting.result()[1])
            raise
        finally:
            del self._asked[number]

    async def _device(self, number: int, access: DeviceAccess) -> Splice:
        splice = self._usage.splice(self._session, access.device)
        try:
            await connect(access, splice, timeout=self._timeout)
        except BaseException as error:
            splice.close()
            self._usage.drop(self._session, access.device, splice)
            reason = Reason.of(error) if isinstance(error, FarsiteError) else None
            self._say(StreamOver(stream=number, reason=reason))
            raise
        self._say(StreamOver(stream=number))
        return splice


async def _api(descriptor: int) -> Splice:
    splice = Splice()
    own = socket.socket(fileno=descriptor)
    try:
        await asyncio.get_running_loop().create_unix_connection(lambda: splice.device, sock=own)
    except BaseException:
        own.close()
        raise
    return splice


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
