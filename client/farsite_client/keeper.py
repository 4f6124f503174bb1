"""Keeps a session with one edge host open, through lost tunnels and a cloud that is away for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Self

from farsite_client.session import RemoteSession
from farsite_signaling.peer.backoff import Backoff
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)
Open = Callable[[], AbstractAsyncContextManager[RemoteSession]]

# Waiting does not cure these; what to do is said to the user instead.
FINAL = frozenset(
    {
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.TOKEN_EXPIRED,
        ErrorCode.FORBIDDEN,
        ErrorCode.NOT_FOUND,
        ErrorCode.CERTIFICATE_REVOKED,
        ErrorCode.VERSION_UNSUPPORTED,
        ErrorCode.FINGERPRINT_MISMATCH,
        ErrorCode.STORAGE_FAILED,
        ErrorCode.SETTING_INVALID,
        ErrorCode.SETTING_UNKNOWN,
        ErrorCode.INTERNAL,
    }
)


class KeeperState(StrEnum):
    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"
    ENDED = "ended"


class SessionKeeper:
    """`async with keeper` opens the first session (raising why it cannot) and re-opens it whenever it is lost.

    `wait` is how long, in seconds, a stream waits for a session that is on its way back.
    """

    def __init__(self, open_session: Open, *, wait: float = 15.0, backoff: Backoff | None = None) -> None:
        self.state = KeeperState.CONNECTING
        self.last_error: FarsiteError | None = None
        self.last_error_at: datetime | None = None
        self.reconnects = 0
        self.session: RemoteSession | None = None
        self._open = open_session
        self._wait = wait
        self._backoff = backoff or Backoff(first=0.5, cap=15.0)
        self._changed = asyncio.Condition()
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._task = self._group.create_task(self._run(), name="session keeper")
        try:
            await self._first_session()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await self._group.__aexit__(None, None, None)

    async def _first_session(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.state is not KeeperState.CONNECTING)
        if self.session is None and self.last_error is not None:
            raise self.last_error

    async def live(self) -> RemoteSession:
        """The session, waiting a little for one that is coming back. Raises why there is none."""
        try:
            async with asyncio.timeout(self._wait), self._changed:
                await self._changed.wait_for(
                    lambda: self.session is not None or self.state is KeeperState.ENDED
                )
        except TimeoutError:
            pass
        if self.session is None:
            raise self.last_error or FarsiteError(ErrorCode.PEER_UNREACHABLE, "There is no session now.")
        return self.session

    async def ended(self) -> FarsiteError | None:
        """Returns when the keeper has given up: why."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.state is KeeperState.ENDED)
        return self.last_error

    async def _run(self) -> None:
        try:
            while not await self._once():
                await self._set_state(KeeperState.WAITING)
                await asyncio.sleep(self._backoff.next())
                self.reconnects += 1
        finally:
            self.session = None
        await self._set_state(KeeperState.ENDED)

    async def _once(self) -> bool:
        """One session from opening to loss; True when another attempt cannot help."""
        try:
            async with self._open() as session:
                self.session = session
                self._backoff.reset()
                await self._set_state(KeeperState.ONLINE)
                error = await session.wait_closed()
        except FarsiteError as failed:
            error = failed
        except Exception as unexpected:
            logger.exception("session failed")
            error = FarsiteError(ErrorCode.INTERNAL, f"The session failed: {unexpected!r}.")
        finally:
            self.session = None
        self._note(error)
        return error is not None and error.code in FINAL

    def _note(self, error: FarsiteError | None) -> None:
        self.last_error = error or FarsiteError(ErrorCode.CLOSED, "The edge host closed the session.")
        self.last_error_at = datetime.now(UTC)

    async def _set_state(self, state: KeeperState) -> None:
        if state is self.state:
            return
        logger.info(
            "session %s -> %s%s", self.state, state, f" ({self.last_error})" if self.last_error else ""
        )
        async with self._changed:
            self.state = state
            self._changed.notify_all()
