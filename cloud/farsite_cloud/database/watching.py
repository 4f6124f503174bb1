"""Noticing that rows of some tables are changed, whichever feature does it: by objects, or by statements."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any, Protocol

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session

INCIDENTAL = "farsite_incidental"
"""Execution option of a statement that changes nothing anybody watches."""
_TOUCHED = "farsite_touched"


class Watcher(Protocol):
    @property
    def tell(self) -> Callable[[], Awaitable[None]]:
        """After `forget`, and before whoever changed it goes on."""

    def forget(self) -> None:
        """At once after the commit; also when it is not known whether there was one."""


def watched_session(tables: frozenset[str], watcher: Watcher) -> type[Session]:
    """A kind of session that tells the watcher of changes to these tables."""
    kind: type[Session] = type("WatchedSession", (Session,), {})

    def flushed(session: Session, _context: Any) -> None:
        changed = chain(session.new, session.dirty, session.deleted)
        if any(row.__tablename__ in tables for row in changed):
            session.info[_TOUCHED] = True

    def executing(state: ORMExecuteState) -> None:
        if state.is_select or state.execution_options.get(INCIDENTAL):
            return
        # What names no table may be about any.
        name = getattr(getattr(state.statement, "table", None), "name", None)
        if name is None or name in tables:
            state.session.info[_TOUCHED] = True

    def ended(session: Session) -> None:
        if _TOUCHED in session.info:
            watcher.forget()

    event.listen(kind, "after_flush", flushed)
    event.listen(kind, "do_orm_execute", executing)
    event.listen(kind, "after_commit", ended)
    event.listen(kind, "after_rollback", ended)
    return kind


def touched(session: Session) -> bool:
    """Whether such a session changed what is watched."""
    return bool(session.info.pop(_TOUCHED, False))
