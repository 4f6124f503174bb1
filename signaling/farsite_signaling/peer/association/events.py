"""What an association tells its owner."""

from __future__ import annotations

from typing import Protocol


class AssociationEvents(Protocol):
    """Called from within `receive`, `flush` and `expired`. They may call the association, but not `flush`."""

    def established(self) -> None: ...

    def opened(self, channel: int, label: str) -> None:
        """The peer opened a channel."""

    def acknowledged(self, channel: int) -> None:
        """The peer knows the channel that we opened."""

    def message(self, channel: int, data: bytes) -> None: ...

    def closed(self, channel: int) -> None:
        """Both directions are closed and the number is free."""

    def drained(self) -> None:
        """What is queued fell below `Settings.high_water`."""

    def ended(self, reason: str | None) -> None:
        """Once. `None`: the peer closed in order; else how it broke the protocol, for people."""

    def unanswered(self) -> None:
        """Instead of `ended`: the peer is silent."""
