"""ONVIF accounts of a simulated device, apart from its own ones; free of I/O."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class OnvifUsers:
    """`by_name` has passwords and levels. `refuses`: it keeps its passwords, and says so; `deaf`: it says nothing."""

    by_name: dict[str, tuple[str, str]] = field(default_factory=dict)
    refuses: bool = False
    deaf: bool = False

    def add(self, name: str, password: str, level: str = "Administrator") -> None:
        self.by_name[name] = (password, level)

    def password(self, name: str) -> str:
        return self.by_name[name][0]

    def set(self, name: str, password: str, level: str) -> str | None:
        """A fault's subcode, or none."""
        if name not in self.by_name:
            return "ter:UsernameMissing"
        if self.refuses or not level:
            return "ter:PasswordTooWeak"
        self.by_name[name] = (password, level)
        return None
