"""A device's firmware: two images, of which one runs, and the timer that goes back; free of I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from farsite_signaling.wire.os_versions import parse

DEFAULT_MINUTES = 10
ANSWER_SECONDS = 0.15
"""Between the end of an installation and the restart: the answer leaves the device."""


class Refusal(Exception):
    """An error of `firmwaremanagement.cgi`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Options:
    """As sent with an upgrade."""

    auto_commit: str = "default"
    auto_rollback: str = "default"
    factory_default: str = "none"

    @property
    def rollback_minutes(self) -> int | None:
        if self.auto_rollback == "never":
            return None
        if self.auto_rollback.isascii() and self.auto_rollback.isdigit():
            return int(self.auto_rollback)
        return DEFAULT_MINUTES if self.auto_commit == "default" else None

    @property
    def commits_by_itself(self) -> bool:
        if self.auto_commit == "default":
            return self.auto_rollback == "default"
        return self.auto_commit in ("boot", "started")


@dataclass
class _Installing:
    version: str
    options: Options
    until: float


@dataclass
class Firmware:
    """`settings` is what the device keeps beside the image it came with: it returns with a rollback. `minute` is how
    long a minute of the rollback timer takes, seconds."""

    active: str
    minute: float = 60.0
    inactive: str | None = None
    committed: bool = True
    settings: Any = None
    rollback_at: float | None = None
    installs: list[str] = field(default_factory=list)
    installing: _Installing | None = None

    def check(self, version: str, options: Options) -> None:
        """Whether an image may be installed now. Raises `Refusal`."""
        if self.installing is not None:
            raise Refusal(423, "Another upgrade is in progress.")
        if not self.committed:
            raise Refusal(412, "The current firmware is not committed.")
        allowed = ("hard",) if parse(self.active)[:1] >= (12,) else ("soft", "hard")
        if parse(version) < parse(self.active) and options.factory_default not in allowed:
            raise Refusal(409, "Downgrade is only allowed if factoryDefault=hard is set.")

    def begin(self, version: str, options: Options, now: float, seconds: float) -> None:
        """The image before is deleted even if this comes to nothing."""
        self.inactive = None
        self.installing = _Installing(version, options, now + seconds)

    def due(self, now: float) -> bool:
        return self.installing is not None and now >= self.installing.until + ANSWER_SECONDS

    def swap(self, now: float, boot_seconds: float) -> Options:
        """The image that was installed starts."""
        assert self.installing is not None
        done, self.installing = self.installing, None
        self.inactive, self.active = self.active, done.version
        self.committed = done.options.commits_by_itself
        minutes = done.options.rollback_minutes
        self.rollback_at = None
        if not self.committed and minutes is not None:
            self.rollback_at = now + boot_seconds + minutes * self.minute
        self.installs.append(done.version)
        return done.options

    def must_go_back(self, now: float) -> bool:
        return self.rollback_at is not None and now >= self.rollback_at

    def go_back(self) -> None:
        if self.inactive is None:
            raise Refusal(404, "No firmware to roll back to.")
        self.active, self.inactive = self.inactive, None
        self.committed, self.rollback_at = True, None

    def commit(self) -> None:
        self.committed, self.rollback_at = True, None

    def stop_timer(self) -> None:
        self.rollback_at = None

    def purge(self) -> None:
        if not self.committed:
            raise Refusal(412, "The current firmware is not committed.")
        self.inactive = None

    def lose_power(self) -> bool:
        """Whether the device starts with another image than it ran: what was not committed is gone."""
        self.installing = None
        if self.committed or self.inactive is None:
            return False
        self.go_back()
        return True

    def status(self, now: float) -> dict[str, Any]:
        data: dict[str, Any] = {
            "activeFirmwareVersion": self.active,
            "activeFirmwarePart": "7454651131",
        }
        if self.inactive is not None:
            data |= {"inactiveFirmwareVersion": self.inactive, "isCommited": self.committed}
        if not self.committed:
            data["pendingCommit"] = True
        if self.rollback_at is not None:
            data["timeToRollback"] = max(0, int(self.rollback_at - now))
        return data
