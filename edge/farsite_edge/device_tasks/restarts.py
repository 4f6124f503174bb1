"""Has a device restarted? Free of I/O."""

from __future__ import annotations

from farsite_edge.vapix import SystemReady


class RestartWatch:
    """Fed with what the device says after it was told to restart; `before` is what it said before."""

    def __init__(self, boot_id: str | None, uptime: int | None, *, was_silent: bool = False) -> None:
        self._boot_id = boot_id
        self._uptime = uptime
        self.was_silent = was_silent

    def silent(self) -> None:
        self.was_silent = True

    def is_back(self, ready: SystemReady) -> bool:
        """Ready again after a restart. Without a boot id (before 11.11) it must have been silent for a moment."""
        if not ready.ready:
            self.was_silent = True
            return False
        if self._boot_id is not None and ready.boot_id is not None:
            return ready.boot_id != self._boot_id
        if self._uptime is not None and ready.uptime is not None and ready.uptime < self._uptime:
            return True
        return self.was_silent
