"""Relay settings from a TOML file and flags, and the rendered file on disk."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path

from pydantic import ValidationError

from farsite_cloud.turn.config import TurnSettings
from farsite_signaling.identity.keys import write_private
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.refusals import plain

_PORTS = ("port", "tls_port", "alt_tls_port")


def load_settings(given: dict[str, object], file: Path | None) -> TurnSettings:
    """`given` wins over the file's `[turn]` table. A port of 0 is a closed one.

    Raises `FarsiteError` (`setting_unknown`, `setting_invalid`).
    """
    values = {**_from_file(file), **given}
    closed: dict[str, object] = {name: None for name in _PORTS if values.get(name) == 0}
    try:
        return TurnSettings.model_validate({**values, **closed})
    except ValidationError as error:
        raise _invalid(error) from None


def write_config(path: Path, text: str) -> None:
    """Owner-readable only: it holds the secret. Raises `FarsiteError` (`storage_failed`)."""
    try:
        write_private(path, text.encode())
    except OSError as error:
        raise FarsiteError(ErrorCode.STORAGE_FAILED, f"Cannot write {path}: {error.strerror}.") from None


def _from_file(file: Path | None) -> dict[str, object]:
    if file is None:
        return {}
    try:
        table = tomllib.loads(file.read_text()).get("turn", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"Cannot read {file}: {error}.") from None
    if not isinstance(table, dict):
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"{file}: [turn] must be a table.")
    for name in table:
        _check_known(name, file)
    return table


def _check_known(name: str, file: Path) -> None:
    known = list(TurnSettings.model_fields)
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise FarsiteError(ErrorCode.SETTING_UNKNOWN, f"{file}: turn.{name} is no setting{hint}")


def _invalid(error: ValidationError) -> FarsiteError:
    details = error.errors(include_input=False, include_url=False, include_context=False)
    first = details[0]
    where = ".".join(str(part) for part in first["loc"]) or "settings"
    if first["type"] == "missing":
        return FarsiteError(
            ErrorCode.SETTING_INVALID, f"{where} is missing; give --{where.removesuffix('s')}."
        )
    text = f"{where}: {plain(first['msg'])}."
    return FarsiteError(ErrorCode.SETTING_INVALID, text)
