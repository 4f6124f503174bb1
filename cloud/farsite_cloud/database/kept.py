"""Statements that are made once for each shape, and run with other values every time.

Making a statement, finding it among those compiled before, and reading its rows as the object mapper does takes several
times what the database needs to answer it. What is read hundreds of times a second is therefore kept as text. A kept
statement holds no values, so that nobody's are ever used for somebody else.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Float,
    Select,
    String,
    bindparam,
    literal_column,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from farsite_cloud.database.base import UtcDateTime

OWN = "own_organization"
NOTHING: ColumnElement[bool] = literal_column("1 = 0", Boolean)
"""Of `false()` SQLAlchemy would leave nothing else, not even whose rows they are."""
MOST = 1000
_PADDED = 4096
Make = Callable[[], Select[*tuple[Any, ...]]]
_Converter = Callable[[Any], Any]


def named(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]] = String) -> BindParameter[Any]:
    """The place of a value, which is given when the statement runs."""
    return bindparam(name, type_=kind)


def named_list(name: str, count: int) -> list[BindParameter[str]]:
    """Places for `numbered` values."""
    return [named(_place(name, number)) for number in range(count)]


def padded(count: int) -> int:
    """So that lists have few lengths: the next power of two. Databases take some 32,000 values."""
    return 1 << (count - 1).bit_length() if 0 < count <= _PADDED else count


def numbered(name: str, values: Sequence[str], count: int | None = None) -> dict[str, str]:
    """By the names of a `named_list` of so many, or of `padded` length: the last one again and again, which changes
    nothing among which something is looked for."""
    last = len(values) - 1
    return {
        _place(name, number): values[min(number, last)]
        for number in range(padded(len(values)) if count is None else count)
    }


def _place(name: str, number: int) -> str:
    """No name that SQLAlchemy makes up has two underlines."""
    return f"{name}__{number}"


def among_named(column: Any, name: str, count: int) -> ColumnElement[bool]:
    """Whether a column has one of so many `numbered` values."""
    if not count:
        return NOTHING
    places = named_list(name, padded(count))
    return column == places[0] if count == 1 else column.in_(places)  # type: ignore[no-any-return]


class _Kept:
    """One statement, for one database."""

    def __init__(self, statement: Select[*tuple[Any, ...]], dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        _check(compiled.binds)
        self._names: tuple[str, ...] = tuple(compiled.positiontup)
        # Beside these there are the names they had before.
        binds = {name: compiled.binds[name] for name in self._names}
        self.fixed = {name: bind.value for name, bind in binds.items() if not bind.required}
        self._writers = _writers(binds, dialect)
        columns = list(statement.selected_columns)
        row: Any = namedtuple("Row", [column.key or "" for column in columns], rename=True)  # type: ignore[misc]
        self._make = row._make
        self._readers = _readers([column.type for column in columns], dialect)
        self.text = str(compiled)

    def parameters(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        given = {**self.fixed, **values} if self.fixed else values
        if self._writers:
            given = {**given, **{name: write(given[name]) for name, write in self._writers.items()}}
        return tuple([given[name] for name in self._names])

    def rows(self, found: Iterable[Sequence[Any]]) -> list[Any]:
        if self._readers:
            columns: list[Iterable[Any]] = list(zip(*found, strict=True))
            for place, reader in self._readers if columns else ():
                columns[place] = map(reader, columns[place])
            found = zip(*columns, strict=True)
        return list(map(self._make, found))


def _writers(binds: Mapping[str, BindParameter[Any]], dialect: Dialect) -> dict[str, _Converter]:
    """Of values that the driver wants otherwise than they are given."""
    made = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in binds.items()}
    return {name: writer for name, writer in made.items() if writer is not None}


def _readers(kinds: list[TypeEngine[Any]], dialect: Dialect) -> list[tuple[int, _Converter]]:
    """Of columns whose values the driver gives otherwise than they are wanted."""
    made = [_reader(kind, dialect) for kind in kinds]
    return [(place, reader) for place, reader in enumerate(made) if reader is not None]


def _reader(kind: TypeEngine[Any], dialect: Dialect) -> _Converter | None:
    if isinstance(kind, UtcDateTime) and dialect.name == "sqlite":
        return _time  # pages have hundreds: what SQLAlchemy has for it takes several times as long
    if isinstance(kind, Float) and dialect.name == "postgresql":
        return None  # SQLAlchemy would first ask the driver for the type
    return kind.dialect_impl(dialect).result_processor(dialect, None)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


def _check(binds: Mapping[str, BindParameter[Any]]) -> None:
    """Numbers and empty texts are part of a shape; whatever else was put into it would be somebody's."""
    if OWN not in binds:
        raise TypeError("a kept statement is of one organization, which a Scope names")
    for name, bind in binds.items():
        if not bind.required and not isinstance(bind.value, int) and bind.value != "":
            raise TypeError(f"a kept statement holds no values; {name} is one: name it")


_kept: WeakKeyDictionary[object, dict[Hashable, _Kept]] = WeakKeyDictionary()


async def run(session: AsyncSession, shape: Hashable, make: Make, values: Mapping[str, Any]) -> list[Any]:
    """Rows with their columns as attributes; `make` is asked for the first statement of this `shape` only."""
    return await session.run_sync(_run, shape, make, values)


def _run(session: Session, shape: Hashable, make: Make, values: Mapping[str, Any]) -> list[Any]:
    if session.autoflush:
        session.flush()
    connection = session.connection()
    kept = _of_shape(connection, shape, make)
    fetch = _fetch_at_once if connection.dialect.name == "sqlite" else _fetch
    return kept.rows(fetch(connection, kept.text, kept.parameters(values)))


def _of_shape(connection: Connection, shape: Hashable, make: Make) -> _Kept:
    known = _kept.setdefault(connection.engine.pool, {})
    kept = known.get(shape)
    if kept is None:
        if len(known) >= MOST:
            known.clear()
        kept = known[shape] = _Kept(make(), connection.dialect)
    return kept


def _fetch(connection: Connection, text: str, values: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
    result: Any = connection.exec_driver_sql(text, values)
    try:
        return result.cursor.fetchall()  # type: ignore[no-any-return]
    finally:
        result.close()


def _fetch_at_once(connection: Connection, text: str, values: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
    """Past the result that SQLAlchemy would prepare, which here takes longer than most statements. On PostgreSQL the
    time that a statement takes is watched on that way (`database/postgres.py`)."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(text, values)
        found: Sequence[Sequence[Any]] = cursor.fetchall()
        return found
    except Exception as error:
        connection._handle_dbapi_exception(error, text, values, None, None)
    finally:
        cursor.close()
