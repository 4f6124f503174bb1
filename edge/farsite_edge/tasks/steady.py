"""A clock for waiting: it does not jump when this machine's clock is set."""

from __future__ import annotations

import time

_BEGAN = time.time() - time.monotonic()


def steady() -> float:
    """Epoch seconds as they were at the start of this program, and what has passed since: what is kept of them in the
    database goes on to mean something after a restart."""
    return _BEGAN + time.monotonic()
