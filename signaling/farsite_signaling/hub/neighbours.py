"""Other hubs that serve the same peers: what this hub asks of them, and what they ask of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from farsite_signaling.wire.hub import Bye


class Neighbours(Protocol):
    """Whoever is connected to another hub, as far as it was heard of: soft state, moments old."""

    @property
    def partial(self) -> bool:
        """Whether other hubs cannot be heard right now: who is not known to be online may be so."""

    def online(self, name: str) -> bool: ...

    def changed(self, name: str) -> None:
        """A peer came to this hub, or left it. Returns at once; the others hear of it soon."""

    async def send(self, name: str, text: str) -> bool:
        """A hub message for a peer of another hub; False when it is at none. Raises `unavailable`."""

    async def disconnect(self, name: str, bye: Bye) -> bool:
        """Like `send`, for a goodbye."""


class Here(Protocol):
    """This hub, for its neighbours."""

    def connected(self) -> Iterable[str]:
        """Names of the peers of this hub."""

    def age(self, name: str) -> float | None:
        """Seconds since the peer connected to this hub; None when it is not."""

    def deliver(self, name: str, text: str) -> bool:
        """Hand a message to a peer of this hub. False when there is none, or it no longer reads."""

    def dismiss(self, name: str, bye: Bye) -> bool:
        """Send a peer of this hub away."""

    def lost(self, names: Iterable[str]) -> None:
        """These were connected to a hub that is no more: nobody else tells that they are offline."""


class Alone:
    """No neighbours."""

    partial = False

    def online(self, name: str) -> bool:
        return False

    def changed(self, name: str) -> None:
        pass

    async def send(self, name: str, text: str) -> bool:
        return False

    async def disconnect(self, name: str, bye: Bye) -> bool:
        return False
