"""Which notice about licences is due. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from farsite_cloud.licences.counting import Standing
from farsite_signaling.wire.licence import LicenceState

LICENCE_DAYS = (1, 7, 14, 30)
TRIAL_DAYS = (1, 7, 14)


class LicenceEvent(StrEnum):
    ENDING = "ending"
    TRIAL_ENDING = "trial_ending"
    GRACE_BEGAN = "grace_began"
    GRACE_ENDED = "grace_ended"


@dataclass(frozen=True)
class Warning:
    """`key` names it: one that was told is not told again. `days` are left until `at`; None: it has come."""

    key: str
    event: LicenceEvent
    at: datetime
    days: int | None
    text: str


def due(standing: Standing, told: str | None) -> Warning | None:
    """The one that is due, unless it is what was told last."""
    found = _current(standing)
    return None if found is None or found.key == told else found


def _current(standing: Standing) -> Warning | None:
    match standing.state:
        case LicenceState.TRIAL | LicenceState.LICENSED if standing.covered_until is not None:
            return _ending(standing, standing.covered_until)
        case LicenceState.GRACE if standing.grace_from and standing.grace_until:
            text = (
                "There are fewer licences than devices. Devices can be changed until "
                f"{standing.grace_until:%Y-%m-%d}; after that they are only seen."
            )
            key = f"grace:{standing.grace_from.isoformat()}"
            return Warning(key, LicenceEvent.GRACE_BEGAN, standing.grace_until, None, text)
        case LicenceState.EXPIRED if standing.grace_until:
            text = "The time to get licences is over: devices are seen, and not changed. Nothing is lost."
            key = f"expired:{standing.grace_until.isoformat()}"
            return Warning(key, LicenceEvent.GRACE_ENDED, standing.grace_until, None, text)
    return None


def _ending(standing: Standing, end: datetime) -> Warning | None:
    trial = standing.state is LicenceState.TRIAL
    left = max(1, math.ceil((end - standing.now) / timedelta(days=1)))
    step = next((days for days in (TRIAL_DAYS if trial else LICENCE_DAYS) if left <= days), None)
    if step is None:
        return None
    event = LicenceEvent.TRIAL_ENDING if trial else LicenceEvent.ENDING
    what = "The trial ends" if trial else "Licences that are needed end"
    text = f"{what} on {end:%Y-%m-%d}, in {left} {'day' if left == 1 else 'days'}."
    return Warning(f"{event}:{end.isoformat()}:{step}", event, end, left, text)
