"""Device images in the folders of edge hosts, by the models they are for; and how many edge hosts have a release."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime

from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.inventory.models import EdgeImage, ModelRelease
from farsite_cloud.inventory.releases import changed
from farsite_cloud.organizations.service import lock
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.inventory import ImageFacts
from farsite_signaling.wire.os_versions import model_key, parse

Release = tuple[str, str]
"""Model key and version."""


async def take(
    scope: Scope, edge_id: str, images: Sequence[ImageFacts], gone: Collection[str], now: datetime
) -> None:
    files = {image.file for image in images} | set(gone)
    if not files:
        return
    before = await _releases(scope, edge_id)
    own = scope.delete(EdgeImage).where(EdgeImage.edge_host_id == edge_id)
    await scope.change(own.where(EdgeImage.file.in_(sorted(files))))
    for image in images:
        _add(scope, edge_id, image, now)
    await scope.session.flush()
    await _count(scope, before, await _releases(scope, edge_id))


def _add(scope: Scope, edge_id: str, image: ImageFacts, now: datetime) -> None:
    if not parse(image.version):
        return
    for key in sorted({key for model in image.models if (key := model_key(clean(model))[:200])}):
        scope.add(
            EdgeImage(
                id=new_id(now),
                edge_host_id=edge_id,
                file=image.file,
                image=image.id,
                version=clean(image.version),
                model_key=key,
            )
        )


async def forget(scope: Scope, edge_id: str) -> None:
    before = await _releases(scope, edge_id)
    if before:
        await scope.change(scope.delete(EdgeImage).where(EdgeImage.edge_host_id == edge_id))
        await _count(scope, before, set())


async def _releases(scope: Scope, edge_id: str) -> set[Release]:
    columns = (EdgeImage.model_key, EdgeImage.version)
    statement = scope.select(EdgeImage).with_only_columns(*columns).where(EdgeImage.edge_host_id == edge_id)
    return {(key, version) for key, version in await scope.rows(statement)}


async def _count(scope: Scope, before: set[Release], after: set[Release]) -> None:
    moved = dict.fromkeys(after - before, 1) | dict.fromkeys(before - after, -1)
    if not moved:
        return
    changed(scope)
    # Edge hosts of one organization change the same rows: they take turns.
    await lock(scope.session, scope.organization_id)
    ids = {_id(scope, release): release for release in moved}
    known = {row.id: row for row in await scope.all(scope.among(ModelRelease, ids))}
    for id, release in sorted(ids.items()):
        row, number = known.get(id), moved[release]
        if row is None:
            key, version = release
            scope.add(ModelRelease(id=id, model_key=key, version=version, edge_hosts=number))
        elif row.edge_hosts + number > 0:
            row.edge_hosts += number
        else:
            await scope.session.delete(row)
    await scope.session.flush()


def _id(scope: Scope, release: Release) -> str:
    text = "\0".join((scope.organization_id, *release))
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
