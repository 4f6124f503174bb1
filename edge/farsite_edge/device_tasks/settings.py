"""How long devices are waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds. `restart`: until a device is back; `moved`: until it answers at a new address; `search`: how long it is
    looked for elsewhere then; `log_in`: the longest wait for the next attempt."""

    poll: float = 3.0
    restart: float = 900.0
    moved: float = 90.0
    settle: float = 5.0
    search: float = 5.0
    log_in: float = 120.0
