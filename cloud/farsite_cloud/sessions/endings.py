"""Sessions end when what they were granted for is gone: the token, the role, the folder, the member."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.organizations.service import membership, memberships_of, reach_of
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.sessions.service import end_session, live_sessions
from farsite_signaling.wire.errors import ErrorCode

OUT_OF_REACH = "You no longer have access to this edge host."
SIGNED_OUT = "The sign-in or access token of this session was revoked. Sign in again."
RIGHTS_CHANGED = "Your rights in this organization changed. Connect again."


async def end_of_tokens(
    session: AsyncSession, account_id: str, token_ids: Sequence[str], now: datetime
) -> list[RemoteSession]:
    """In every organization of the account: sessions asked for with these tokens."""
    ended = []
    for organization, _ in await memberships_of(session, account_id):
        scope = Scope(session, organization.id)
        mine = live_sessions(scope, now).where(
            RemoteSession.account_id == account_id, RemoteSession.token_id.in_(token_ids)
        )
        ended += _end(await scope.all(mine), now)
    return ended


async def end_of_accounts(scope: Scope, account_ids: Sequence[str], now: datetime) -> list[RemoteSession]:
    """All live sessions of these accounts in one organization."""
    theirs = live_sessions(scope, now).where(RemoteSession.account_id.in_(account_ids))
    return _end(await scope.all(theirs), now)


async def end_out_of_reach(scope: Scope, now: datetime) -> list[RemoteSession]:
    """Live sessions whose account reaches the edge host's folder no longer."""
    live = await scope.all(live_sessions(scope, now))
    lost = []
    for account_id in {session.account_id for session in live}:
        reached = await _reached(scope, account_id)
        lost += [
            session
            for session in live
            if session.account_id == account_id
            and reached is not None
            and session.edge_host_id not in reached
        ]
    return _end(lost, now)


async def _reached(scope: Scope, account_id: str) -> set[str] | None:
    """Ids of the edge hosts the account reaches; None: all."""
    found = await membership(scope.session, scope.organization_id, account_id)
    if found is None:
        return set()
    reach = await reach_of(scope.session, found[1])
    if reach.roots is None:
        return None
    return await EdgeHosts(Scope(scope.session, scope.organization_id, reach)).ids()


def _end(sessions: Sequence[RemoteSession], now: datetime) -> list[RemoteSession]:
    for session in sessions:
        end_session(session, ErrorCode.SESSION_ENDED, now)
    return list(sessions)
