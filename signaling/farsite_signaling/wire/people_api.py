"""REST schemas of the cloud about people: accounts, sign-in, members, invitations, tokens."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, SecretStr

from farsite_signaling.wire.cloud_api import Email, Page, PageAnswer, Password, Secret, Title
from farsite_signaling.wire.ids import Name
from farsite_signaling.wire.rights import Right, Role
from farsite_signaling.wire.schema import Tag, _Request, _Schema

# accounts


class SignUpRequest(_Request):
    """A code is mailed to the address; `ConfirmRequest` uses it."""

    email: Email


class ConfirmRequest(_Request):
    code: Secret
    password: Password
    name: Title


class ResetRequest(_Request):
    code: Secret
    password: Password


class PasswordChange(_Request):
    current_password: Secret
    password: Password


class SignedIn(_Schema):
    """One sign-in: a browser or a command-line install."""

    id: str
    created_at: datetime
    expires_at: datetime = Field(description="it ends then, however much it is used")
    used_at: datetime | None = Field(default=None, description="last use, some minutes late at most")
    used_from: str = ""
    unused_until: datetime | None = Field(default=None, description="it ends then, unless it is used before")
    source: str = Field(description="address it was made from")
    agent: str = Field(description="program it was made with")
    mfa: bool
    current: bool


class SignedInList(_Schema):
    sessions: list[SignedIn]


# a second factor


class MfaSecret(_Schema):
    """For the authenticator app; on once `MfaConfirm` proves that it has it."""

    secret: str = Field(repr=False)
    uri: str = Field(repr=False, description="otpauth:// URI, what the QR code holds")
    qr_svg: str = Field(repr=False)


class MfaConfirm(_Request):
    code: SecretStr = Field(min_length=6, max_length=64)


class RecoveryCodes(_Schema):
    """Shown once; each works once instead of the app."""

    codes: list[str] = Field(repr=False)


# personal access tokens


class TokenRequest(_Request):
    """`scopes` are the rights it may use, never more than the account's role has.

    With `organization_id` it is for that organization only; with `folder_ids` for these folders of it and what is
    below them, and then for nothing that is about the organization as a whole.
    """

    name: Title
    scopes: list[Right] = Field(min_length=1, max_length=len(Right))
    expires_in_days: int = Field(default=90, ge=1, le=366)
    organization_id: str | None = Field(default=None, max_length=64)
    folder_ids: list[str] | None = Field(default=None, min_length=1, max_length=100)


class TokenRotation(_Request):
    """A new secret for the same token; the old one is good for `overlap_hours` more."""

    expires_in_days: int = Field(default=90, ge=1, le=366)
    overlap_hours: int = Field(default=0, ge=0, le=168)


class PersonalToken(_Schema):
    id: str
    name: str
    scopes: list[Right]
    organization_id: str | None = None
    folder_ids: list[str] | None = None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = Field(default=None, description="to the minute")
    used_from: str = Field(default="", description="address it was last used from")


class NewToken(PersonalToken):
    token: str = Field(repr=False, description="shown once")


class PersonalTokenList(_Schema):
    tokens: list[PersonalToken]


# members


class Member(_Schema):
    """`folder_ids` is null for every folder, and for those who may not see it."""

    account_id: str
    email: str
    name: str
    role: Role
    folder_ids: list[str] | None = None
    mfa: bool | None = None
    since: datetime


class MemberList(PageAnswer):
    users: list[Member]


class MemberQuery(Page):
    q: Name | None = Field(default=None, max_length=254, description="text in address or name")
    role: Role | None = None


class MemberChange(_Request):
    """Operators and viewers reach `folder_ids` and what is below them, or `all_folders`."""

    role: Role | None = None
    folder_ids: list[str] | None = Field(default=None, max_length=500)
    all_folders: bool | None = None


class Transfer(_Request):
    """The account becomes owner, whoever asks becomes admin."""

    account_id: str = Field(max_length=64)


# invitations


MOST_EMAILS = 100
"""Invited by one request."""


class InvitationRequest(_Request):
    """One role for all addresses. Operators and viewers need `folder_ids` or `all_folders`."""

    emails: list[Email] = Field(min_length=1, max_length=MOST_EMAILS)
    role: Role = Role.VIEWER
    folder_ids: list[str] = Field(default_factory=list, max_length=500)
    all_folders: bool = False


class Invitation(_Schema):
    """`starts_as` is the role it begins with: viewer while the organization says so, whatever `role` is."""

    id: str
    email: str
    role: Role
    starts_as: Role
    folder_ids: list[str] | None = None
    invited_by: str
    created_at: datetime
    expires_at: datetime
    expired: bool = False
    etag: Tag = ""


class InvitationList(PageAnswer):
    invitations: list[Invitation]


class Invitations(_Schema):
    """What became of each address: invited, or already a member."""

    invitations: list[Invitation]
    members: list[str] = Field(default_factory=list, description="addresses that are members already")


class OwnInvitation(_Schema):
    """An invitation as the invited person sees it."""

    id: str
    organization_id: str
    organization_name: str
    role: Role
    invited_by: str
    expires_at: datetime


class OwnInvitationList(_Schema):
    invitations: list[OwnInvitation]


class JoinRequest(_Request):
    """For an address without an account: the invitation's code proves the address."""

    code: Secret
    password: Password
    name: Title
