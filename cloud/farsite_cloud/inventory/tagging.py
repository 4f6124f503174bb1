"""Tags in the cloud: marks made here wait for the edge host, marks made there come with its facts; the later counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select

from farsite_cloud.database import Scope
from farsite_cloud.database.kept import named_list, numbered, padded
from farsite_cloud.ids import new_id
from farsite_cloud.inventory.counting import Changes
from farsite_cloud.inventory.models import ManagedDevice, ThingTag
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.inventory import MAX_CHANGES, MAX_TAGS, TagMark, TagsSet, ThingTags
from farsite_signaling.wire.inventory_api import TagChange
from farsite_signaling.wire.tags import newer, plain_tag

Marks = dict[tuple[str, str], ThingTag]


@dataclass(frozen=True)
class Thing:
    """A device, or an edge host (`serial` empty): what tags are put on. `model` and `version`: of a device that nobody
    else can be changing; else the database looks them up."""

    id: str
    edge_host_id: str
    serial: str = ""
    model: str | None = None
    version: str | None = None


async def marks_of(scope: Scope, things: Collection[str]) -> Marks:
    """By thing and tag."""
    rows = await scope.all(scope.among(ThingTag, things, ThingTag.thing_id))
    return {(row.thing_id, row.tag): row for row in rows}


async def tags_of(scope: Scope, things: Collection[str]) -> dict[str, list[str]]:
    """Tags that are on, by thing, in order."""
    found: dict[str, list[str]] = {}
    if not things:
        return found
    shape, values = ("tags of", padded(len(things))), numbered("thing", list(things))
    for thing, tag in sorted(await scope.kept_rows(shape, lambda own: _present(own, len(things)), values)):
        found.setdefault(thing, []).append(tag)
    return found


def _present(scope: Scope, things: int) -> Select[*tuple[Any, ...]]:
    marks = scope.among(ThingTag, named_list("thing", padded(things)), ThingTag.thing_id)
    return marks.with_only_columns(ThingTag.thing_id, ThingTag.tag).where(ThingTag.present)


def take(
    scope: Scope, thing: Thing, marks: Iterable[TagMark], known: Marks, changes: Changes, now: datetime
) -> None:
    """Marks an edge host told."""
    for mark in marks:
        tag = clean(mark.tag)
        row = known.get((thing.id, tag))
        mine = None if row is None else TagMark(tag=tag, on=row.present, at=row.at)
        if newer(mark, mine):
            _put(scope, thing, mark.model_copy(update={"tag": tag}), known, changes, now)
        elif row is not None and mine is not None and (mark.on, mark.at) == (mine.on, mine.at):
            row.pending = False


def change(
    scope: Scope, thing: Thing, body: TagChange, known: Marks, changes: Changes, now: datetime
) -> bool:
    """Whether something changed. Raises `invalid_request`, `conflict` for too many."""
    wanted = {plain_tag(tag): False for tag in body.remove} | {plain_tag(tag): True for tag in body.add}
    changed = False
    for tag, on in wanted.items():
        row = known.get((thing.id, tag))
        if (row is not None and row.present) is on:
            continue
        # After what is known, whatever the edge host's clock says.
        at = now if row is None or row.at < now else row.at + timedelta(microseconds=1)
        _put(scope, thing, TagMark(tag=tag, on=on, at=at), known, changes, now, pending=True)
        changed = True
    if sum(row.present for (id, _), row in known.items() if id == thing.id) > MAX_TAGS:
        raise FarsiteError(ErrorCode.CONFLICT, f"At most {MAX_TAGS} tags on one thing.")
    return changed


def _put(
    scope: Scope,
    thing: Thing,
    mark: TagMark,
    known: Marks,
    changes: Changes,
    now: datetime,
    *,
    pending: bool = False,
) -> None:
    row = known.get((thing.id, mark.tag))
    before = row is not None and row.present
    if row is None:
        row = ThingTag(
            id=new_id(now),
            edge_host_id=thing.edge_host_id,
            serial=thing.serial,
            thing_id=thing.id,
            tag=mark.tag,
            model=thing.model,
            version=thing.version,
        )
        scope.add(row)
        known[thing.id, mark.tag] = row
    row.present, row.at, row.pending = mark.on, mark.at, pending
    if thing.serial and before is not mark.on:
        changes.tag(thing.edge_host_id, mark.tag, 1 if mark.on else -1)


async def forget(scope: Scope, things: Sequence[Thing], changes: Changes) -> None:
    """Of devices that are gone; the edge host keeps its own record of their tags."""
    if not things:
        return
    for (_, tag), row in (await marks_of(scope, [thing.id for thing in things])).items():
        if row.present and row.serial:
            changes.tag(row.edge_host_id, tag, -1)
    gone = scope.delete(ThingTag).where(ThingTag.thing_id.in_([thing.id for thing in things]))
    await scope.change(gone)


async def pending(scope: Scope, edge_host_id: str) -> TagsSet | None:
    """Marks the edge host has yet to know; as many as go into one message."""
    statement = (
        scope.select(ThingTag)
        .where(ThingTag.edge_host_id == edge_host_id, ThingTag.pending)
        .order_by(ThingTag.id)
        .limit(MAX_CHANGES)
    )
    marks: dict[str, list[TagMark]] = {}
    for row in await scope.all(statement):
        marks.setdefault(row.serial, []).append(TagMark(tag=row.tag, on=row.present, at=row.at))
    if not marks:
        return None
    return TagsSet(things=[ThingTags(serial=serial or None, marks=found) for serial, found in marks.items()])


def show(devices: Iterable[ManagedDevice], marks: Marks) -> None:
    """Write down beside each device which tags are on: lists need no more than that."""
    on: dict[str, list[str]] = {}
    for (thing, tag), row in sorted(marks.items()):
        if row.present:
            on.setdefault(thing, []).append(tag)
    for device in devices:
        device.details = device.details | {"tags": on.get(device.id, [])}
