"""Which devices of a task may be started now; free of I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence

from farsite_edge.tasks.record import WorkRow
from farsite_signaling.wire.edge_tasks import Rollout, WorkState


def startable(rows: Sequence[WorkRow], rollout: Rollout) -> list[WorkRow]:
    """Queued rows of the stage at hand; neither the update window nor how many run already is looked at."""
    if stop_reason(rows, rollout) is not None:
        return []
    return [row for row in _stage(rows, rollout) if row.state is WorkState.QUEUED]


def stop_reason(rows: Sequence[WorkRow], rollout: Rollout) -> str | None:
    """Why no further device is started: too many failed."""
    failed = sum(row.state is WorkState.FAILED for row in rows)
    if failed < rollout.max_failures:
        return None
    return f"Stopped: {failed} devices failed, the limit is {rollout.max_failures}."


def _stage(rows: Sequence[WorkRow], rollout: Rollout) -> Sequence[WorkRow]:
    # Devices that were left out from the start make no stage smaller.
    taking_part = [row for row in rows if row.state is not WorkState.SKIPPED or row.step]
    for share in rollout.stages:
        stage = taking_part[: math.ceil(len(taking_part) * share / 100)]
        if not all(row.state.finished for row in stage):
            return stage
    return taking_part
