"""Signing and verifying checkpoints of an audit log (JWS, ES256)."""

from __future__ import annotations

import jwt
from pydantic import ValidationError

from farsite_signaling.identity.keys import PrivateKey, PublicKey
from farsite_signaling.wire.audit_api import AuditCheckpoint, CheckpointClaims
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

CHECKPOINT_TYPE = "farsite-audit-checkpoint+jwt"


def sign_checkpoint(key: PrivateKey, claims: CheckpointClaims) -> AuditCheckpoint:
    token = jwt.encode(
        claims.model_dump(mode="json"), key, algorithm="ES256", headers={"typ": CHECKPOINT_TYPE}
    )
    return AuditCheckpoint(**claims.model_dump(), token=token)


def verify_checkpoint(token: str, key: PublicKey, chain: str) -> CheckpointClaims:
    """Raises `signature_invalid` unless this key signed it, for this chain."""
    try:
        if jwt.get_unverified_header(token).get("typ") != CHECKPOINT_TYPE:
            raise _invalid("This is no checkpoint of an audit log.")
        claims = CheckpointClaims.model_validate(jwt.decode(token, key, algorithms=["ES256"]))
    except (jwt.PyJWTError, ValidationError):
        raise _invalid("The checkpoint is not signed by this log's authority.") from None
    if claims.chain != chain:
        raise _invalid("The checkpoint is of another organization's log.")
    return claims


def _invalid(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.SIGNATURE_INVALID, detail)
