"""Writes that come together are committed together: one wait for the disk instead of one for each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any


class Unit:
    """One write: all of it or nothing, whatever becomes of the others it is committed with."""

    def __init__(self, act: Callable[[sqlite3.Connection], Any]) -> None:
        self.act = act
        self.ended = False
        self._value: Any = None
        self._error: BaseException | None = None

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value

    def apply(self, connection: sqlite3.Connection) -> None:
        """Within a transaction. Raises only when that is lost."""
        connection.execute("SAVEPOINT unit")
        try:
            self._value = self.act(connection)
        except Exception as error:
            # A full disk may have ended the transaction (https://www.sqlite.org/lang_transaction.html).
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO unit")
            self._error = error
        connection.execute("RELEASE unit")

    def fail(self, error: BaseException) -> None:
        self._error, self.ended = error, True


def commit_together(connection: sqlite3.Connection, units: Sequence[Unit]) -> None:
    """Runs in the thread of the connection; each unit has its result afterwards. Those that ended are left alone."""
    open_units = [unit for unit in units if not unit.ended]
    if not open_units:
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        for unit in open_units:
            unit.apply(connection)
        connection.execute("COMMIT")
    except Exception as error:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        for unit in open_units:
            unit.fail(error)
    else:
        for unit in open_units:
            unit.ended = True
