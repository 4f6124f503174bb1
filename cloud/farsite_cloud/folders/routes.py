"""Folders of an organization."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.authorize import stand_first
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.folders.service import Folders, folder_answer
from farsite_cloud.sessions.endings import OUT_OF_REACH, end_out_of_reach
from farsite_cloud.signaling.notices import tell_ended
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/folders"
_ONE = _LIST + "/{folder}"


@api.route("GET", _LIST, need=Right.ORGANIZATION_READ, response=wire.FolderList)
async def list_folders(request: web.Request) -> wire.FolderList:
    """All folders the caller reaches; `parent_id` makes them a tree."""
    folders = await Folders(call_of(request).scope).list()
    seen = {folder.id for folder in folders}
    return wire.FolderList(folders=[folder_answer(folder, seen) for folder in folders])


@api.route("GET", _ONE, need=Right.ORGANIZATION_READ, response=wire.Folder)
async def get_folder(request: web.Request) -> Answer:
    """One folder."""
    call = call_of(request)
    folders = Folders(call.scope)
    folder = await folders.get(request.match_info["folder"])
    seen = {seen.id for seen in await folders.list()} if not call.scope.reach.everywhere else None
    return Answer(folder_answer(folder, seen), etag(folder.revision))


@api.route(
    "POST",
    _LIST,
    need=Right.FOLDER_MANAGE,
    request=wire.FolderRequest,
    response=wire.Folder,
    status=201,
    headers=(HEADER,),
)
async def create_folder(request: web.Request, body: wire.FolderRequest) -> wire.Folder:
    """Make a folder, at the top or in another."""
    call = call_of(request)

    async def create() -> wire.Folder:
        with call.act("folder.created", body.name) as act:
            await stand_first(request, Right.FOLDER_MANAGE)
            folder = await Folders(call.scope).create(body, call.now)
            act.details |= {"folder": folder.id, "parent": folder.parent_id}
        return folder_answer(folder)

    return await once(request, call.caller.account_id, wire.Folder, create)


@api.route(
    "PATCH",
    _ONE,
    need=Right.FOLDER_MANAGE,
    request=wire.FolderChange,
    response=wire.Folder,
    headers=(IF_MATCH,),
)
async def change_folder(request: web.Request, body: wire.FolderChange) -> Answer:
    """Rename a folder, or move it with all below it."""
    call = call_of(request)
    with call.act("folder.changed", request.match_info["folder"]) as act:
        await stand_first(request, Right.FOLDER_MANAGE)
        folder = await Folders(call.scope).get(request.match_info["folder"])
        await check_unchanged(request, folder)
        await Folders(call.scope).change(folder, body)
        act.details |= body.model_dump(exclude_unset=True)
        await _close_lost(call)
    return Answer(folder_answer(folder), etag(folder.revision))


async def _close_lost(call: Call) -> None:
    """Whoever reached the folder through its old place is not connected to its edge hosts any longer."""
    ended = await end_out_of_reach(call.whole, call.now)
    peers = call.services.peers
    call.later(lambda: tell_ended(peers, ended, ErrorCode.SESSION_ENDED, OUT_OF_REACH))


@api.route("DELETE", _ONE, need=Right.FOLDER_MANAGE, headers=(IF_MATCH,))
async def remove_folder(request: web.Request) -> None:
    """Remove an empty folder."""
    call = call_of(request)
    with call.act("folder.removed", request.match_info["folder"]) as act:
        organization = await stand_first(request, Right.FOLDER_MANAGE)
        folder = await Folders(call.scope).get(request.match_info["folder"])
        await check_unchanged(request, folder)
        act.details["name"] = folder.name
        await Folders(call.scope).remove(folder, organization.default_folder_id, call.now)
