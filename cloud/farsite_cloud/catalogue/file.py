"""The catalogue's file: CSV with a header, a JSON array, or one JSON object per line. Free of I/O.

Columns: `model` (needed), `warranty_months`, `hardware_support_end`, `software_support_end` (dates, 2030-12-31), `tracks`
(newest releases: `LTS 2024=11.11.192; Active=12.9.57`, in JSON an object) and `replacement`. Every line that is wrong is
told with its number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import Name
from farsite_signaling.wire.os_versions import model_key, parse
from farsite_signaling.wire.refusals import plain

MAX_BYTES = 16 * 1024 * 1024
MAX_MODELS = 50_000
_COLUMNS = (
    "model",
    "warranty_months",
    "hardware_support_end",
    "software_support_end",
    "tracks",
    "replacement",
)


class Entry(BaseModel):
    """What is known of one model."""

    model_config = ConfigDict(extra="forbid")

    model: Name = Field(min_length=1, max_length=200)
    warranty_months: int | None = Field(default=None, ge=0, le=600)
    hardware_support_end: date | None = None
    software_support_end: date | None = None
    tracks: dict[str, str] = Field(default_factory=dict, max_length=20)
    replacement: Name | None = Field(default=None, max_length=200)

    @field_validator("tracks", mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        return _tracks(value) if isinstance(value, str) else value

    @field_validator("tracks")
    @classmethod
    def _versions(cls, tracks: dict[str, str]) -> dict[str, str]:
        for name, version in tracks.items():
            if not parse(version) or len(version) > 64 or not name.strip() or len(name) > 64:
                raise ValueError(f"{name[:40]}={version[:40]} is no track with a version such as 11.11.192")
        return tracks

    @field_validator("model", "replacement")
    @classmethod
    def _trimmed(cls, text: str | None) -> str | None:
        if text is not None and not model_key(text):
            raise ValueError("a model's name is needed")
        return None if text is None else text.strip()


@dataclass
class Reading:
    """`problems`: line number (the first line is 1) and what is wrong there."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)


def read_catalogue(data: bytes) -> Reading:
    """Raises `invalid_request` for what is no catalogue at all, `too_large`."""
    if len(data) > MAX_BYTES:
        raise FarsiteError(ErrorCode.TOO_LARGE, f"A catalogue has at most {MAX_BYTES >> 20} MiB.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The catalogue is not UTF-8 text.") from None
    reading = Reading()
    seen: dict[str, int] = {}
    for line, given in _rows(text):
        _take(reading, seen, line, given)
    return reading


def _take(reading: Reading, seen: dict[str, int], line: int, given: dict[str, Any] | str) -> None:
    if isinstance(given, str):
        reading.problems.append((line, given))
        return
    try:
        entry = Entry.model_validate(given)
    except ValidationError as error:
        reading.problems.append((line, _said(error)))
        return
    first = seen.setdefault(model_key(entry.model), line)
    if first != line:
        reading.problems.append((line, f"the model {entry.model!r} is in line {first} already"))
    elif len(reading.entries) >= MAX_MODELS:
        reading.problems.append((line, f"more than {MAX_MODELS} models"))
    else:
        reading.entries.append(entry)


def _said(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'entry'}: {plain(one['msg'])}" for one in found)[
        :300
    ]


def _rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    start = text.lstrip()
    if start.startswith("["):
        return _array(text)
    return _json_lines(text) if start.startswith("{") else _csv(text)


def _csv(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(text))
    header: list[str] | None = None
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield reader.line_num, f"not CSV: {error}"
            break
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = _header(row)
        else:
            yield reader.line_num, _cells(header, row)
    if header is None:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, "The catalogue is empty: its first line names the columns."
        )


def _delimiter(text: str) -> str:
    """Spreadsheets of some countries write semicolons."""
    first = text.lstrip().partition("\n")[0]
    return ";" if ";" in first and "," not in first else ","


def _header(row: list[str]) -> list[str]:
    names = [cell.strip().casefold().replace(" ", "_") for cell in row]
    unknown = [name for name in names if name not in _COLUMNS]
    if unknown or "model" not in names or len(set(names)) != len(names):
        detail = f"The catalogue's first line names columns: {', '.join(_COLUMNS)}."
        if unknown:
            detail = f"The catalogue has no column {unknown[0][:40]!r}. {detail}"
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return names


def _cells(header: list[str], row: list[str]) -> dict[str, Any] | str:
    if len(row) > len(header):
        return f"{len(row)} cells, but the first line names {len(header)} columns"
    return {name: cell.strip() for name, cell in zip(header, row, strict=False) if cell.strip()}


def _json_lines(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"not JSON: {getattr(error, 'msg', 'nested too deeply')}"
            else:
                yield number, value if isinstance(value, dict) else "not an object"


def _array(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Entry by entry, to know in which line each begins; what comes after a broken one cannot be told apart."""
    decoder, at, line, counted = json.JSONDecoder(), _next(text, 0) + 1, 1, 0
    while True:
        at = _next(text, at)
        line, counted = line + text.count("\n", counted, at), at
        if at >= len(text):
            yield line, "the array does not end"
            return
        if text[at] == "]":
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield line, f"not JSON: {getattr(error, 'msg', 'nested too deeply')}"
            return
        yield line, value if isinstance(value, dict) else "not an object"
        at = _next(text, end)
        if at < len(text) and text[at] == ",":
            at += 1
        elif at < len(text) and text[at] != "]":
            yield line + text.count("\n", counted, at), "a comma is missing"
            return


def _next(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _tracks(text: str) -> dict[str, str]:
    """`LTS 2024=11.11.192; Active=12.9.57`"""
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, version = part.partition("=")
        if not part.strip():
            continue
        if not equals:
            raise ValueError("tracks are written like LTS 2024=11.11.192; Active=12.9.57")
        found[name.strip()] = version.strip()
    return found
