"""The sealed conversation beside an attempt at a link: what is said is signed, what is heard was verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from farsite_signaling.identity import Identity, OrganizationTrust
from farsite_signaling.peer.envelopes import ReplayCache, seal, unseal
from farsite_signaling.peer.router import Conversation
from farsite_signaling.wire.envelope import Body


@dataclass(frozen=True)
class Heard:
    """`fingerprint`: of the sender's DTLS certificate, as signed."""

    body: Body
    fingerprint: str | None


class Talk(Protocol):
    """Who holds the keys is behind it: this process, or another one."""

    @property
    def session(self) -> str: ...

    def open(self) -> None:
        """Idempotent. What comes before is not heard."""

    def close(self) -> None:
        """Idempotent."""

    async def send(self, body: Body, fingerprint: str | None) -> None:
        """`fingerprint`: of our DTLS certificate. Raises `FarsiteError`."""

    async def receive(self) -> Heard:
        """Raises `FarsiteError`: it was not sealed as it must be, or what we said could not be delivered."""


class SealedTalk:
    """Implements `Talk` with the keys of this process. `remote`: the only one listened to."""

    def __init__(
        self,
        conversation: Conversation,
        *,
        identity: Identity,
        trust: OrganizationTrust,
        remote: str,
        replays: ReplayCache,
        clock: Callable[[], float],
    ) -> None:
        self._conversation = conversation
        self._identity = identity
        self._trust = trust
        self._remote = remote
        self._replays = replays
        self._clock = clock

    @property
    def session(self) -> str:
        return self._conversation.session

    def open(self) -> None:
        self._conversation.__enter__()

    def close(self) -> None:
        self._conversation.close()

    async def send(self, body: Body, fingerprint: str | None) -> None:
        envelope = seal(self._identity, body, self.session, self._remote, fingerprint, self._clock())
        await self._conversation.send(envelope)

    async def receive(self) -> Heard:
        envelope = await self._conversation.receive()
        sealed = unseal(
            envelope,
            self._trust,
            recipient=self._identity.urn,
            sender=self._remote,
            session=self.session,
            now=self._clock(),
            replays=self._replays,
        )
        return Heard(sealed.body, sealed.fingerprint)
