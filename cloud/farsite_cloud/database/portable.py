"""SQL that the databases write differently."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement, Select, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType


class contains(FunctionElement[bool]):
    """Whether a column holds a text, letter by letter: no pattern, nothing to escape."""

    type = Boolean()
    inherit_cache = True


@compiles(contains)
def _contains(element: Any, compiler: Any, **options: Any) -> str:
    function = "strpos" if compiler.dialect.name == "postgresql" else "instr"
    column, text = element.clauses
    return f"{function}({compiler.process(column, **options)}, {compiler.process(text, **options)}) > 0"


class unindexed(FunctionElement[str]):
    """A column that SQLite is to compare row by row: it has no statistics, and takes every index for a good one.

    https://sqlite.org/optoverview.html#disqualifying_where_clause_terms_using_unary_
    """

    type = String()
    inherit_cache = True


@compiles(unindexed)
def _unindexed(element: Any, compiler: Any, **options: Any) -> str:
    (column,) = element.clauses
    plus = "" if compiler.dialect.name == "postgresql" else "+"
    return f"{plus}{compiler.process(column, **options)}"


def has_text(column: Any, text: Any) -> ColumnElement[bool]:
    """`text`: a value, or the place of one (`kept.named`)."""
    return contains(column, text)


def row_by_row(column: Any) -> ColumnElement[str]:
    return unindexed(column)


class in_pairs(FunctionElement[Any]):
    """Two columns among pairs of values. Clauses: the columns, then both values of each pair."""

    # No boolean: for SQLite that would be compared with 1, and each pair be gone through for every row that has none.
    type = NullType()
    inherit_cache = True


@compiles(in_pairs)
def _in_pairs(element: Any, compiler: Any, **options: Any) -> str:
    left, right, *values = (compiler.process(clause, **options) for clause in element.clauses)
    pairs = ", ".join(f"({one}, {other})" for one, other in zip(values[::2], values[1::2], strict=True))
    rows = "" if compiler.dialect.name == "postgresql" else "VALUES "
    return f"({left}, {right}) IN ({rows}{pairs})"


class one_of(FunctionElement[Any]):
    """A column among what a statement gives; the statement is to come first, because it gives few.

    PostgreSQL would rather go through all rows in order until enough of them are among it.
    """

    type = NullType()
    inherit_cache = True


@compiles(one_of)
def _one_of(element: Any, compiler: Any, **options: Any) -> str:
    column, found = (compiler.process(clause, **options) for clause in element.clauses)
    return (
        f"{column} = ANY(ARRAY{found})" if compiler.dialect.name == "postgresql" else f"{column} IN {found}"
    )


def among_few(column: Any, found: Select[Any]) -> ColumnElement[bool]:
    """`found` gives one column."""
    return one_of(column, found.scalar_subquery())
