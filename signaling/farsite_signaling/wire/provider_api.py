"""REST schemas of an organization's identity provider (OpenID Connect)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, field_validator

from farsite_signaling.wire.cloud_api import Secret
from farsite_signaling.wire.rights import Role
from farsite_signaling.wire.schema import _Request, _Schema

DomainName = Annotated[
    str,
    StringConstraints(
        to_lower=True,
        strip_whitespace=True,
        max_length=190,
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}$",
    ),
]


class ProviderRequest(_Request):
    """`issuer` exactly as the provider writes it. Without `client_secret` the one that is kept stays.

    `new_members`: the role people get who are not members yet; null: only members may enter. `counts_as_mfa`: the
    provider's sign-in counts as a second factor even if it does not say so (`amr`). `required`: members other than
    owners must sign in by it.
    """

    issuer: str = Field(min_length=8, max_length=500)
    client_id: str = Field(min_length=1, max_length=500)
    client_secret: SecretStr | None = Field(default=None, min_length=1, max_length=2000)
    new_members: Role | None = None
    counts_as_mfa: bool = False
    required: bool = False

    @field_validator("new_members")
    @classmethod
    def _no_owner(cls, value: Role | None) -> Role | None:
        if value is Role.OWNER:
            raise ValueError("nobody becomes owner by signing in")
        return value


class Domain(_Schema):
    domain: str
    proven: bool


class Provider(_Schema):
    """`redirect_uri` is what the provider must be told to send browsers back to."""

    issuer: str
    client_id: str
    has_secret: bool
    new_members: Role | None
    counts_as_mfa: bool
    required: bool
    redirect_uri: str
    domains: list[Domain]


class DomainRequest(_Request):
    """A code is mailed to `mailbox` of the domain: addresses that are its owner's alone (RFC 2142)."""

    domain: DomainName
    mailbox: Literal["postmaster", "admin", "administrator", "hostmaster", "webmaster"] = "postmaster"


class DomainProof(_Request):
    domain: DomainName
    code: Secret
