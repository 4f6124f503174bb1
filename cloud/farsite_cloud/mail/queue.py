"""Mails as rows: written with what they tell of, taken with a lease, finished once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.ids import new_id
from farsite_cloud.mail.letters import Content
from farsite_cloud.mail.models import Mail
from farsite_cloud.vault import Vault

LEASE = timedelta(minutes=2)
FIRST_RETRY = timedelta(seconds=30)
LAST_RETRY = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=2)
KEPT_FOR = timedelta(days=30)
_PURPOSE = "mail"


class MailState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True)
class Taken:
    """A mail in the hands of one worker until its lease ends."""

    id: str
    recipient: str
    content: Content
    created_at: datetime
    attempts: int


@dataclass(frozen=True)
class Kept:
    id: str
    recipient: str
    content: Content
    state: str
    problem: str
    created_at: datetime


def put(
    session: AsyncSession,
    recipient: str,
    content: Content,
    vault: Vault,
    now: datetime,
    *,
    really: bool = True,
) -> None:
    """Not `really`: an empty row that counts as sent, so that writing takes as long as for a mail."""
    sealed = vault.seal(json.dumps(asdict(content)).encode(), _PURPOSE)
    session.add(
        Mail(
            id=new_id(now),
            recipient=recipient,
            content=sealed if really else b"",
            state=MailState.QUEUED if really else MailState.SENT,
            created_at=now,
            due_at=now,
        )
    )


async def take(session: AsyncSession, vault: Vault, now: datetime) -> Taken | None:
    """The mail that is due longest. The update decides who has it, however many workers ask."""
    due = select(Mail).where(Mail.state == MailState.QUEUED, Mail.due_at <= now)
    # Another process's is passed by where rows are locked (PostgreSQL); SQLite has one writer at a time.
    due = due.order_by(Mail.due_at).limit(1).with_for_update(skip_locked=True)
    mail = (await session.scalars(due)).first()
    if mail is None:
        return None
    mine = update(Mail).where(Mail.id == mail.id, Mail.due_at == mail.due_at, Mail.state == MailState.QUEUED)
    taken = await session.execute(mine.values(due_at=now + LEASE, attempts=mail.attempts + 1))
    if not isinstance(taken, CursorResult) or taken.rowcount != 1:
        return None
    return Taken(mail.id, mail.recipient, _open(mail, vault), mail.created_at, mail.attempts)


def _open(mail: Mail, vault: Vault) -> Content:
    if not mail.content:
        return Content("", "")
    return Content(**json.loads(vault.unseal(mail.content, _PURPOSE)))


async def sent(session: AsyncSession, mail_id: str, now: datetime) -> None:
    """Its words are dropped: they may hold a code. Old rows are swept on the way."""
    done = update(Mail).where(Mail.id == mail_id)
    await session.execute(done.values(state=MailState.SENT, sent_at=now, content=b"", problem=""))
    await session.execute(delete(Mail).where(Mail.created_at < now - KEPT_FOR))


async def postponed(session: AsyncSession, mail: Taken, problem: str, now: datetime) -> None:
    """Try again later, twice as long each time; after two days no more."""
    if now - mail.created_at > GIVE_UP_AFTER:
        return await failed(session, mail.id, problem)
    pause = min(FIRST_RETRY * 2 ** min(mail.attempts - 1, 20), LAST_RETRY)
    later = update(Mail).where(Mail.id == mail.id)
    await session.execute(later.values(due_at=now + pause, problem=problem[:500]))


async def failed(session: AsyncSession, mail_id: str, problem: str) -> None:
    refused = update(Mail).where(Mail.id == mail_id)
    await session.execute(refused.values(state=MailState.FAILED, problem=problem[:500]))


async def next_due(session: AsyncSession) -> datetime | None:
    statement = select(Mail.due_at).where(Mail.state == MailState.QUEUED).order_by(Mail.due_at).limit(1)
    return await session.scalar(statement)


async def waiting(session: AsyncSession) -> int:
    statement = select(func.count()).select_from(Mail).where(Mail.state == MailState.QUEUED)
    return await session.scalar(statement) or 0


async def outbox(session: AsyncSession, vault: Vault, limit: int) -> list[Kept]:
    """What was not sent, newest first."""
    unsent = select(Mail).where(Mail.state != MailState.SENT).order_by(Mail.id.desc()).limit(limit)
    return [
        Kept(mail.id, mail.recipient, _open(mail, vault), mail.state, mail.problem, mail.created_at)
        for mail in await session.scalars(unsent)
    ]
