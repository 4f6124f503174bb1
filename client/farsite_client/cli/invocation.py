"""What every command starts from: its settings, its output, and the loop it runs in."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar

import typer

from farsite_client import settings as client_settings
from farsite_client.cli.output import Output
from farsite_client.cloud import CloudClient, clock_problem
from farsite_client.profile import Profile, Stored
from farsite_client.settings import Settings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

T = TypeVar("T")


class Invocation:
    def __init__(self, ctx: typer.Context) -> None:
        self._flags: dict[str, Any] = dict(ctx.obj or {})
        self.output = Output(as_json=bool(self._flags.get("json")))

    def with_flags(self, **flags: Any) -> Invocation:
        self._flags |= {name: value for name, value in flags.items() if value}
        return self

    @cached_property
    def settings(self) -> Settings:
        return client_settings.load(self._flags)

    @cached_property
    def profile(self) -> Profile:
        settings = self.settings
        return Profile(settings.home, proxy=settings.proxy, ca_file=settings.ca_file)

    @asynccontextmanager
    async def cloud(self) -> AsyncIterator[tuple[CloudClient, Stored]]:
        """The cloud as the signed-in user; says so when this machine's clock is far off."""
        stored = self.profile.load()
        async with self.profile.cloud(stored) as cloud:
            yield cloud, stored
            if problem := clock_problem(cloud.clock_offset):
                self.output.note(f"warning: {problem.detail}")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        _quiet_logging()
        return asyncio.run(work)

    def serve(self, work: Coroutine[Any, Any, None]) -> None:
        """Run until done, or until SIGINT or SIGTERM, which end it cleanly with exit code 0."""
        _quiet_logging()
        asyncio.run(_until_signal(work))


def _quiet_logging() -> None:
    if os.environ.get("FARSITE_CLIENT_DEBUG"):
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    else:
        logging.getLogger().addHandler(logging.NullHandler())


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    loop, task, stopped = asyncio.get_running_loop(), asyncio.current_task(), False
    assert task is not None

    def stop(task: asyncio.Task[Any] = task) -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
    except NotImplementedError:  # Windows: an interrupt ends the loop as Python does it
        pass
    try:
        await work
    except asyncio.CancelledError:
        if not stopped:
            raise
        task.uncancel()


def read_password(variable: str, prompt: str, *, from_stdin: bool, confirm: bool = False) -> str:
    """From standard input, the environment or the terminal, in this order; never from the command line."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif variable in os.environ:
        password = os.environ[variable]
    elif sys.stdin.isatty():
        password = str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    else:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST,
            f"A password is needed: give it on standard input with --password-stdin, or in {variable}.",
        )
    if not password:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The password is empty.")
    return password
