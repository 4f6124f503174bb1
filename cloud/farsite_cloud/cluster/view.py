"""Which peer is at which process, by what the processes say of themselves. No I/O: events and times in, facts out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class _Process:
    """`version` counts its changes; `peers` says since when each is there (ms of Redis' clock)."""

    version: int
    heard: float
    peers: dict[str, int] = field(default_factory=dict)


class View:
    """The other processes. One that was silent for `life` seconds is no more, with all its peers.

    Where what is known of a process has a gap (`heard` and `change` return False) all of it is to be learned anew.
    """

    def __init__(self, life: float) -> None:
        self._life = life
        self._processes: dict[str, _Process] = {}
        self._at: dict[str, dict[str, int]] = {}

    def heard(self, process: str, version: int, now: float) -> bool:
        known = self._processes.get(process)
        if known is None:
            return False
        known.heard = now
        return known.version == version

    def change(self, process: str, version: int, name: str, since: int | None, now: float) -> bool:
        """One peer came (`since`) or left (None); `version` is the process's after it."""
        known = self._processes.get(process)
        if known is None or known.version + 1 != version:
            return False
        known.version, known.heard = version, now
        self._drop(process, name)
        if since is not None:
            known.peers[name] = since
            self._at.setdefault(name, {})[process] = since
        return True

    def learn(self, process: str, version: int, peers: Mapping[str, int], now: float) -> None:
        """All of a process."""
        self.forget(process)
        self._processes[process] = _Process(version, now, dict(peers))
        for name, since in peers.items():
            self._at.setdefault(name, {})[process] = since

    def forget(self, process: str) -> list[str]:
        """Its peers."""
        known = self._processes.pop(process, None)
        if known is None:
            return []
        names = list(known.peers)
        for name in names:
            self._drop(process, name)
        return names

    def expired(self, now: float) -> list[str]:
        """Processes that were silent for too long."""
        return [name for name, process in self._processes.items() if now - process.heard > self._life]

    def where(self, name: str) -> str | None:
        """The process that the peer came to last."""
        at = self._at.get(name)
        return None if not at else max(at, key=lambda process: (at[process], process))

    def newest(self, name: str) -> tuple[int, str] | None:
        """Since when, and where."""
        process = self.where(name)
        return None if process is None else (self._at[name][process], process)

    def processes(self) -> list[str]:
        return sorted(self._processes)

    def _drop(self, process: str, name: str) -> None:
        if (known := self._processes.get(process)) is not None:
            known.peers.pop(name, None)
        at = self._at.get(name, {})
        at.pop(process, None)
        if not at:
            self._at.pop(name, None)
