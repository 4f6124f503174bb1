"""Settings of policies as they are typed: `--set ssh=off`, JSON files, secrets."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from farsite_client.cli.invocation import read_password
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyKind, PolicyTemplate, SettingInfo, SettingKind
from farsite_signaling.wire.refusals import plain

LEAVE = "leave"
_SWITCH = {"on": True, "off": False, "yes": True, "no": False, "true": True, "false": False}


def merged(kind: PolicyKind, base: Mapping[str, Any] | None, changes: Sequence[str]) -> dict[str, Any]:
    """`base` (the recommended settings without one) with `NAME=VALUE` changes. Raises a usage error."""
    known = {info.name: info for info in kind.settings}
    recommended = {name: info.recommended for name, info in known.items() if info.recommended is not None}
    settings = dict(recommended if base is None else base)
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise typer.BadParameter(f"{change!r}: write it like ssh=off", param_hint="--set")
        if text == LEAVE:
            settings.pop(name, None)
        else:
            settings[name] = _value(known.get(name), text)
    return settings


def _value(info: SettingInfo | None, text: str) -> Any:
    kind = info.kind if info is not None else SettingKind.TEXT
    match kind:
        case SettingKind.SECRET:
            raise typer.BadParameter("secrets are not typed here: use --secret", param_hint="--set")
        case SettingKind.SWITCH:
            return _SWITCH.get(text.lower(), text)
        case SettingKind.NUMBER:
            return int(text) if text.lstrip("-").isdigit() else text
        case SettingKind.LIST if not text.startswith("["):
            return [part.strip() for part in text.split(",") if part.strip()]
        case SettingKind.OBJECT | SettingKind.LIST:
            return _json(text, "--set")
    return text


def read_document(file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    value = _json(_read(file), str(file))
    if not isinstance(value, dict):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{file}: the settings are not a JSON object.")
    return value


def read_template(file: Path) -> PolicyTemplate:
    try:
        return PolicyTemplate.model_validate_json(_read(file))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        detail = f"{file} is no policy document: {plain(first['msg'])} ({where or 'at its beginning'})."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None


def secrets_of(names: Sequence[str], *, from_stdin: bool) -> dict[str, str]:
    """Asked for, or read from standard input (one a line, in the order of the names) or `FARSITE_CLIENT_POLICY_NAME`."""
    found: dict[str, str] = {}
    for name in names:
        variable = f"FARSITE_CLIENT_POLICY_{name.upper()}"
        found[name] = read_password(variable, name, from_stdin=from_stdin, confirm=sys.stdin.isatty())
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{file} cannot be read: {error}.") from None


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{where}: this is not JSON ({error}).") from None
