"""Changing what a member may do, and ending what that no longer allows."""

from __future__ import annotations

from farsite_cloud.api.call import Call
from farsite_cloud.organizations.models import Membership
from farsite_cloud.sessions.endings import OUT_OF_REACH, RIGHTS_CHANGED, end_of_accounts, end_out_of_reach
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.setup_codes.service import void_setup_codes
from farsite_cloud.signaling.notices import tell_ended
from farsite_cloud.users.service import Users, check_choice
from farsite_signaling.wire import people_api
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.rights import EVERY_FOLDER, Right, Role, rights_of


async def change_member(call: Call, users: Users, member: Membership, body: people_api.MemberChange) -> None:
    role = body.role or Role(member.role)
    chosen = body.folder_ids is not None or body.all_folders is not None
    if chosen or (role not in EVERY_FOLDER and member.role in EVERY_FOLDER):
        check_choice(role, body.folder_ids, body.all_folders)
    await users.set_role(member, role)
    if chosen and role not in EVERY_FOLDER:
        await users.set_folders(
            member, body.folder_ids or [], all_folders=bool(body.all_folders), now=call.now
        )
    member.revision += 1


async def widens(users: Users, member: Membership, body: people_api.MemberChange) -> bool:
    """Whether the choice of folders lets somebody in where they were not before."""
    if member.all_folders or (body.folder_ids is None and not body.all_folders):
        return False
    before = (await users.folders_of([member.account_id])).get(member.account_id, [])
    return bool(body.all_folders or set(body.folder_ids or ()) - set(before))


async def close_lost(call: Call, member: Membership, before: Role) -> None:
    """Grants are of the rights at their time: with fewer rights, and out of reach, sessions end."""
    await call.session.flush()
    lost = rights_of(before) - rights_of(Role(member.role))
    if Right.EDGE_CLAIM in lost:
        await void_setup_codes(call.whole, member.account_id, call.now)
    if lost:
        _tell(call, await end_of_accounts(call.whole, [member.account_id], call.now), RIGHTS_CHANGED)
    _tell(call, await end_out_of_reach(call.whole, call.now), OUT_OF_REACH)


def _tell(call: Call, ended: list[RemoteSession], detail: str) -> None:
    peers = call.services.peers
    call.later(lambda: tell_ended(peers, ended, ErrorCode.SESSION_ENDED, detail))
