"""Folders as a tree: what is below a folder, and what a scope reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select

from farsite_cloud.database import Scope
from farsite_cloud.folders.models import Folder


def below(scope: Scope, roots: Iterable[Any]) -> Select[Any]:
    """Ids of these folders (values, or `kept.named`) and of all below them. Ends also where parents make a circle."""
    top = scope.select(Folder).with_only_columns(Folder.id).where(Folder.id.in_(list(roots)))
    tree = top.cte(recursive=True)
    children = scope.select(Folder).with_only_columns(Folder.id).where(Folder.parent_id == tree.c.id)
    return tree.union(children).select()


def in_reach(scope: Scope) -> Select[Any] | None:
    """None: every folder."""
    limits = [sorted(roots) for roots in (scope.reach.roots, scope.reach.within) if roots is not None]
    if len(limits) < 2:
        return below(scope, limits[0]) if limits else None
    inside = [Folder.id.in_(below(scope, roots)) for roots in limits]
    return scope.select(Folder).with_only_columns(Folder.id).where(*inside)


async def ids_below(scope: Scope, root: str) -> set[str]:
    """With the folder itself."""
    found = await scope.all(scope.select(Folder).where(Folder.id.in_(below(scope, [root]))))
    return {folder.id for folder in found}
