"""Main's judgement of the streams that a worker asks about."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Protocol

from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.reach import ApiAccess, DeviceAccess
from farsite_edge.workers.apistream import ApiStream
from farsite_edge.workers.messages import OpenStream, Reason, StreamAllowed, StreamOver, StreamRefused
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, parse_code
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.stream import OpenRequest

MOST_JUDGED = 128
"""Streams asked for and not connected yet; a tunnel accepts 64 at once."""
MOST_API = 1024
"""As many as a tunnel has streams."""
_BELIEVED = frozenset({ErrorCode.DEVICE_UNREACHABLE, ErrorCode.DEVICE_CERTIFICATE_CHANGED})
logger = logging.getLogger(__name__)

Tell = Callable[..., None]


class Asking(Protocol):
    """The session whose worker asks."""

    @property
    def session(self) -> str: ...
    @property
    def remote(self) -> str: ...
    @property
    def grant(self) -> Grant: ...


class StreamDesk:
    """`tell(message, descriptor)` answers the worker."""

    def __init__(self, session: Asking, acceptor: EdgeAcceptor, tell: Tell) -> None:
        self._session = session
        self._judge = acceptor.judge
        self._usage = acceptor.usage
        self._api = acceptor.api
        self._tell = tell
        self._judging: set[int] = set()
        self._allowed: dict[int, tuple[Grant, OpenRequest, str]] = {}
        self._apis: set[ApiStream] = set()
        self._closed = False

    def close(self) -> None:
        """Streams to the API end at once."""
        self._closed = True
        for stream in list(self._apis):
            stream.abort()

    async def open(self, message: OpenStream) -> None:
        number = message.stream
        if number in self._judging or len(self._judging) + len(self._allowed) >= MOST_JUDGED:
            error = FarsiteError(ErrorCode.STREAM_LIMIT, "Too many streams are being opened at once.")
            self._refuse(number, error)
            return
        self._judging.add(number)
        try:
            await self._open(number, message.request)
        except FarsiteError as error:
            self._refuse(number, error)
        except Exception:
            logger.exception("session %s: opening a stream failed", self._session.session)
            self._refuse(number, FarsiteError(ErrorCode.INTERNAL, "The stream could not be opened."))
        finally:
            self._judging.discard(number)

    def _refuse(self, number: int, error: FarsiteError) -> None:
        self._tell(StreamRefused(stream=number, reason=Reason.of(error), right=error.right))

    async def _open(self, number: int, request: OpenRequest) -> None:
        grant = self._session.grant
        access = await self._judge.judge(grant, request)
        if isinstance(access, ApiAccess):
            await self._open_api(number)
        else:
            await self._allow_device(number, grant, request, access)

    async def _allow_device(
        self, number: int, grant: Grant, request: OpenRequest, access: DeviceAccess
    ) -> None:
        # Written down before the worker hears where the device is: it need not say whether it went there.
        self._usage.allowed(grant.sid, access.device)
        await self._judge.note_first(grant, access.device)
        self._allowed[number] = (grant, request, access.device)
        self._tell(StreamAllowed(stream=number, access=access))

    async def _open_api(self, number: int) -> None:
        if len(self._apis) >= MOST_API or self._closed:
            raise FarsiteError(ErrorCode.STREAM_LIMIT, "This session has too many streams open.")
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                await self._serve_api(number, ours)
            except BaseException:
                ours.close()
                raise
            self._tell(StreamAllowed(stream=number, access=ApiAccess()), theirs.detach())

    async def _serve_api(self, number: int, ours: socket.socket) -> None:
        session = self._session
        extra: dict[str, Any] = {"tunnel": session, "peername": (session.remote, number)}
        extra["sockname"] = (f"session {session.session}", number)

        def protocol() -> ApiStream:
            stream = ApiStream(self._api, extra, self._apis.discard)
            self._apis.add(stream)
            return stream

        await asyncio.get_running_loop().create_unix_connection(protocol, sock=ours)

    async def over(self, message: StreamOver) -> None:
        """Its word counts for the audit log; what it says of the device itself is looked at by main."""
        known = self._allowed.pop(message.stream, None)
        if known is None or message.reason is None:
            return
        grant, request, device = known
        code = parse_code(message.reason.code)
        if code not in _BELIEVED:
            return
        await self._judge.note_refused(grant, request, FarsiteError(code, message.reason.detail))
        if code is ErrorCode.DEVICE_CERTIFICATE_CHANGED:
            await self._judge.look_at(device)
