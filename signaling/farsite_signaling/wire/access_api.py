"""REST schemas of the cloud about access that is no member's: support, and service accounts."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, Field

from farsite_signaling.wire.cloud_api import Email, PageAnswer, Title
from farsite_signaling.wire.ids import Lines
from farsite_signaling.wire.people_api import NewToken, PersonalToken
from farsite_signaling.wire.rights import Right, Role
from farsite_signaling.wire.schema import _Request, _Schema

# support access


class SupportRequest(_Request):
    """Let somebody in for a while, who need not have an account yet. Operators and viewers need folders."""

    email: Email
    role: Role = Role.VIEWER
    folder_ids: list[str] = Field(default_factory=list, max_length=500)
    all_folders: bool = False
    until: AwareDatetime
    reason: Lines = Field(default="", max_length=500)


class SupportChange(_Request):
    until: AwareDatetime


class SupportAccess(_Schema):
    """`ended_by`: whoever ended it before its time."""

    id: str
    email: str
    role: Role
    folder_ids: list[str] | None = None
    reason: str = ""
    granted_by: str
    created_at: datetime
    until: datetime
    active: bool
    ended_at: datetime | None = None
    ended_by: str = ""


class SupportAccessList(PageAnswer):
    support: list[SupportAccess]


# service accounts


class ServiceAccountRequest(_Request):
    """Never an owner. Operators and viewers need `folder_ids` or `all_folders`."""

    name: Title
    description: Lines = Field(default="", max_length=1000)
    role: Role = Role.VIEWER
    folder_ids: list[str] = Field(default_factory=list, max_length=500)
    all_folders: bool = False


class ServiceAccountChange(_Request):
    """Fields left out stay."""

    name: Title | None = None
    description: Lines | None = Field(default=None, max_length=1000)
    role: Role | None = None
    folder_ids: list[str] | None = Field(default=None, max_length=500)
    all_folders: bool | None = None
    disabled: bool | None = None


class ServiceAccount(_Schema):
    """`actor` is what the audit log calls it."""

    id: str
    name: str
    actor: str
    description: str = ""
    role: Role
    folder_ids: list[str] | None = None
    disabled: bool = False
    tokens: int = Field(default=0, description="access tokens that are good now")
    used_at: datetime | None = None
    created_at: datetime


class ServiceAccountList(PageAnswer):
    service_accounts: list[ServiceAccount]


class ServiceTokenRequest(_Request):
    """Without `scopes` all that the account's role has, now and later."""

    name: Title
    scopes: list[Right] = Field(default_factory=lambda: list(Right), min_length=1, max_length=len(Right))
    expires_in_days: int = Field(default=90, ge=1, le=366)
    folder_ids: list[str] | None = Field(default=None, min_length=1, max_length=100)


class ServiceTokenList(_Schema):
    tokens: list[PersonalToken]


__all__ = [
    "NewToken",
    "ServiceAccount",
    "ServiceAccountChange",
    "ServiceAccountList",
    "ServiceAccountRequest",
    "ServiceTokenList",
    "ServiceTokenRequest",
    "SupportAccess",
    "SupportAccessList",
    "SupportChange",
    "SupportRequest",
]
