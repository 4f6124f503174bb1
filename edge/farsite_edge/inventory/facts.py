"""Rows of the edge host's tables as the cloud is told them; free of I/O."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

from farsite_edge.axis_os.plan import OLDEST
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.tasks.record import TaskRecord
from farsite_signaling.wire.edge_tasks import OsImage, WorkCounts
from farsite_signaling.wire.inventory import DeviceFacts, ImageFacts, TagMark, TaskFacts, WorkFacts
from farsite_signaling.wire.os_versions import parse


def device_facts(record: DeviceRecord, tags: Sequence[TagMark]) -> DeviceFacts:
    return DeviceFacts(
        serial=record.id,
        name=record.hostname[:200],
        hostname=record.hostname[:255],
        model=record.model[:200],
        product=record.product[:200],
        device_type=record.device_type[:200],
        version=record.version[:200],
        state=record.state.value,
        address=record.address[:100],
        addresses=[address[:100] for address in record.addresses[:32]],
        http_port=record.http_port,
        https_port=record.https_port,
        capabilities=list(_capabilities(record)),
        first_seen=record.first_seen,
        last_seen=record.last_seen,
        last_error=(record.last_error or "")[:500],
        tags=list(tags),
    )


def _capabilities(record: DeviceRecord) -> Iterable[str]:
    """What can be done with the device, as far as it is known."""
    if record.https_port is not None:
        yield "https"
    if record.log_in:
        yield "log_in"
    if record.setup_required:
        yield "set_up"
    if parse(record.version) >= OLDEST:
        yield "os_rollback"


def image_facts(record: str) -> ImageFacts | None:
    """None for a file that cannot be installed."""
    image = OsImage.model_validate_json(record)
    if image.problem is not None or len(image.file) > 300:
        return None
    models = [model[:200] for model in image.models[:200]]
    return ImageFacts(file=image.file, id=image.id[:64], version=image.version[:64], models=models)


def task_facts(record: str, counts: str) -> TaskFacts:
    task = TaskRecord.model_validate_json(record)
    return TaskFacts(
        id=task.id,
        kind=task.kind[:100],
        title=task.title[:300],
        state=task.state,
        actor=task.actor[:400],
        created_at=task.created_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        detail=task.stopped[:1000],
        retry_of=task.retry_of,
        counts=WorkCounts.model_validate_json(counts),
    )


def work_facts(record: str) -> WorkFacts:
    return WorkFacts.model_validate({name: _short(value) for name, value in json.loads(record).items()})


def _short(value: object) -> object:
    return value[:1000] if isinstance(value, str) else value


def tag_mark(row: sqlite3.Row) -> TagMark:
    return TagMark(tag=row["tag"], on=bool(row["present"]), at=datetime.fromisoformat(row["at"]))
