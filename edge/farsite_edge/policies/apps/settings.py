"""What an apps policy says."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from farsite_edge.apps.package import app_version
from farsite_signaling.wire.apps_api import APP_NAME
from farsite_signaling.wire.edge_tasks import UpdateWindow
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.refusals import plain

LATEST = "latest"
MAX_APPS = 20


class AppState(StrEnum):
    """`any`: installed, running or not; `absent`: removed."""

    RUNNING = "running"
    STOPPED = "stopped"
    ANY = "any"
    ABSENT = "absent"


class WantedApp(BaseModel):
    """`version`: `latest` of the folder, or a certain one. An older one than what is installed needs `downgrade`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=APP_NAME)
    version: str = Field(default=LATEST, min_length=1, max_length=64)
    state: AppState = AppState.RUNNING
    downgrade: bool = False

    @model_validator(mode="after")
    def _sensible(self) -> WantedApp:
        if self.version != LATEST and not app_version(self.version):
            raise ValueError("version is 'latest' or a version such as 4.4-5")
        if self.state is AppState.ABSENT and self.version != LATEST:
            raise ValueError("an app that is to be absent has no version")
        return self


class AppSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    apps: list[WantedApp] = Field(min_length=1, max_length=MAX_APPS)
    window: UpdateWindow | None = None

    @model_validator(mode="after")
    def _each_once(self) -> AppSettings:
        names = [one.name.casefold() for one in self.apps]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"the app {twice!r} is named twice")
        return self


def validated(settings: dict[str, Any]) -> dict[str, Any]:
    """Raises `invalid_request` naming what is wrong."""
    given = dict(settings)
    if isinstance(given.get("apps"), list):
        given["apps"] = [_from_text(one) if isinstance(one, str) else one for one in given["apps"][:200]]
    if isinstance(given.get("window"), str):
        given["window"] = _window(given["window"])
    try:
        return AppSettings.model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)[:5]
        said = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'settings'}: {plain(one['msg'])}" for one in found
        )
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"The apps policy makes no sense: {said}.") from None


def _from_text(text: str) -> dict[str, str]:
    """`NAME[@VERSION][:STATE]`."""
    rest, _, state = text.partition(":")
    name, _, version = rest.partition("@")
    return {"name": name} | ({"version": version} if version else {}) | ({"state": state} if state else {})


def _window(text: str) -> dict[str, Any] | str:
    """`22:00-05:00`, also with days: `22:00-05:00 sat,sun`."""
    times, _, days = text.strip().partition(" ")
    start, dash, end = times.partition("-")
    if not dash:
        return text
    return {"start": start, "end": end} | ({"days": [day.strip() for day in days.split(",")]} if days else {})
