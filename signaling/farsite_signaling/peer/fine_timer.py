"""A timer finer than an event loop's, which knows milliseconds: Linux's timerfd_create(2)."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

_ABSOLUTE = 1
_setting = struct.Struct("@llll")


class FineTimer:
    """Calls `fired` once for each time set. `close` it: it holds a descriptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fired: Callable[[], None]) -> None:
        """Raises `OSError` where there is none."""
        self._fd = _create()
        self._loop = loop
        self._fired = fired
        self._due: float | None = None
        loop.add_reader(self._fd, self._readable)

    def at(self, when: float) -> None:
        """By `time.monotonic`. One that is due sooner already stays."""
        if self._fd < 0 or (self._due is not None and self._due <= when):
            return
        self._due = when
        seconds = int(when)
        nanoseconds = max(1, int((when - seconds) * 1e9))  # all zeros would stop it
        setting = _setting.pack(0, 0, seconds, nanoseconds)
        _library().timerfd_settime(self._fd, _ABSOLUTE, setting, None)

    def _readable(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._fd, 8)
            self._due = None
            self._fired()

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def fine_timer(loop: asyncio.AbstractEventLoop, fired: Callable[[], None]) -> FineTimer | None:
    """None where the system has none, or forbids it."""
    try:
        return FineTimer(loop, fired)
    except (OSError, AttributeError, NotImplementedError):
        return None


@cache
def _library() -> Any:
    return ctypes.PyDLL(None, use_errno=True)


def _create() -> int:
    if sys.platform != "linux":
        raise OSError("timers are not descriptors here")
    descriptor = int(_library().timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    return descriptor
