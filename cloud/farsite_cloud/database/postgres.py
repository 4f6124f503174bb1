"""PostgreSQL: a pool whose connections never keep anybody waiting for a server that does not answer.

Connecting and every statement are bounded in time here, not only by the server: one that is stopped or cut off
keeps no promise. A connection that ran out of time is dropped, so that whatever waits for it goes on.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from farsite_cloud.database.failures import away
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)
PATIENT = "farsite_patient"
"""Execution option of connections whose statements may take as long as they take: migrations."""
APPLICATION = "farsite"
"""What PostgreSQL knows our connections by."""
_REST = 1.0
_IDLE_IN_TRANSACTION = 60


@dataclass(frozen=True)
class PostgresOptions:
    """`pool`: connections at most. `timeout`: seconds to connect, and for a statement."""

    pool: int = 10
    timeout: float = 2.0


class _Watchdog:
    """Drops a connection on which a statement takes too long."""

    def __init__(self, connection: asyncpg.Connection[Any], breaker: _Breaker, timeout: float) -> None:
        self._connection = connection
        self._breaker = breaker
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self.fired = False

    def start(self) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._timeout, self._fire)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        logger.error("PostgreSQL did not answer within %g s: a connection is dropped", self._timeout)
        self._breaker.trip()
        self.fired = True
        self._connection.terminate()


class _Breaker:
    """After a failure nobody waits for the same one again at once."""

    def __init__(self) -> None:
        self._until = 0.0

    def trip(self) -> None:
        self._until = asyncio.get_running_loop().time() + _REST

    @property
    def open(self) -> bool:
        return asyncio.get_running_loop().time() < self._until


def postgres_engine(dsn: str, options: PostgresOptions) -> AsyncEngine:
    """`dsn`: `postgresql://…` with everything libpq's may have (several hosts, `sslmode`, `target_session_attrs`)."""
    breaker = _Breaker()

    async def connect() -> asyncpg.Connection[Any]:
        if breaker.open:
            raise away()
        try:
            return await _connect(dsn, options.timeout)
        except (OSError, TimeoutError) as error:
            breaker.trip()
            logger.error("PostgreSQL cannot be reached: %s", str(error) or type(error).__name__)
            raise away() from None

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=options.pool,
        max_overflow=0,
        pool_timeout=options.timeout / 2,
        pool_use_lifo=True,
    )
    _watch(engine, breaker, options.timeout)
    return engine


async def _connect(dsn: str, timeout: float) -> asyncpg.Connection[Any]:
    settings = {
        "application_name": APPLICATION,
        "timezone": "UTC",
        "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION}s",
    }
    try:
        async with asyncio.timeout(timeout):
            return await asyncpg.connect(dsn, timeout=timeout, server_settings=settings)
    except asyncpg.CannotConnectNowError as error:
        raise ConnectionError(str(error)) from None
    except asyncpg.TooManyConnectionsError as error:
        raise ConnectionError(str(error)) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        # A wrong password, a database that is not there, an address that is none; never the address itself.
        logger.error("PostgreSQL refuses: %s", error)
        detail = f"PostgreSQL refuses the connection ({type(error).__name__}). Check the setting database."
        raise FarsiteError(ErrorCode.STORAGE_FAILED, detail, retry_after=5) from None


def _watch(engine: AsyncEngine, breaker: _Breaker, timeout: float) -> None:
    sync = engine.sync_engine

    @event.listens_for(sync, "connect")
    def connected(connection: Any, record: Any) -> None:
        record.info["watchdog"] = _Watchdog(connection.driver_connection, breaker, timeout)

    @event.listens_for(sync, "checkout")
    def checked_out(connection: Any, record: Any, proxy: Any) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError("the server closed it meanwhile")

    def start(connection: Connection, *_: Any) -> None:
        patient = connection.get_execution_options().get(PATIENT, False)
        # One that was dropped is rolled back without a word to the server.
        if not (patient or connection.invalidated):
            connection.info["watchdog"].start()

    def stop(connection: Connection, *_: Any) -> None:
        connection.info["watchdog"].stop()

    def put_away(connection: Any, record: Any, *_: Any) -> None:
        if (watchdog := record.info.get("watchdog")) is not None:
            watchdog.stop()

    def failed(context: ExceptionContext) -> FarsiteError | None:
        """The driver stumbles over a connection that was dropped while it prepared a statement."""
        if context.connection is None or not isinstance(context.original_exception, AttributeError):
            return None
        return away() if context.connection.info["watchdog"].fired else None

    event.listen(sync, "handle_error", failed)
    event.listen(sync, "before_cursor_execute", start)
    event.listen(sync, "after_cursor_execute", stop)
    event.listen(sync, "commit", start)
    event.listen(sync, "rollback", start)
    for name in ("checkin", "close", "invalidate"):
        event.listen(sync, name, put_away)
