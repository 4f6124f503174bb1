"""Logging to standard error, without what libraries would tell of our data."""

from __future__ import annotations

import logging
import sys

# aiosqlite and SQLAlchemy log the values of statements: digests of tokens, hashes of passwords, names.
_TALKATIVE = ("aiosqlite", "sqlalchemy", "alembic")


def start_logging(level: str) -> None:
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    quiet_libraries()


def quiet_libraries() -> None:
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
