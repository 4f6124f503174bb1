"""Addresses out of a file: one column, a header, and whatever spreadsheets make of it; free of I/O."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from farsite_edge.discovery.targets import Target, count, merged, parse_target
from farsite_edge.vapix.text import clean
from farsite_signaling.wire.errors import FarsiteError

MAX_LINES = 60_000
MAX_PROBLEMS = 1000
_COMMENT = ("#", "//")
_REMARK = re.compile(r"\s#.*$")
_LIKE_AN_ADDRESS = re.compile(r"\d+\.\d+|[0-9a-f]*:[0-9a-f:]+", re.IGNORECASE)


@dataclass(frozen=True)
class LineProblem:
    line: int
    text: str
    problem: str


@dataclass
class AddressList:
    """`targets` of the good lines, each address once; every bad line with its number (from 1) and why."""

    targets: list[Target] = field(default_factory=list)
    problems: list[LineProblem] = field(default_factory=list)
    duplicates: int = 0


def parse_addresses(text: str) -> AddressList:
    """Byte-order mark, any line ends, blanks, quotes, a trailing separator, comments and blank lines are no problem.
    The first line may be a header: it is one when it looks like no address."""
    found = AddressList()
    good: list[Target] = []
    header = True
    for number, line in _lines(text):
        try:
            cell = _cell(line)
            if not cell or cell.startswith(_COMMENT):
                continue
            if header and not _LIKE_AN_ADDRESS.search(cell):
                header = False
                continue
            header = False
            good.append(parse_target(cell))
        except FarsiteError as error:
            _problem(found, number, line, error.detail)
        except ValueError as error:
            _problem(found, number, line, str(error))
    if (lines := _line_count(text)) > MAX_LINES:
        _problem(
            found,
            MAX_LINES + 1,
            "",
            f"A file has at most {MAX_LINES:,} lines; the rest of {lines:,} is not read.",
        )
    found.targets = merged(good)
    found.duplicates = count(good) - count(found.targets)
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    yield from enumerate(lines[:MAX_LINES], 1)


def _line_count(text: str) -> int:
    return text.count("\n") + 1 if text.count("\n") >= MAX_LINES else text.count("\r") + 1


def _cell(line: str) -> str:
    """The one column of a line; a separator with nothing behind it is left by spreadsheets."""
    line = _REMARK.sub("", line.strip())
    separator = ";" if ";" in line else "\t" if "\t" in line else ","
    try:
        cells = [
            cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
        ]
    except csv.Error:
        raise ValueError("the quotes of this line do not match") from None
    filled = [cell for cell in cells if cell]
    if len(filled) > 1 and not filled[0].startswith(_COMMENT):
        raise ValueError(f"{len(filled)} columns; the file has one, of addresses")
    return filled[0].strip("'\" \u00a0\u200b") if filled else ""


def _problem(found: AddressList, number: int, line: str, problem: str) -> None:
    if len(found.problems) < MAX_PROBLEMS:
        found.problems.append(LineProblem(number, clean(line, 60), problem))
