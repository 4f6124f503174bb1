"""What every machine that brings one device to something asks, and may hear back; machines add words of their own."""

from __future__ import annotations

from dataclasses import dataclass

# Questions


@dataclass(frozen=True)
class AskReady:
    pass


@dataclass(frozen=True)
class Wait:
    seconds: float


# Answers


@dataclass(frozen=True)
class Ready:
    """`boot_id` where the firmware tells it."""

    ready: bool
    setup_required: bool = False
    boot_id: str | None = None


@dataclass(frozen=True)
class LoginRefused:
    detail: str


@dataclass(frozen=True)
class Unreachable:
    """No answer: what was asked may have happened or not."""

    detail: str


@dataclass(frozen=True)
class Wrong:
    """An answer that makes no sense: what was asked may have happened or not."""

    detail: str
