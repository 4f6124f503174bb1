"""The connection to Redis: every command bounded in time, every failure the same error."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)
SECONDS = 1.0
"""For a command, with the connection it may need."""
SAY_AGAIN = 60.0
PREFIX = "farsite:"
_CONNECTIONS = 50


def open_redis(url: str) -> redis.Redis:
    """Connects when first used; `aclose` it. Raises `setting_invalid`."""
    try:
        client: redis.Redis = redis.Redis.from_url(
            url,
            # `shared` bounds commands. The client's own bound is `wait_for`, which before Python 3.12 may swallow that
            # its task was cancelled (https://github.com/python/cpython/issues/81839).
            socket_timeout=None,
            socket_connect_timeout=SECONDS,
            max_connections=_CONNECTIONS,
            # One that was cut is tried once more at once; after that whoever asked is told.
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
    except ValueError as error:
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"Setting redis: {error}.") from None
    return client


class _Said:
    """Presence is renewed twice a second: a Redis that is away is said once a minute, and when it is back."""

    def __init__(self) -> None:
        self._at: float | None = None

    def failed(self, what: str, error: Exception) -> None:
        now = time.monotonic()
        if self._at is None or now - self._at >= SAY_AGAIN:
            self._at = now
            logger.error("Redis failed (%s): %s", what, str(error) or type(error).__name__)

    def worked(self) -> None:
        if self._at is not None:
            self._at = None
            logger.info("Redis answers again")


_said = _Said()


@asynccontextmanager
async def shared(what: str) -> AsyncIterator[None]:
    """Around commands. Raises `unavailable` when Redis does not do them in time."""
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        _said.failed(what, error)
        detail = "The cloud's Redis does not answer: nothing was changed. Try again."
        raise FarsiteError(ErrorCode.UNAVAILABLE, detail, retry_after=2) from None
    _said.worked()


def described(url: str) -> str:
    """For people, without the password."""
    parts = urlsplit(url)
    return f"Redis at {parts.netloc.rpartition('@')[2]}{parts.path}"
