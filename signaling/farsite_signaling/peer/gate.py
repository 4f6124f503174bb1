"""Looks at offers before anything is done for them: who asks, with which grant, and are they welcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from farsite_signaling.identity import Identity, OrganizationTrust, verify_grant
from farsite_signaling.identity.keys import PublicKey
from farsite_signaling.peer.announcements import Announcements
from farsite_signaling.peer.envelopes import ReplayCache, seal, unseal
from farsite_signaling.peer.router import Conversation
from farsite_signaling.peer.talk import SealedTalk
from farsite_signaling.wire.envelope import Envelope, Offer, Refusal, Sealed
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.version import negotiate

Admit = Callable[[Grant], None]


@dataclass(frozen=True)
class VerifiedOffer:
    """`remote`: the sender's URN; `fingerprint`: of its DTLS certificate; `version`: of the tunnel's protocol."""

    offer: Offer
    remote: str
    fingerprint: str
    version: int
    grant: Grant
    servers: list[IceServer] = field(default_factory=list)


class OfferGate:
    """`admit` raises `FarsiteError` to refuse."""

    def __init__(
        self,
        *,
        identity: Identity,
        trust: OrganizationTrust,
        grant_key: PublicKey,
        admit: Admit,
        clock: Callable[[], float],
    ) -> None:
        self.announcements = Announcements()
        self._identity = identity
        self._trust = trust
        self._grant_key = grant_key
        self._admit = admit
        self._clock = clock
        self._replays = ReplayCache()

    def verify(self, envelope: Envelope) -> VerifiedOffer:
        """Raises `FarsiteError`: as `unseal` does, `grant_…`, `version_unsupported`, or why it is not welcome."""
        sealed = unseal(
            envelope, self._trust, recipient=self._identity.urn, now=self._clock(), replays=self._replays
        )
        if not isinstance(sealed.body, Offer):
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Not an offer.")
        grant = self._verify_grant(sealed, sealed.body)
        self.check(grant)
        assert sealed.fingerprint is not None  # checked against the description
        return VerifiedOffer(
            sealed.body,
            sealed.sender,
            sealed.fingerprint,
            negotiate(sealed.body.versions, here="the edge host", there="the client"),
            grant,
            self.announcements.servers(grant.sid),
        )

    def _verify_grant(self, sealed: Sealed, offer: Offer) -> Grant:
        grant = verify_grant(
            offer.grant,
            self._grant_key,
            audience=self._identity.urn,
            subject=sealed.sender,
            now=self._clock(),
        )
        if grant.sid != sealed.session:
            raise FarsiteError(ErrorCode.GRANT_INVALID, "The grant is for another session.")
        return grant

    def check(self, grant: Grant) -> None:
        """What may have changed since a grant was verified. Raises `FarsiteError`."""
        self.announcements.check(grant.sid, grant.sub)
        if grant.until <= self._clock():
            raise FarsiteError(ErrorCode.GRANT_EXPIRED, "The session is over; open a new one.")
        self._admit(grant)

    def talk(self, conversation: Conversation, remote: str) -> SealedTalk:
        return SealedTalk(
            conversation,
            identity=self._identity,
            trust=self._trust,
            remote=remote,
            replays=self._replays,
            clock=self._clock,
        )

    def refusal(self, session: str, recipient: str, error: FarsiteError) -> Envelope:
        body = Refusal(code=error.code, detail=error.detail)
        return seal(self._identity, body, session, recipient, None, self._clock())


class Joinable(Protocol):
    """A tunnel that another link may be attached to. `name` is its client's."""

    @property
    def remote(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def joinable(self) -> bool: ...


AnyTunnel = TypeVar("AnyTunnel", bound=Joinable)


def tunnel_to_join(tunnels: Mapping[str, AnyTunnel], verified: VerifiedOffer) -> AnyTunnel:
    """The tunnel a further link is for: of this session, this client, and the one the client means.

    Raises `session_ended`: what streams have sent and received is known nowhere else.
    """
    tunnel = tunnels.get(verified.grant.sid)
    if tunnel is None or not tunnel.joinable or tunnel.name is None:
        raise FarsiteError(ErrorCode.SESSION_ENDED, "The tunnel is not here any more; open a new session.")
    if tunnel.remote != verified.grant.sub or tunnel.name != verified.offer.tunnel:
        raise FarsiteError(ErrorCode.SESSION_ENDED, "The session has another tunnel; open a new session.")
    return tunnel
