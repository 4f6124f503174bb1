"""Sealed envelopes: what one peer says to another through a hub that need not be trusted.

The signature covers the payload bytes as sent (`SIGNATURE_CONTEXT` + payload), so no canonical form is needed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from farsite_signaling.wire.ids import Id, UrnText

SIGNATURE_CONTEXT = b"farsite-envelope-v1\0"
ENVELOPE_LIFETIME_SECONDS = 60
MAX_PAYLOAD = 48 * 1024

Fingerprint = Annotated[str, StringConstraints(pattern=r"^([0-9A-F]{2}:){31}[0-9A-F]{2}$")]
Sdp = Annotated[str, StringConstraints(max_length=24 * 1024)]
CandidateLine = Annotated[str, StringConstraints(max_length=400)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Offer(_Frozen):
    """`tunnel` names the tunnel this link is for; with `resume` it joins one that stands, without it starts anew.

    `direct`: a try for a path without relays, beside a link that works.
    """

    kind: Literal["offer"] = "offer"
    sdp: Sdp
    grant: str = Field(max_length=8192, repr=False)
    versions: list[int] = Field(max_length=32, description="tunnel protocol versions spoken")
    complete: bool = Field(default=False, description="no further candidates will follow")
    tunnel: str | None = Field(default=None, min_length=16, max_length=64, description="the client's choice")
    resume: bool = False
    direct: bool = False


class Answer(_Frozen):
    kind: Literal["answer"] = "answer"
    sdp: Sdp
    version: int
    complete: bool = False
    resumed: bool = Field(default=False, description="the link will join the tunnel named in the offer")


class Candidates(_Frozen):
    """Trickled ICE candidates (RFC 8838), `candidate:` lines without the attribute's `a=`."""

    kind: Literal["candidates"] = "candidates"
    candidates: list[CandidateLine] = Field(max_length=64)
    complete: bool = False


class Refusal(_Frozen):
    kind: Literal["refusal"] = "refusal"
    code: str = Field(max_length=64)
    detail: str = Field(max_length=2000)


Body = Annotated[Offer | Answer | Candidates | Refusal, Field(discriminator="kind")]


class Sealed(_Frozen):
    """The signed payload. `fingerprint` is the sender's DTLS certificate (SHA-256, RFC 8122); times are Unix seconds."""

    session: Id
    sender: UrnText
    recipient: UrnText
    fingerprint: Fingerprint | None = None
    nonce: str = Field(min_length=16, max_length=64)
    issued_at: int
    expires_at: int
    body: Body


class Envelope(_Frozen):
    """What travels: base64url payload and signature (raw r‖s, 64 bytes), sender's leaf certificate (PEM)."""

    id: Id
    sender: UrnText
    recipient: UrnText
    payload: str = Field(max_length=MAX_PAYLOAD * 4 // 3 + 4)
    signature: str = Field(max_length=128)
    certificate: str = Field(max_length=8192)
