"""REST schemas of the cloud (`/api/v1`), used by its handlers and by the SDK."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.ids import Lines, Name
from farsite_signaling.wire.passkeys import PasskeyAssertion
from farsite_signaling.wire.rights import Role
from farsite_signaling.wire.schema import Tag, _Request, _Schema


def _not_blank(text: str) -> str:
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise ValueError("a name is needed")
    return text.strip()


Title = Annotated[Name, Field(min_length=1, max_length=100), AfterValidator(_not_blank)]
Email = Annotated[
    str,
    StringConstraints(
        to_lower=True,
        strip_whitespace=True,
        max_length=254,
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,188}[A-Za-z0-9])?$",
    ),
]
Password = Annotated[SecretStr, Field(min_length=10, max_length=1024)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=1024)]


class Page(_Request):
    """Query of every list: the cursor comes from the page before."""

    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=100, ge=1, le=500)


class PageAnswer(_Schema):
    """Answer of every list: rows, and where those after them begin, if there are more."""

    next_cursor: str | None = None


class SignInRequest(_Request):
    email: Name = Field(min_length=3, max_length=254)
    password: SecretStr = Field(min_length=1, max_length=1024)
    code: SecretStr | None = Field(
        default=None, max_length=64, description="of the authenticator app, of a mail, or a recovery code"
    )
    passkey: PasskeyAssertion | None = Field(default=None, description="one's passkey instead of a code")


class Account(_Schema):
    id: str
    email: str
    name: str = ""


class SignInResult(_Schema):
    token: str = Field(repr=False)
    expires_at: datetime
    account: Account


class Organization(_Schema):
    id: str
    name: str
    role: Role
    default_folder_id: str
    invited_start_as_viewers: bool = True
    require_mfa: bool = False
    support_until: datetime | None = Field(default=None, description="no member: let in until then")
    deletes_at: datetime | None = Field(default=None, description="erased then, unless it is restored")
    sign_in_idle_days: int | None = Field(
        default=None,
        description="members' sign-ins end after so many days without use; None: the cloud's rule",
    )
    sign_in_days: int | None = Field(default=None, description="… and after so many days in any case")
    suspended_at: datetime | None = Field(
        default=None, description="the operator of this cloud suspended it: it is seen and not changed"
    )
    suspended_reason: str = ""


class OrganizationRequest(_Request):
    name: Title


class OrganizationChange(_Request):
    name: Title | None = None
    invited_start_as_viewers: bool | None = None
    require_mfa: bool | None = None
    sign_in_idle_days: int | None = Field(default=None, ge=0, le=3650, description="0: the cloud's rule")
    sign_in_days: int | None = Field(default=None, ge=0, le=3650, description="0: the cloud's rule")


class OrganizationList(_Schema):
    organizations: list[Organization]


class Me(_Schema):
    account: Account
    organizations: list[Organization]
    token_expires_at: datetime | None = Field(default=None, description="of the token this was asked with")


class Folder(_Schema):
    id: str
    name: str
    parent_id: str | None = None
    etag: Tag = ""


class FolderList(_Schema):
    folders: list[Folder]


class FolderRequest(_Request):
    """Without `parent_id` a folder at the top."""

    name: Title
    parent_id: str | None = Field(default=None, max_length=64)


class FolderChange(_Request):
    """`parent_id` left out: it stays where it is; null: it moves to the top."""

    name: Title | None = None
    parent_id: str | None = Field(default=None, max_length=64)


class EnrolRequest(_Request):
    """A client device's certificate request (PKCS#10, PEM)."""

    csr: str = Field(max_length=8192)
    name: Name = Field(min_length=1, max_length=100)


class Enrolment(_Schema):
    """What a peer needs to prove who it is and to know the others. PEM throughout.

    `name` is the URN in the certificate; `grant_key` the public key that signs grants.
    """

    name: str
    certificate: str
    ca: str
    grant_key: str
    hub_url: str
    expires_at: datetime
    server_time: datetime


class SetupCodeRequest(_Request):
    name: Name = Field(min_length=1, max_length=100)
    description: Lines = Field(default="", max_length=1000)
    folder_id: Name | None = Field(default=None, max_length=64)


class SetupCode(_Schema):
    """A one-time code, shown once, good for 15 minutes."""

    code: str = Field(repr=False)
    expires_at: datetime
    name: str
    folder_id: str


class Claim(_Request):
    """POST /api/v1/claims by the edge host itself: the code is its only credential."""

    code: SecretStr = Field(max_length=64)
    csr: str = Field(max_length=8192)
    version: Name = Field(default="", max_length=50)
    hostname: Name = Field(default="", max_length=255)


class ClaimResult(Enrolment):
    edge_id: str
    edge_name: str
    organization_id: str
    organization_name: str


class RenewalRequest(_Request):
    """POST /api/v1/edge/renewals: `proof` is signed by the key of `certificate` (`identity.renewals`)."""

    certificate: str = Field(max_length=8192)
    csr: str = Field(max_length=8192)
    proof: str = Field(max_length=4096, repr=False)


class EdgeHost(_Schema):
    id: str
    name: str
    description: str = ""
    folder_id: str
    urn: str
    online: bool
    remote_access: bool | None = None
    version: str = ""
    path: str = Field(default="", description="how its newest open session reaches it")
    tags: list[str] = Field(default_factory=list)
    hostname: str = ""
    devices_managed: int = 0
    devices_discovered: int = 0
    claimed_at: datetime
    last_seen: datetime | None = None
    certificate_expires_at: datetime | None = None
    etag: Tag = ""


class EdgeHostList(PageAnswer):
    edge_hosts: list[EdgeHost]


class EdgeHostChange(_Request):
    name: Name | None = Field(default=None, min_length=1, max_length=100)
    description: Lines | None = Field(default=None, max_length=1000)
    folder_id: Name | None = Field(default=None, max_length=64)


class SessionRequest(_Request):
    """Ask for a session with an edge host. `client` is the URN of an enrolled client certificate."""

    client: str = Field(max_length=400)


class SessionTicket(_Schema):
    """All a client needs to open a tunnel: the grant, the other side's name, and the servers on the way."""

    session: str
    grant: str = Field(repr=False)
    edge: str = Field(description="URN of the edge host")
    edge_name: str
    hub_url: str
    ice_servers: list[IceServer]
    expires_at: datetime
    server_time: datetime
    opens_until: datetime | None = Field(default=None, description="until when the grant opens links")
    ice_expires_at: datetime | None = Field(default=None, description="when the servers' credentials expire")
