"""Folders of an organization."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.call import call_of
from farsite_cloud.folders.models import Folder
from farsite_signaling.rest import Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.rights import Right

api = Api()


@api.route("GET", "/organizations/{org}/folders", need=Right.ORGANIZATION_READ, response=wire.FolderList)
async def list_folders(request: web.Request) -> wire.FolderList:
    """All folders; `parent_id` makes them a tree."""
    scope = call_of(request).scope
    folders = await scope.all(scope.select(Folder).order_by(Folder.id))
    return wire.FolderList(
        folders=[wire.Folder(id=row.id, name=row.name, parent_id=row.parent_id) for row in folders]
    )
