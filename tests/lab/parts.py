"""Parts of a rig that are processes in a namespace: they take orders and tell of events, one JSON line each."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from typing import Any

import pytest

from farsite_client.lab import Namespace


class Process:
    """One part; its JSON lines by the name of their event."""

    def __init__(self, namespace: Namespace, *command: str) -> None:
        self._command = namespace.command(*command)
        self._events: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._errors: deque[str] = deque(maxlen=40)
        self._tasks: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Process:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe
        )
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read()), loop.create_task(self._read_errors())]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        await asyncio.gather(*self._tasks)

    async def kill(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            with suppress(ValueError):
                event = json.loads(line)
                self._queue(event["event"]).put_nowait(event)

    async def _read_errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        async for line in self._process.stderr:
            self._errors.append(line.decode(errors="replace"))

    def _queue(self, name: str) -> asyncio.Queue[dict[str, Any]]:
        return self._events.setdefault(name, asyncio.Queue())

    async def event(self, name: str, seconds: float = 60) -> dict[str, Any]:
        try:
            return await asyncio.wait_for(self._queue(name).get(), seconds)
        except TimeoutError:
            pytest.fail(f"no {name!r} within {seconds} s:\n{''.join(self._errors)}")

    def order(self, **order: Any) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
