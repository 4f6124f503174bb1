"""Device images in the folders of edge hosts, by the models they are for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Delete

from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.inventory.models import EdgeImage
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.inventory import ImageFacts
from farsite_signaling.wire.os_versions import model_key, parse


async def take(
    scope: Scope, edge_id: str, images: Sequence[ImageFacts], gone: Collection[str], now: datetime
) -> None:
    files = {image.file for image in images} | set(gone)
    if not files:
        return
    await scope.change(_of(scope, edge_id).where(EdgeImage.file.in_(sorted(files))))
    for image in images:
        keys = {model_key(clean(model))[:200] for model in image.models}
        for key in sorted(keys) if parse(image.version) else []:
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
    await scope.change(_of(scope, edge_id))


def _of(scope: Scope, edge_id: str) -> Delete:
    return scope.delete(EdgeImage).where(EdgeImage.edge_host_id == edge_id)
