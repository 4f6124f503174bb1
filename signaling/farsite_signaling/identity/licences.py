"""Licence keys (JWS by an Ed25519 or P-256 authority) and licence statements (JWS, ES256)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pydantic import ValidationError

from farsite_signaling.identity.keys import PrivateKey, PublicKey
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.licence import KEY_TYPE, STATEMENT_TYPE, LicenceKey, LicenceStatement

AuthorityKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
AuthorityPublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
_NO_TIMES = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


def load_authority(pem: bytes) -> AuthorityKey:
    """Raises `invalid_request` for what is no such key."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _not_a_key("private") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise _not_a_key("private")


def load_authority_public(pem: bytes) -> AuthorityPublicKey:
    """Raises `invalid_request` for what is no such key."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _not_a_key("public") from None
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise _not_a_key("public")


def _not_a_key(which: str) -> FarsiteError:
    return FarsiteError(ErrorCode.INVALID_REQUEST, f"Not an Ed25519 or P-256 {which} key in PEM.")


def key_id(key: AuthorityPublicKey) -> str:
    """16 hex digits of the SHA-256 over the key (SubjectPublicKeyInfo)."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()[:16]


def _algorithm(key: AuthorityKey | AuthorityPublicKey) -> str:
    ed = isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey)
    return "EdDSA" if ed else "ES256"


def sign_licence(key: AuthorityKey, licence: LicenceKey) -> str:
    headers = {"typ": KEY_TYPE, "kid": key_id(key.public_key())}
    claims = licence.model_dump(mode="json", exclude_none=True)
    return jwt.encode(claims, key, algorithm=_algorithm(key), headers=headers)


def verify_licence(text: str, keys: Mapping[str, AuthorityPublicKey]) -> LicenceKey:
    """`keys` by their ids. Raises `licence_invalid`."""
    token = "".join(text.split())
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise _invalid("This is no licence key. Give all of it, as you received it.") from None
    if header.get("typ") != KEY_TYPE:
        raise _invalid("This is no licence key.")
    key = keys.get(str(header.get("kid")))
    if key is None:
        detail = "The licence key is of an authority that this cloud does not know (setting licence_keys)."
        raise _invalid(detail)
    return _licence(token, key)


def _licence(token: str, key: AuthorityPublicKey) -> LicenceKey:
    try:
        claims = jwt.decode(token, key, algorithms=[_algorithm(key)], options=_NO_TIMES)  # type: ignore[arg-type]
    except jwt.PyJWTError:
        raise _invalid("The licence key was changed after it was signed.") from None
    try:
        return LicenceKey.model_validate(claims)
    except ValidationError:
        raise _invalid("The licence key is of a kind that this release does not know.") from None


def _invalid(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.LICENCE_INVALID, detail)


def sign_statement(key: PrivateKey, statement: LicenceStatement) -> str:
    claims = statement.model_dump(mode="json", exclude_none=True)
    return jwt.encode(claims, key, algorithm="ES256", headers={"typ": STATEMENT_TYPE})


def verify_statement(token: str, key: PublicKey, *, audience: str) -> LicenceStatement:
    """Raises `signature_invalid` unless this key signed it for this edge host."""
    try:
        if jwt.get_unverified_header(token).get("typ") != STATEMENT_TYPE:
            raise _not_a_statement()
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=["ES256"], options=_NO_TIMES)  # type: ignore[arg-type]
        statement = LicenceStatement.model_validate(claims)
    except (jwt.PyJWTError, ValidationError):
        raise _not_a_statement() from None
    if statement.aud != audience:
        raise _not_a_statement()
    return statement


def _not_a_statement() -> FarsiteError:
    detail = "The licence statement is not signed by this organization's cloud for this edge host."
    return FarsiteError(ErrorCode.SIGNATURE_INVALID, detail)
