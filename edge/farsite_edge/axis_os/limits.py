"""How long the way to another AXIS OS may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds, but for `rollback_minutes` and `attempts` (uploads of one version)."""

    poll: float = 5.0
    answer: float = 120.0  # until a device answers the first questions
    restart: float = 900.0
    settle: float = 300.0  # after an upload without an answer: until the device should have restarted
    busy: float = 600.0
    rollback_minutes: int = 30
    attempts: int = 3

    @property
    def revert(self) -> float:
        return self.rollback_minutes * 60 + self.restart
