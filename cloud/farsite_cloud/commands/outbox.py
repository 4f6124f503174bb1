"""`farsite cloud outbox`: mails that were not sent, read by whoever has the data folder."""

from __future__ import annotations

import asyncio
from typing import Any

from farsite_cloud.commands.store import stored
from farsite_cloud.mail.queue import Kept, outbox
from farsite_cloud.settings import CloudSettings
from farsite_cloud.vault import Vault


def read_outbox(settings: CloudSettings, limit: int) -> list[dict[str, Any]]:
    """Raises `not_found` without a cloud there, `storage_failed` without its key."""
    return asyncio.run(_read(settings, limit))


async def _read(settings: CloudSettings, limit: int) -> list[dict[str, Any]]:
    vault = Vault.open(settings.data_dir, create=False, given=settings.given_key)
    async with stored(settings) as database, database.reading() as session:
        return [_shown(mail) for mail in await outbox(session, vault, limit)]


def _shown(mail: Kept) -> dict[str, Any]:
    return {
        "id": mail.id,
        "to": mail.recipient,
        "subject": mail.content.subject,
        "text": mail.content.text,
        "state": mail.state,
        "problem": mail.problem,
        "created_at": mail.created_at.isoformat(),
    }


def as_text(mails: list[dict[str, Any]]) -> str:
    if not mails:
        return "No mails are waiting."
    return "\n".join(_letter(mail) for mail in reversed(mails))


def _letter(mail: dict[str, Any]) -> str:
    problem = f" ({mail['problem']})" if mail["problem"] else ""
    head = f"--- {mail['created_at']} to {mail['to']}, {mail['state']}{problem}"
    return f"{head}\n{mail['subject']}\n\n{mail['text']}"
