"""The times of the settings, as those who work with devices take them."""

from __future__ import annotations

from farsite_edge.axis_os.limits import Limits
from farsite_edge.device_tasks import Timing
from farsite_edge.settings import EdgeSettings


def os_limits(settings: EdgeSettings) -> Limits:
    restart = settings.os_restart_timeout
    return Limits(
        poll=settings.os_poll_interval,
        answer=min(Limits.answer, restart),
        restart=restart,
        settle=restart / 3,
        busy=restart * 2 / 3,
        rollback_minutes=settings.os_rollback_minutes,
    )


def device_timing(settings: EdgeSettings) -> Timing:
    return Timing(
        poll=settings.restart_poll_interval,
        restart=settings.restart_timeout,
        moved=settings.address_change_timeout,
        settle=settings.address_settle_time,
        search=settings.discovery_timeout,
    )
