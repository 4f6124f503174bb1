"""Error codes and the one exception that carries them between parts.

`FarsiteError` is raised by every part for what a user can act on. Its `code` is stable: the same word
appears in problem+json answers (RFC 9457), in hub `error` messages, in stream resets and in the SDK.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MAX_DETAIL = 2000


class ErrorCode(StrEnum):
    """Stable error codes. Codes are never renamed or reused."""

    # who are you, may you
    UNAUTHENTICATED = "unauthenticated"
    SIGN_IN_FAILED = "sign_in_failed"
    TOKEN_EXPIRED = "token_expired"
    MFA_REQUIRED = "mfa_required"
    MFA_SETUP_REQUIRED = "mfa_setup_required"
    CODE_INVALID = "code_invalid"
    PROVIDER_REQUIRED = "provider_required"
    ORGANIZATION_SUSPENDED = "organization_suspended"
    PROVIDER_REFUSED = "provider_refused"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    # signing in through a browser (RFC 8628, 3.5)
    AUTHORIZATION_PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    ACCESS_DENIED = "access_denied"
    EXPIRED_TOKEN = "expired_token"
    # what you sent
    INVALID_REQUEST = "invalid_request"
    CONFLICT = "conflict"
    IN_PROGRESS = "in_progress"
    CONFIRMATION_NEEDED = "confirmation_needed"
    PRECONDITION_FAILED = "precondition_failed"
    TOO_LARGE = "too_large"
    # claiming
    SETUP_CODE_INVALID = "setup_code_invalid"
    SETUP_CODE_USED = "setup_code_used"
    SETUP_CODE_EXPIRED = "setup_code_expired"
    ALREADY_CLAIMED = "already_claimed"
    NOT_CLAIMED = "not_claimed"
    # licences
    LICENCE_INVALID = "licence_invalid"
    LICENCE_USED = "licence_used"
    LICENCE_EXPIRED = "licence_expired"
    # identity and time
    CERTIFICATE_INVALID = "certificate_invalid"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_REVOKED = "certificate_revoked"
    CLOCK_SKEW = "clock_skew"
    SIGNATURE_INVALID = "signature_invalid"
    FINGERPRINT_MISMATCH = "fingerprint_mismatch"
    REPLAYED = "replayed"
    GRANT_INVALID = "grant_invalid"
    GRANT_EXPIRED = "grant_expired"
    # sessions and tunnels
    VERSION_UNSUPPORTED = "version_unsupported"
    PROTOCOL_ERROR = "protocol_error"
    REMOTE_ACCESS_OFF = "remote_access_off"
    EDGE_OFFLINE = "edge_offline"
    EDGE_UPDATING = "edge_updating"
    SESSION_ENDED = "session_ended"
    PEER_UNREACHABLE = "peer_unreachable"
    PEER_TIMEOUT = "peer_timeout"
    REPLACED = "replaced"
    CLOSED = "closed"
    STREAM_REFUSED = "stream_refused"
    STREAM_LIMIT = "stream_limit"
    # network
    PROXY_AUTHENTICATION = "proxy_authentication"
    PROXY_UNREACHABLE = "proxy_unreachable"
    CLOUD_UNREACHABLE = "cloud_unreachable"
    TURN_UNAVAILABLE = "turn_unavailable"
    OUTBOUND_REFUSED = "outbound_refused"
    OUTBOUND_FAILED = "outbound_failed"
    # devices
    DEVICE_UNKNOWN = "device_unknown"
    DEVICE_UNREACHABLE = "device_unreachable"
    DEVICE_CREDENTIALS = "device_credentials"
    DEVICE_SETUP_REQUIRED = "device_setup_required"
    DEVICE_CERTIFICATE_CHANGED = "device_certificate_changed"
    DEVICE_ANSWER = "device_answer"
    # the machine
    PORT_TAKEN = "port_taken"
    DISK_FULL = "disk_full"
    STORAGE_FAILED = "storage_failed"
    SETTING_UNKNOWN = "setting_unknown"
    SETTING_INVALID = "setting_invalid"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


_STATUS: dict[ErrorCode, int] = {
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.SIGN_IN_FAILED: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.MFA_REQUIRED: 401,
    ErrorCode.MFA_SETUP_REQUIRED: 403,
    ErrorCode.CODE_INVALID: 400,
    ErrorCode.PROVIDER_REQUIRED: 403,
    ErrorCode.ORGANIZATION_SUSPENDED: 403,
    ErrorCode.PROVIDER_REFUSED: 403,
    ErrorCode.CERTIFICATE_EXPIRED: 401,
    ErrorCode.CERTIFICATE_REVOKED: 401,
    ErrorCode.CERTIFICATE_INVALID: 401,
    ErrorCode.SIGNATURE_INVALID: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.REMOTE_ACCESS_OFF: 403,
    ErrorCode.GRANT_INVALID: 403,
    ErrorCode.GRANT_EXPIRED: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.DEVICE_UNKNOWN: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.IN_PROGRESS: 409,
    ErrorCode.CONFIRMATION_NEEDED: 409,
    ErrorCode.ALREADY_CLAIMED: 409,
    ErrorCode.NOT_CLAIMED: 409,
    ErrorCode.EDGE_OFFLINE: 409,
    ErrorCode.SETUP_CODE_USED: 409,
    ErrorCode.SETUP_CODE_EXPIRED: 410,
    ErrorCode.SETUP_CODE_INVALID: 404,
    ErrorCode.LICENCE_USED: 409,
    ErrorCode.LICENCE_EXPIRED: 403,
    ErrorCode.PRECONDITION_FAILED: 412,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.STORAGE_FAILED: 503,
    ErrorCode.DISK_FULL: 507,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.TIMEOUT: 504,
    ErrorCode.CLOUD_UNREACHABLE: 503,
    ErrorCode.DEVICE_UNREACHABLE: 504,
    ErrorCode.DEVICE_CREDENTIALS: 424,
    ErrorCode.DEVICE_SETUP_REQUIRED: 424,
    ErrorCode.DEVICE_CERTIFICATE_CHANGED: 424,
    ErrorCode.DEVICE_ANSWER: 502,
    ErrorCode.OUTBOUND_FAILED: 502,
}


def status_of(code: ErrorCode) -> int:
    """HTTP status an error code is answered with."""
    return _STATUS.get(code, 400)


class Problem(BaseModel):
    """Body of `application/problem+json` (RFC 9457)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = "about:blank"
    title: str = ""
    status: int = 400
    detail: str = ""
    code: str = ErrorCode.INTERNAL
    errors: list[dict[str, Any]] = Field(default_factory=list)
    right: str | None = None
    retry_after: float | None = None


class FarsiteError(Exception):
    """Something a user can act on: a stable code and a sentence that says what to do."""

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        right: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail[:MAX_DETAIL]
        self.right = right
        self.errors = errors or []
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.detail} [{self.code}]"

    @property
    def status(self) -> int:
        return status_of(self.code)

    def problem(self) -> Problem:
        return Problem(
            type=f"urn:farsite:error:{self.code}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            code=self.code,
            errors=self.errors,
            right=self.right,
            retry_after=self.retry_after,
        )

    @classmethod
    def from_problem(cls, problem: Problem) -> FarsiteError:
        try:
            code = ErrorCode(problem.code)
        except ValueError:
            code = ErrorCode.INTERNAL
        return cls(
            code,
            problem.detail or problem.title or problem.code,
            right=problem.right,
            errors=problem.errors,
            retry_after=problem.retry_after,
        )


def parse_code(text: str) -> ErrorCode:
    """The code a newer peer may have sent; unknown ones become `internal`."""
    try:
        return ErrorCode(text)
    except ValueError:
        return ErrorCode.INTERNAL
