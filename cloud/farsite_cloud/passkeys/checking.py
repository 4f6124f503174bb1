"""What browsers answer, checked by the specification's steps (WebAuthn Level 3, 7.1 and 7.2). Raises `Refused` only."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from pydantic import BaseModel
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException

from farsite_cloud.passkeys.party import Party
from farsite_signaling.wire.passkeys import PasskeyAssertion, PasskeyAttestation

ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
# The library's own, and what hostile CBOR and keys make its parts raise.
_WRONG = (
    WebAuthnException,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    struct.error,
)


class Refused(Exception):
    """The answer proves nothing. Its words are for the log."""


@dataclass(frozen=True)
class Registered:
    credential_id: str
    public_key: bytes
    sign_count: int
    backed_up: bool


@dataclass(frozen=True)
class Proven:
    sign_count: int
    backed_up: bool


def challenge_in(credential: PasskeyAssertion | PasskeyAttestation) -> bytes:
    """Which challenge is answered, before anything is checked."""
    try:
        data = json.loads(base64url_to_bytes(credential.response.clientDataJSON))
        return base64url_to_bytes(data["challenge"])[:100]
    except _WRONG as error:
        raise Refused(f"client data: {type(error).__name__}") from None


def check_registration(credential: PasskeyAttestation, challenge: bytes, party: Party) -> Registered:
    try:
        found = verify_registration_response(
            credential=_plain(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
    except _WRONG as error:
        raise Refused(_words(error)) from None
    return Registered(
        bytes_to_base64url(found.credential_id),
        found.credential_public_key,
        found.sign_count,
        found.credential_backed_up,
    )


def check_assertion(
    credential: PasskeyAssertion, challenge: bytes, party: Party, public_key: bytes
) -> Proven:
    """The counter is for the caller to compare: a regression is more than a wrong answer."""
    try:
        found = verify_authentication_response(
            credential=_plain(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except _WRONG as error:
        raise Refused(_words(error)) from None
    return Proven(found.new_sign_count, found.credential_backed_up)


def _plain(credential: BaseModel) -> dict[str, object]:
    return credential.model_dump(mode="json", exclude_none=True)


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {''.join(c for c in text if c.isprintable())[:200]}"


def counts_back(kept: int, said: int) -> bool:
    """A counter that does not grow: two authenticators have the key (7.2, step 22). Zero: it does not count."""
    return (kept > 0 or said > 0) and said <= kept
