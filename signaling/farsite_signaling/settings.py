"""Settings of a long-running part: flag, then environment variable, then TOML file, then default.

An unknown setting is an error wherever it stands: one that is silently not applied is worse than none.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.refusals import plain


def _split(value: Any) -> Any:
    """Lists may be written as `a, b`."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
Texts = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Ports = Annotated[list[Port], NoDecode, BeforeValidator(_split)]


class PartSettings(BaseSettings):
    """Base of a part's settings; subclasses set `model_config` with their `env_prefix`, read by `load`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_more: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` reads the other sources itself: the file is named by a flag.
        return (init_settings,)


S = TypeVar("S", bound=PartSettings)


def _nobodys(_name: str) -> bool:
    return False


def load(
    model: type[S],
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    foreign: Callable[[str], bool] = _nobodys,
) -> S:
    """`flags` that are None count as not given; `foreign` tells variables that belong to another part.

    Raises `FarsiteError`: `setting_unknown` naming the closest known one, `setting_invalid`.
    """
    environ = os.environ if environ is None else environ
    prefix = str(model.model_config.get("env_prefix", ""))
    _check_variables(model, prefix, environ, foreign)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values = _from_file(model, file) | _from_environment(model, environ) | given
    _check_names(given, model.model_fields, "")
    try:
        return model(**values)
    except ValidationError as error:
        raise _invalid(error, prefix) from None


def _check_variables(
    model: type[PartSettings], prefix: str, environ: Mapping[str, str], foreign: Callable[[str], bool]
) -> None:
    known = {prefix + name.upper() for name in model.model_fields}
    ours = [name for name in environ if name.upper().startswith(prefix) and not foreign(name.upper())]
    for name in ours:
        _check_names([name.upper()], known, " in the environment")


def _check_names(names: Iterable[str], known: Iterable[str], where: str) -> None:
    known = set(known)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise FarsiteError(ErrorCode.SETTING_UNKNOWN, f"There is no setting {name!r}{where}.{hint}")


def _from_file(model: type[PartSettings], file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    if not file.is_file():
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"There is no settings file {file}.")
    try:
        values = dict(TomlConfigSettingsSource(model, file)())
    except (ValueError, OSError) as error:
        detail = f"The settings file {file} cannot be read: {error}"
        raise FarsiteError(ErrorCode.SETTING_INVALID, detail) from None
    _check_names(values, model.model_fields, f" in {file}")
    return values


def _from_environment(model: type[PartSettings], environ: Mapping[str, str]) -> dict[str, Any]:
    class Source(EnvSettingsSource):
        def _load_env_vars(self) -> Mapping[str, str | None]:
            return {name.lower(): value for name, value in environ.items()}

    return dict(Source(model)())


def _invalid(error: ValidationError, prefix: str) -> FarsiteError:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    message = plain(first["msg"])
    if not first["loc"]:
        return FarsiteError(ErrorCode.SETTING_INVALID, f"Settings: {message}.")
    name = str(first["loc"][0])
    return FarsiteError(ErrorCode.SETTING_INVALID, f"Setting {name!r} ({prefix}{name.upper()}): {message}.")
