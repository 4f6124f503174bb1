"""Settings of the client: flag over environment variable (`FARSITE_CLIENT_…`) over TOML file over default."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PREFIX = "FARSITE_CLIENT_"
NAMES = ("home", "url", "email", "organization", "proxy", "ca_file", "device_name")
# Secrets are read where they are used, from the environment only; the rest steers the program itself.
ENVIRONMENT_ONLY = ("password", "new_password", "device_password", "config", "debug")


@dataclass(frozen=True)
class Settings:
    home: Path
    url: str | None = None
    email: str | None = None
    organization: str | None = None
    proxy: str | None = None
    ca_file: str | None = None
    device_name: str | None = None


def load(flags: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """Raises `FarsiteError`: `setting_unknown` naming the nearest known one, `setting_invalid`."""
    environment = os.environ if environment is None else environment
    variables = _variables(environment)
    file = flags.get("config") or variables.get("config")
    values = _file(Path(file)) if file else {}
    values |= {name: value for name, value in variables.items() if name in NAMES and value}
    values |= {name: value for name, value in flags.items() if name in NAMES and value}
    home = values.pop("home", None) or default_home()
    return Settings(home=Path(home).expanduser(), **values)


def default_home() -> str:
    return platformdirs.user_config_dir("farsite", appauthor=False)


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    found = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    known = {PREFIX + name.upper() for name in (*NAMES, *ENVIRONMENT_ONLY)}
    for name in found:
        if name not in known:
            raise _unknown(name, known, "environment variable")
    return {name.removeprefix(PREFIX).lower(): value for name, value in found.items()}


def _file(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _invalid(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"The settings file {path} is not TOML: {error}.") from None
    for name, value in values.items():
        if name not in NAMES:
            raise _unknown(name, NAMES, f"setting in {path}")
        if not isinstance(value, str):
            raise _invalid(f"{name} in {path} must be text in quotes.")
    return values


def _invalid(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.SETTING_INVALID, detail)


def _unknown(name: str, known: Iterable[str], what: str) -> FarsiteError:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return FarsiteError(ErrorCode.SETTING_UNKNOWN, f"Unknown {what}: {name}. Did you mean {near[0]}?")
