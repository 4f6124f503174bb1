"""A real SMTP server for tests, in the test's own loop: stopping it waits for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP


class MailServer:
    """Answers `replies` first, then takes what comes; `silent` ones are never answered."""

    def __init__(self) -> None:
        self.replies: list[str] = []
        self.received: list[EmailMessage] = []
        self.silent = False
        self.asked = asyncio.Event()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        reply = self.replies.pop(0) if self.replies else "250 taken"
        if reply.startswith("250"):
            self.received.append(message_from_bytes(envelope.content, policy=policy.default))
        self.asked.set()
        if self.silent:
            await asyncio.Event().wait()
        return reply

    async def wait(self) -> None:
        await asyncio.wait_for(self.asked.wait(), 30)
        self.asked.clear()


@asynccontextmanager
async def mail_server() -> AsyncIterator[tuple[MailServer, dict[str, Any]]]:
    """The server and the settings of a cloud that sends through it."""
    server, loop = MailServer(), asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(server, loop=loop), "127.0.0.1", 0)
    try:
        port = listening.sockets[0].getsockname()[1]
        yield server, {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": "none"}
    finally:
        listening.close()
