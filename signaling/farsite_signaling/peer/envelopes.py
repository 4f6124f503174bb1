"""Sealing and opening envelopes: the part of signaling a hub need not be trusted with.

The signature covers `SIGNATURE_CONTEXT` and the payload's JSON bytes (before base64url). An envelope is used only
when certificate, signature, names, times, nonce and DTLS fingerprint all hold: `unseal` checks them in this order.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from farsite_signaling.identity import Identity, OrganizationTrust, verify
from farsite_signaling.identity.certificates import public_key_of
from farsite_signaling.identity.keys import b64decode, b64encode
from farsite_signaling.wire.envelope import (
    ENVELOPE_LIFETIME_SECONDS,
    SIGNATURE_CONTEXT,
    Answer,
    Body,
    Envelope,
    Offer,
    Sealed,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS

MAX_LIFETIME = 600
_FINGERPRINT = re.compile(r"^a=fingerprint:(\S+)[ \t]+(\S+)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_MEDIA = re.compile(r"^m=(\S+)", re.MULTILINE)


class ReplayCache:
    """Remembers nonces for as long as their envelopes could be used again; bounded in all and per sender."""

    def __init__(self, limit: int = 20_000, per_sender: int = 2_000) -> None:
        self._limit = limit
        self._per_sender = per_sender
        self._seen: dict[tuple[str, str], float] = {}
        self._senders: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, sender: str, nonce: str, until: float, now: float) -> None:
        """Raises `replayed`, or `rate_limited` when full: forgetting early would let a replay through."""
        if (sender, nonce) in self._seen:
            raise FarsiteError(ErrorCode.REPLAYED, "This message was already received once.")
        if self._full(sender):
            self._forget(now)
        if self._full(sender):
            raise FarsiteError(ErrorCode.RATE_LIMITED, "Too many messages; try again in a few minutes.")
        self._seen[(sender, nonce)] = until
        self._senders[sender] += 1

    def _full(self, sender: str) -> bool:
        return len(self._seen) >= self._limit or self._senders[sender] >= self._per_sender

    def _forget(self, now: float) -> None:
        for key in [key for key, until in self._seen.items() if until < now]:
            del self._seen[key]
        self._senders = Counter(sender for sender, _ in self._seen)


@dataclass(frozen=True)
class Peek:
    """What an envelope says of itself, unverified: enough to hand it to the right conversation."""

    session: str
    kind: str
    fingerprint: str | None


def peek(envelope: Envelope) -> Peek | None:
    """`None` when nothing usable is inside."""
    try:
        data = json.loads(b64decode(envelope.payload))
        session, kind, fingerprint = data["session"], data["body"]["kind"], data.get("fingerprint")
    except (FarsiteError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(session, str) or not isinstance(kind, str) or len(session) > 64:
        return None
    return Peek(session, kind, fingerprint if isinstance(fingerprint, str) else None)


def seal(
    identity: Identity, body: Body, session: str, recipient: str, fingerprint: str | None, now: float
) -> Envelope:
    """`fingerprint`: of our DTLS certificate; `None` for refusals. `now`: Unix seconds."""
    sealed = Sealed(
        session=session,
        sender=identity.urn,
        recipient=recipient,
        fingerprint=fingerprint,
        nonce=secrets.token_urlsafe(18),
        issued_at=int(now),
        expires_at=int(now) + ENVELOPE_LIFETIME_SECONDS,
        body=body,
    )
    payload = sealed.model_dump_json(exclude_none=True).encode()
    return Envelope(
        id=secrets.token_hex(12),
        sender=identity.urn,
        recipient=recipient,
        payload=b64encode(payload),
        signature=identity.sign(SIGNATURE_CONTEXT + payload),
        certificate=identity.certificate_pem,
    )


def unseal(
    envelope: Envelope,
    trust: OrganizationTrust,
    *,
    recipient: str,
    now: float,
    replays: ReplayCache,
    session: str | None = None,
    sender: str | None = None,
) -> Sealed:
    """The verified contents.

    Raises `FarsiteError`: `certificate_invalid`, `certificate_expired`, `signature_invalid`, `protocol_error`,
    `replayed` (seen before, or made for another recipient or session), `clock_skew` with the seconds,
    `fingerprint_mismatch`, `rate_limited`.
    """
    name, certificate = trust.verify(envelope.certificate, datetime.fromtimestamp(now, UTC))
    payload = b64decode(envelope.payload)
    verify(public_key_of(certificate), SIGNATURE_CONTEXT + payload, envelope.signature)
    sealed = _parse(payload)
    _check_names(envelope, sealed, str(name), sender)
    _check_address(sealed, recipient, session)
    _check_times(sealed, now)
    replays.add(sealed.sender, sealed.nonce, sealed.expires_at + LEEWAY_SECONDS, now)
    if isinstance(sealed.body, Offer | Answer):
        check_description(sealed.body.sdp, sealed.fingerprint)
    return sealed


def _parse(payload: bytes) -> Sealed:
    try:
        return Sealed.model_validate_json(payload)
    except ValidationError:
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "The sealed message is not understood.") from None


def _check_names(envelope: Envelope, sealed: Sealed, certified: str, sender: str | None) -> None:
    if sealed.sender != certified:
        raise FarsiteError(
            ErrorCode.CERTIFICATE_INVALID, "The message's sender is not the one its certificate names."
        )
    if envelope.sender != sealed.sender or envelope.recipient != sealed.recipient:
        raise FarsiteError(
            ErrorCode.SIGNATURE_INVALID, "The names on the envelope are not those that were signed."
        )
    if sender is not None and sealed.sender != sender:
        raise FarsiteError(
            ErrorCode.CERTIFICATE_INVALID, f"The message comes from {sealed.sender}, not from {sender}."
        )


def _check_address(sealed: Sealed, recipient: str, session: str | None) -> None:
    if sealed.recipient != recipient:
        raise FarsiteError(ErrorCode.REPLAYED, f"The message was made for {sealed.recipient}.")
    if session is not None and sealed.session != session:
        raise FarsiteError(ErrorCode.REPLAYED, "The message was made for another session.")


def _check_times(sealed: Sealed, now: float) -> None:
    if not 0 <= sealed.expires_at - sealed.issued_at <= MAX_LIFETIME:
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "The message's lifetime is out of range.")
    ahead = sealed.issued_at - now
    behind = now - sealed.expires_at
    if ahead > LEEWAY_SECONDS or behind > LEEWAY_SECONDS:
        seconds, which = (ahead, "ahead of") if ahead > 0 else (now - sealed.issued_at, "behind")
        raise FarsiteError(
            ErrorCode.CLOCK_SKEW,
            f"The clock of {sealed.sender} is {seconds:.0f} s {which} the clock of {sealed.recipient}; at most "
            f"{LEEWAY_SECONDS} s is allowed. Set the wrong one (NTP) and try again.",
        )


def check_description(sdp: str, fingerprint: str | None) -> None:
    """One data section, and no SHA-256 fingerprint but the signed one.

    Raises `fingerprint_mismatch` or `protocol_error`.
    """
    sdp = sdp.replace("\r\n", "\n").replace("\r", "\n")
    if _MEDIA.findall(sdp) != ["application"]:
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "The description must hold one data section only.")
    found = [value for name, value in _FINGERPRINT.findall(sdp) if name.lower() == "sha-256"]
    if fingerprint is None or not found:
        raise FarsiteError(ErrorCode.FINGERPRINT_MISMATCH, "The description carries no SHA-256 fingerprint.")
    if any(value.upper() != fingerprint for value in found):
        raise FarsiteError(
            ErrorCode.FINGERPRINT_MISMATCH,
            "The description's DTLS fingerprint is not the one that was signed.",
        )
