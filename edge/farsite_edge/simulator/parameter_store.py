"""A device's parameters and what `param.cgi` may do with them; free of I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from farsite_edge.simulator.overlay import Overlay

MASK = "******"
"""Shown instead of a secret."""
READ_ONLY = ("root.Properties.", "root.Brand.")
# Groups a viewer and an operator may read; an administrator reads all.
_VIEWER = ("root.Brand.", "root.Properties.", "root.Image.", "root.Layout.", "root.PTZ.")
ADMIN_ONLY = (
    "root.Network.",
    "root.System.",
    "root.HTTPS.",
    "root.SNMP.",
    "root.SOCKS.",
    "root.RemoteService.",
)
_SECRET = re.compile(r"(Password|Passwd|Passphrase|\.Key)$")
CHOICES = (
    frozenset({"yes", "no"}),
    frozenset({"On", "Off"}),
    frozenset({"Yes", "No"}),
    frozenset({"true", "false"}),
)
_POLICIES = ("basic", "digest", "basic_digest")


@dataclass
class ParameterFaults:
    """Names without `root.`: changes of them are refused, or answered with OK and forgotten."""

    refuses: set[str] = field(default_factory=set)
    ignores: set[str] = field(default_factory=set)


class ParameterStore:
    """`level` is `viewer`, `operator` or `admin`."""

    def __init__(self, values: Overlay, *, recommended_policy: bool) -> None:
        self._values = values
        self.policies = (*_POLICIES, "recommended") if recommended_policy else _POLICIES
        self.faults = ParameterFaults()

    def __getitem__(self, name: str) -> str:
        return self._values[f"root.{name}"]

    def get(self, name: str, default: str = "") -> str:
        return self._values[f"root.{name}"] if name in self else default

    def __setitem__(self, name: str, value: str) -> None:
        self._values[f"root.{name}"] = value

    def copy(self) -> ParameterStore:
        twin = ParameterStore(self._values.copy(), recommended_policy=False)
        twin.policies, twin.faults = self.policies, self.faults
        return twin

    def __contains__(self, name: str) -> bool:
        return f"root.{name}" in self._values

    def __len__(self) -> int:
        return len(self._values)

    def list(self, groups: str | None, level: str) -> str:
        """The body of `action=list`: a group asked for without `root.` is answered without it."""
        if not groups:
            return self._lines("root", level, strip=False)
        return "".join(self._group(group.strip(), level) for group in groups.split(",") if group.strip())

    def _group(self, group: str, level: str) -> str:
        rooted = group.lower() == "root" or group.lower().startswith("root.")
        lines = self._lines(group if rooted else f"root.{group}", level, strip=not rooted)
        return lines or f"# Error: Error -1 getting param in group '{group}'\n"

    def _lines(self, pattern: str, level: str, *, strip: bool) -> str:
        found = [name for name in self._values if _in_group(name, pattern) and _readable(name, level)]
        shown = ((name.removeprefix("root.") if strip else name, self._shown(name)) for name in found)
        return "".join(f"{name}={value}\n" for name, value in shown)

    def names(self, groups: str | None, level: str) -> tuple[str, ...]:
        """Full names of what groups hold; everything without any."""
        wanted = [group.strip() for group in (groups or "root").split(",")]
        rooted = [one if one.lower().startswith("root") else f"root.{one}" for one in wanted]
        return tuple(
            name
            for name in self._values
            if _readable(name, level) and any(_in_group(name, group) for group in rooted)
        )

    def shown(self, name: str) -> str:
        """By its full name; a secret masked."""
        return self._shown(name)

    def _shown(self, name: str) -> str:
        value = self._values[name]
        return MASK if _SECRET.search(name) and value else value

    def update(self, changes: dict[str, str], level: str) -> str:
        """The body of `action=update`. Good values are kept even when others of the request are bad."""
        errors = [self._set(name, value, level) for name, value in changes.items()]
        lines = [error for error in errors if error]
        return "\n".join(lines) + "\n" if lines else "OK"

    def _set(self, given: str, value: str, level: str) -> str | None:
        wanted = given if given.lower().startswith("root.") else f"root.{given}"
        name = self._values.named(wanted)
        if name is None or not self._accepts(name, value, level):
            return f"# Error: Error setting '{wanted}' to '{value}'!"
        short = name.removeprefix("root.")
        if short in self.faults.refuses:
            return f"# Error: Error setting '{wanted}' to '{value}'!"
        if short not in self.faults.ignores:
            self._values[name] = value
        return None

    def _accepts(self, name: str, value: str, level: str) -> bool:
        if name.startswith(READ_ONLY) or level == "viewer" or not _readable(name, level):
            return False
        if name == "root.Network.HTTP.AuthenticationPolicy":
            return value in self.policies
        current = self._values[name]
        choice = next((words for words in CHOICES if current in words), None)
        return value in choice if choice else len(value) <= 2048


def _in_group(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    if "*" not in pattern:
        return name == pattern or name.startswith(pattern + ".")
    parts = pattern.split(".")
    return fnmatchcase(".".join(name.split(".")[: len(parts)]), pattern)


def _readable(name: str, level: str) -> bool:
    if level == "admin":
        return True
    if level == "operator":
        return not name.startswith(ADMIN_ONLY)
    return name.startswith(_VIEWER)
