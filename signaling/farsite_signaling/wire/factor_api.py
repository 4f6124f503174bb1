"""REST schemas of second factors: what is on, codes by mail, passkeys."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, SecretStr, model_validator

from farsite_signaling.wire.cloud_api import Secret, Title
from farsite_signaling.wire.ids import Name
from farsite_signaling.wire.passkeys import PasskeyAssertion, PasskeyAttestation
from farsite_signaling.wire.schema import _Request, _Schema


class Mfa(_Schema):
    """`app`, `email` and `passkeys` are what was turned on. `required`: an organization asks for a second factor.

    An account that has none of them gets codes by mail while an organization asks.
    """

    enabled: bool
    app: bool = False
    email: bool = False
    passkeys: int = 0
    required: bool = False
    recovery_codes_left: int


class MailCodeRequest(_Request):
    """Of somebody who signs in, and whose second factor is a code by mail."""

    email: Name = Field(min_length=3, max_length=254)
    password: SecretStr = Field(min_length=1, max_length=1024)


class FactorProof(_Request):
    """Password and, when a second factor is on, one of: a code (app, mail, recovery), a passkey's answer."""

    password: Secret
    code: SecretStr | None = Field(default=None, min_length=6, max_length=64)
    passkey: PasskeyAssertion | None = None


class FactorOff(FactorProof):
    """Without a factor both kinds of codes are turned off."""

    factor: str | None = Field(default=None, pattern="^(app|email)$")

    @model_validator(mode="after")
    def _proven(self) -> FactorOff:
        if self.code is None and self.passkey is None:
            raise ValueError("a code or a passkey's answer is needed")
        return self


class PasskeyRequest(FactorProof):
    """To register one: the password, and the second factor if one is on."""


class NewPasskey(_Request):
    name: Title
    credential: PasskeyAttestation


class PasskeySignIn(_Request):
    credential: PasskeyAssertion


class PasskeyChange(_Request):
    name: Title


class Passkey(_Schema):
    """`synced`: it is backed up, so it may be on several of the person's devices."""

    id: str
    name: str
    synced: bool
    created_at: datetime
    used_at: datetime | None = None


class AddedPasskey(Passkey):
    """`recovery_codes` are given with the first second factor, and shown once."""

    recovery_codes: list[str] = Field(default_factory=list, repr=False)


class PasskeyList(_Schema):
    passkeys: list[Passkey]
