"""Passkeys as browsers speak of them (WebAuthn Level 3, 5.1.8: the JSON forms)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_BASE64URL = r"^[A-Za-z0-9_-]*={0,2}$"


class _Answer(BaseModel):
    # Browsers add what newer levels define.
    model_config = ConfigDict(extra="ignore")


class AssertionResponse(_Answer):
    clientDataJSON: str = Field(min_length=1, max_length=8192, pattern=_BASE64URL)
    authenticatorData: str = Field(min_length=1, max_length=8192, pattern=_BASE64URL)
    signature: str = Field(min_length=1, max_length=4096, pattern=_BASE64URL)
    userHandle: str | None = Field(default=None, max_length=128, pattern=_BASE64URL)


class AttestationResponse(_Answer):
    clientDataJSON: str = Field(min_length=1, max_length=8192, pattern=_BASE64URL)
    attestationObject: str = Field(min_length=1, max_length=65536, pattern=_BASE64URL)
    transports: list[str] = Field(default_factory=list, max_length=10)


class PasskeyAssertion(_Answer):
    """`navigator.credentials.get(…).toJSON()`: proves that somebody has a passkey."""

    id: str = Field(min_length=1, max_length=1400, pattern=_BASE64URL)
    rawId: str = Field(min_length=1, max_length=1400, pattern=_BASE64URL)
    type: Literal["public-key"]
    response: AssertionResponse


class PasskeyAttestation(_Answer):
    """`navigator.credentials.create(…).toJSON()`: a new passkey."""

    id: str = Field(min_length=1, max_length=1400, pattern=_BASE64URL)
    rawId: str = Field(min_length=1, max_length=1400, pattern=_BASE64URL)
    type: Literal["public-key"]
    response: AttestationResponse


class PasskeyOptions(BaseModel):
    """`public_key` is for `PublicKeyCredential.parse…OptionsFromJSON`. Good for five minutes and one answer."""

    public_key: dict[str, Any]
