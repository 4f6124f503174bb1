"""A `CheckReport` as people and programs read it. Shared by the commands of all parts."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator

from farsite_signaling.wire.netcheck import AllowLine, CheckReport, CheckRow, Result

_COLOURS = {Result.PASS: "32", Result.WARN: "33", Result.FAIL: "31"}
WIDTH = 110


def show(report: CheckReport, *, as_json: bool) -> int:
    """Print it; returns the exit code: 1 when anything failed."""
    if as_json:
        sys.stdout.write(report.model_dump_json() + "\n")
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        sys.stdout.write("\n".join(lines(report, colour=colour)) + "\n")
    sys.stdout.flush()
    return int(report.failed)


def lines(report: CheckReport, *, colour: bool = False) -> Iterator[str]:
    """One line a row, what to do below it, then the lines for the firewall."""
    width = max((len(row.name) for row in report.rows), default=0)
    for row in report.rows:
        yield from _row(row, width, colour=colour)
    if report.allow_list:
        yield ""
        yield "Allow in the firewall:"
        yield from _allowed(report.allow_list)
    counts = {result: sum(row.result is result for row in report.rows) for result in Result}
    yield ""
    yield ", ".join(f"{count} {result}" for result, count in counts.items())


def _row(row: CheckRow, width: int, *, colour: bool) -> Iterator[str]:
    mark = f"\033[{_COLOURS[row.result]}m{row.result}\033[0m" if colour else str(row.result)
    took = "" if row.latency_ms is None else f" ({row.latency_ms:.0f} ms)"
    indent = " " * (width + 8)
    first, *rest = _wrapped(_clean(row.detail) + took, WIDTH - len(indent))
    yield f"{mark}  {_clean(row.name):<{width}}  {first}"
    yield from (indent + text for text in rest)
    if row.fix:
        yield from (indent + text for text in _wrapped(f"-> {_clean(row.fix)}", WIDTH - len(indent)))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 40), break_long_words=False, break_on_hyphens=False) or [""]


def _allowed(allowed: list[AllowLine]) -> Iterator[str]:
    hosts = max(len(line.host) for line in allowed)
    ports = max(len(line.port) for line in allowed)
    for line in allowed:
        host = _clean(line.host)
        yield f"  {line.direction:<3}  {line.protocol}  {host:<{hosts}}  {line.port:<{ports}}  {line.why}"


def _clean(text: str) -> str:
    """Certificates and servers choose some of the words: none of them may steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
