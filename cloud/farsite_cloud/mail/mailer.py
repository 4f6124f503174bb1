"""Sends what is in the queue, for as long as the cloud runs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any, Self

from farsite_cloud.clock import Clock
from farsite_cloud.database import Database
from farsite_cloud.mail import queue
from farsite_cloud.mail.sending import Postponed, Refused, Smtp
from farsite_cloud.vault import Vault
from farsite_signaling.wire.errors import FarsiteError

logger = logging.getLogger(__name__)
# Another process's mails, and leases that ran out, are noticed this late.
LOOK_EVERY = 15.0
OUTBOX = "no mail server is set (smtp_host): mails are kept here, read them with: farsite cloud outbox"


class Mailer:
    """`async with` starts it. Without a mail server it sends nothing, and mails wait to be read."""

    def __init__(self, database: Database, vault: Vault, clock: Clock, smtp: Smtp | None) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._smtp = smtp
        self._wanted = asyncio.Event()
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None

    async def __aenter__(self) -> Self:
        if self._smtp is not None:
            group = await self._stack.enter_async_context(asyncio.TaskGroup())
            self._task = group.create_task(self._run(self._smtp), name="mailer")
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._task is not None:
            self._task.cancel("mailer closed")
        await self._stack.aclose()

    @property
    def warning(self) -> str | None:
        """What the operator should know, for people; None while mails leave."""
        if self._smtp is None:
            return OUTBOX
        return f"mail is not leaving: {self.problem}" if self.problem else None

    def describe(self) -> dict[str, Any]:
        """For the ready event."""
        mode, server = ("outbox", None) if self._smtp is None else ("smtp", self._smtp.name)
        return {"mode": mode, "server": server, "warning": self.warning}

    async def wake(self) -> None:
        """There is something new in the queue."""
        self._wanted.set()

    async def _run(self, smtp: Smtp) -> None:
        while True:
            try:
                while await self._send_one(smtp):
                    _end_if_cancelled()
            except FarsiteError as error:
                logger.error("mails wait: %s", error)
            _end_if_cancelled()
            await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self._wanted.wait()
        except TimeoutError:
            pass
        self._wanted.clear()

    async def _send_one(self, smtp: Smtp) -> bool:
        """False when nothing is due. Sent outside any transaction: a slow server must not hold the database."""
        async with self._database.writing() as session:
            mail = await queue.take(session, self._vault, self._clock())
        if mail is None:
            return False
        try:
            await smtp.send(mail)
        except Refused as error:
            await self._refused(mail, str(error))
        except Postponed as error:
            await self._postponed(mail, str(error))
        else:
            self.problem = None
            async with self._database.writing() as session:
                await queue.sent(session, mail.id, self._clock())
        return True

    async def _refused(self, mail: queue.Taken, problem: str) -> None:
        logger.error("mail %s was refused: %s", mail.id, problem)
        async with self._database.writing() as session:
            await queue.failed(session, mail.id, problem)

    async def _postponed(self, mail: queue.Taken, problem: str) -> None:
        self.problem = problem
        logger.warning("mail %s waits: %s", mail.id, problem)
        async with self._database.writing() as session:
            await queue.postponed(session, mail, problem, self._clock())


def _end_if_cancelled() -> None:
    """The library waits with `asyncio.wait_for`, which before Python 3.12 drops a cancellation that comes together with
    the server's answer: the cloud would wait for its mailer for ever."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
