"""Which ways a tunnel's links took, one after another: counted, and told with the reason."""

from __future__ import annotations

import logging

from farsite_signaling.wire.path import Path

_log = logging.getLogger(__name__)


class Moves:
    """`count`: times the tunnel went to another link; `reason`: of the last time, for people."""

    def __init__(self, session: str, remote: str) -> None:
        self._tunnel = (session, remote)
        self._path: Path | None = None
        self.count = 0
        self.reason: str | None = None

    def another(self, why: str) -> None:
        """Another link is attached."""
        self.count += 1
        self.reason = why or "another link was attached"

    def takes(self, path: Path, reason: str) -> None:
        """The way of the link that is used from now on."""
        before, self._path = self._path, path
        if before is None:
            _log.info("tunnel %s to %s: path %s (%s)", *self._tunnel, path, reason)
        else:
            told = (*self._tunnel, before, path, self.reason, reason)
            _log.info("tunnel %s to %s: path %s -> %s: %s (%s)", *told)
