"""An organization's folders: made, renamed, moved with all below them, removed when empty."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select

from farsite_cloud.database import Scope
from farsite_cloud.database.kept import named
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.folders.models import Folder
from farsite_cloud.folders.tree import ids_below, in_reach
from farsite_cloud.ids import new_id
from farsite_cloud.organizations.models import FolderAccess
from farsite_cloud.setup_codes.service import forget_setup_codes, waiting_setup_codes
from farsite_signaling.rest.etags import tag_of
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

DEEPEST = 20
MOST = 10_000


def _one(scope: Scope) -> Select[str]:
    return scope.select(Folder).with_only_columns(Folder.id).where(Folder.id == named("id"))


class Folders:
    """Those the scope reaches. Changes need the whole organization: only its administrators make them."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def list(self) -> list[Folder]:
        statement = self._scope.select(Folder)
        reached = in_reach(self._scope)
        if reached is not None:
            statement = statement.where(Folder.id.in_(reached))
        return await self._scope.all(statement.order_by(Folder.id))

    async def get(self, folder_id: str) -> Folder:
        """Raises `not_found`, for one out of reach as for none at all."""
        statement = self._scope.select(Folder).where(Folder.id == folder_id)
        reached = in_reach(self._scope)
        if reached is not None:
            statement = statement.where(Folder.id.in_(reached))
        folder = await self._scope.first(statement)
        if folder is None:
            detail = f"There is no folder {folder_id[:64]!r} in this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        return folder

    async def check(self, folder_id: str) -> None:
        """Raises as `get` does."""
        reach = self._scope.reach
        if not (reach.everywhere and await self._scope.kept_rows("folder", _one, {"id": folder_id})):
            await self.get(folder_id)

    async def create(self, body: wire.FolderRequest, now: datetime) -> Folder:
        """Raises `not_found`, `conflict`."""
        if await self._scope.count(self._scope.select(Folder)) >= MOST:
            raise FarsiteError(ErrorCode.CONFLICT, f"An organization has at most {MOST} folders.")
        await self._check_place(body.parent_id, body.name, height=1)
        folder = Folder(id=new_id(now), name=body.name, parent_id=body.parent_id, created_at=now, revision=1)
        self._scope.add(folder)
        await self._scope.session.flush()
        return folder

    async def change(self, folder: Folder, body: wire.FolderChange) -> None:
        """Raises `not_found`, `conflict`: a folder never comes to lie in itself or below itself."""
        moving = "parent_id" in body.model_fields_set and body.parent_id != folder.parent_id
        parent = body.parent_id if moving else folder.parent_id
        name = body.name or folder.name
        inside = await ids_below(self._scope, folder.id) if moving else set()
        if parent in inside:
            raise FarsiteError(ErrorCode.CONFLICT, "A folder cannot be moved into itself or below itself.")
        if moving or name != folder.name:
            height = await self._height(folder.id, inside) if moving else 1
            await self._check_place(parent, name, height=height, own=folder.id)
        folder.name, folder.parent_id = name, parent
        folder.revision += 1

    async def remove(self, folder: Folder, default_folder_id: str, now: datetime) -> None:
        """Raises `conflict` for one that is not empty, and for the default folder."""
        await self._check_empty(folder, default_folder_id, now)
        scope = self._scope
        await EdgeHosts(scope).move_removed(folder.id, default_folder_id)
        await forget_setup_codes(scope, folder.id)
        await scope.change(scope.delete(FolderAccess).where(FolderAccess.folder_id == folder.id))
        await scope.change(scope.delete(Folder).where(Folder.id == folder.id))

    async def _check_empty(self, folder: Folder, default_folder_id: str, now: datetime) -> None:
        if folder.id == default_folder_id:
            detail = "This is the organization's default folder: it stays. Rename it if you like."
            raise FarsiteError(ErrorCode.CONFLICT, detail)
        children = await self._scope.count(self._scope.select(Folder).where(Folder.parent_id == folder.id))
        edges = await EdgeHosts(self._scope).in_folder(folder.id)
        codes = await waiting_setup_codes(self._scope, folder.id, now)
        if children or edges or codes:
            detail = (
                f"The folder {folder.name!r} is not empty: {children} folders, {edges} edge hosts, {codes} setup "
                "codes that are still good. Move them first."
            )
            raise FarsiteError(ErrorCode.CONFLICT, detail)

    async def _check_place(
        self, parent_id: str | None, name: str, *, height: int, own: str | None = None
    ) -> None:
        depth = 0
        if parent_id is not None:
            depth = await self._depth(await self.get(parent_id))
        if depth + height > DEEPEST:
            raise FarsiteError(ErrorCode.CONFLICT, f"Folders lie at most {DEEPEST} deep.")
        twins = self._scope.select(Folder).where(Folder.parent_id == parent_id, Folder.name == name)
        if own is not None:
            twins = twins.where(Folder.id != own)
        if await self._scope.count(twins):
            raise FarsiteError(ErrorCode.CONFLICT, f"There is a folder {name!r} there already.")

    async def _depth(self, folder: Folder) -> int:
        """1 at the top."""
        depth, parent = 1, folder.parent_id
        while parent is not None:
            depth, parent = depth + 1, (await self._scope.get(Folder, parent, "folder")).parent_id
        return depth

    async def _height(self, root: str, inside: set[str]) -> int:
        """Levels of the tree that starts at `root`; 1 for a folder alone."""
        folders = await self._scope.all(self._scope.select(Folder).where(Folder.id.in_(sorted(inside))))
        height, level = 0, {root}
        while level:
            height, level = height + 1, {folder.id for folder in folders if folder.parent_id in level}
        return height


def folder_answer(folder: Folder, seen: set[str] | None = None) -> wire.Folder:
    """A parent that is not `seen` is not told of: whoever asks does not reach it."""
    parent = folder.parent_id if seen is None or folder.parent_id in seen else None
    return wire.Folder(id=folder.id, name=folder.name, parent_id=parent, etag=tag_of(folder.revision))
