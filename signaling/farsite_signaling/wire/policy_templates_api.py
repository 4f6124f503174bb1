"""REST schemas of policy templates in the cloud: what campaigns apply to many edge hosts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field, field_validator

from farsite_signaling.wire.cloud_api import PageAnswer, Title
from farsite_signaling.wire.ids import Id, Lines
from farsite_signaling.wire.policy_api import MAX_SETTINGS, PolicyMode, PolicyTemplate
from farsite_signaling.wire.schema import _Request, _Schema

MAX_DOCUMENT = 24 * 1024
"""Bytes of JSON, so that an order with it fits one hub message."""
_SECRET = ("password", "secret", "passphrase", "private_key")
_RULES = frozenset({"password_policy"})
"""Settings about secrets, which hold none."""


def _without_secrets(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    """Secrets stay on edge hosts: there a policy made from the template before keeps its own."""
    for name, value in (settings or {}).items():
        looks_so = name not in _RULES and any(word in name.lower() for word in _SECRET)
        if looks_so and isinstance(value, str):
            raise ValueError(f"{name[:64]} looks like a secret; secrets are given on the edge host only")
    return settings


class TemplateRequest(_Request):
    name: Title
    description: Lines = Field(default="", max_length=1000)
    kind: Id
    mode: PolicyMode = PolicyMode.ENFORCE
    settings: dict[str, Any] = Field(max_length=MAX_SETTINGS)

    _checked = field_validator("settings")(_without_secrets)


class TemplateChange(_Request):
    """Fields left out stay; `settings` replaces all of them. A change of mode or settings is a new version."""

    name: Title | None = None
    description: Lines | None = Field(default=None, max_length=1000)
    mode: PolicyMode | None = None
    settings: dict[str, Any] | None = Field(default=None, max_length=MAX_SETTINGS)

    _checked = field_validator("settings")(_without_secrets)


class Template(_Schema):
    """`version` counts changes of mode and settings; `document` is the newest."""

    id: str
    name: str
    description: str = ""
    kind: str
    version: int
    document: PolicyTemplate
    created_at: datetime
    changed_at: datetime
    changed_by: str


class TemplateList(PageAnswer):
    templates: list[Template]


class TemplateVersion(_Schema):
    version: int
    document: PolicyTemplate
    created_at: datetime
    created_by: str


class TemplateVersionList(_Schema):
    versions: list[TemplateVersion]


class PolicyParameters(_Request):
    """`policy.apply`: a template in its newest version, or in a named one. `replace`: devices that have another policy
    of the same kind leave that one."""

    template: Id
    version: int | None = Field(default=None, ge=1)
    replace: bool = False


class PolicyOrder(_Request):
    """What edge hosts are told of it."""

    document: PolicyTemplate
    replace: bool = False
