"""The hash chain of an audit log: every row's hash covers the row and the hash before it.

`genesis(chain)` is the hash before the first row; a chain is an organization's id, or `OPERATOR`. Whoever has the
rows can recompute all of it: cloud, command line, or a script (`docs/audit.md` has the recipe).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

OPERATOR = "operator"
_VERSION = "farsite-audit-v1"


class Chained(Protocol):
    """What of a row its hash covers, and the hash it came with."""

    @property
    def seq(self) -> int | None: ...
    @property
    def hash(self) -> str | None: ...
    @property
    def id(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def actor(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def session(self) -> str | None: ...
    @property
    def details(self) -> dict[str, Any]: ...
    @property
    def origin(self) -> str | None: ...
    @property
    def origin_id(self) -> str | None: ...


@dataclass(frozen=True)
class Link:
    """A place in a chain: the row with number `seq` has this hash."""

    seq: int
    hash: str


class BreakKind(StrEnum):
    CHANGED = "changed"
    MISSING = "missing"
    MISPLACED = "misplaced"
    REWRITTEN = "rewritten"
    CHECKPOINT_INVALID = "checkpoint_invalid"


@dataclass(frozen=True)
class Break:
    """Where a chain does not hold: the number of the first row concerned."""

    seq: int
    kind: BreakKind
    detail: str


def genesis(chain: str) -> str:
    return _digest(f"{_VERSION}\0{chain}")


def start(chain: str) -> Link:
    return Link(0, genesis(chain))


def link(previous: str, row: Chained) -> str:
    """Hex SHA-256 over the hash before and the row as a JSON list; times in UTC with microseconds."""
    covered = [
        row.seq,
        row.id,
        row.at.astimezone(UTC).isoformat(timespec="microseconds"),
        row.actor,
        row.action,
        row.target,
        row.outcome,
        row.source,
        row.session,
        row.details,
        row.origin,
        row.origin_id,
    ]
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return _digest(f"{previous}\n{text}")


class ChainCheck:
    """Rows in, in order of their numbers; says where the chain breaks first. No I/O."""

    def __init__(self, after: Link) -> None:
        self.last = after
        self.rows = 0
        self.broken: Break | None = None
        self._wanted: dict[int, str] = {}

    def expect(self, place: Link) -> None:
        """A signed earlier statement that row `seq` had this hash; give them all before the rows."""
        self._wanted[place.seq] = place.hash
        if place.seq == self.last.seq:
            self._compare(self.last)

    def take(self, row: Chained) -> bool:
        """False once it is broken: what comes after cannot be judged."""
        if self.broken is None:
            self.broken = self._judge(row)
        if self.broken is not None:
            return False
        assert row.seq is not None and row.hash is not None
        self.rows += 1
        self.last = Link(row.seq, row.hash)
        self._compare(self.last)
        return self.broken is None

    def _judge(self, row: Chained) -> Break | None:
        due = self.last.seq + 1
        if row.seq is None or row.hash is None or row.seq < due:
            return Break(due, BreakKind.MISPLACED, f"A row stands where number {due} was due.")
        if row.seq > due:
            gone = f"Row {due} is" if row.seq == due + 1 else f"Rows {due} to {row.seq - 1} are"
            return Break(due, BreakKind.MISSING, f"{gone} missing.")
        if link(self.last.hash, row) != row.hash:
            detail = f"Row {due} ({row.action} of {row.at:%Y-%m-%d %H:%M:%S} UTC) is not as it was written."
            return Break(due, BreakKind.CHANGED, detail)
        return None

    def _compare(self, place: Link) -> None:
        wanted = self._wanted.get(place.seq)
        if wanted is not None and wanted != place.hash and self.broken is None:
            detail = (
                f"Row {place.seq} is not the one a signed checkpoint speaks of: rows up to it were rewritten."
            )
            self.broken = Break(place.seq, BreakKind.REWRITTEN, detail)

    def finish(self, head: Link) -> Break | None:
        """After the last row: whether the chain reaches where its head and the checkpoints say it did."""
        last = max([head.seq, *self._wanted])
        if self.broken is None and last > self.last.seq:
            detail = f"Rows {self.last.seq + 1} to {last} are missing: the log once went on to {last}."
            self.broken = Break(self.last.seq + 1, BreakKind.MISSING, detail)
        if self.broken is None and (self.last.seq, self.last.hash) != (head.seq, head.hash):
            detail = f"The log's head ({head.seq}) does not fit its last row ({self.last.seq})."
            self.broken = Break(head.seq, BreakKind.REWRITTEN, detail)
        return self.broken


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
