"""Sessions end when what they were granted for is gone: the token, the role, the folder, the member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.service import address_of
from farsite_cloud.accounts.tokens import limits_of, unproven_among
from farsite_cloud.database import Reach, Scope
from farsite_cloud.database.scope import owners_of
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.organizations.entrance import entrance_of
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.sessions.service import end_session, live_sessions
from farsite_signaling.wire.errors import ErrorCode

NOWHERE = Reach(frozenset())
OUT_OF_REACH = "You no longer have access to this edge host."
SIGNED_OUT = "The sign-in or access token of this session was revoked. Sign in again."
RIGHTS_CHANGED = "Your rights in this organization changed. Connect again."


async def end_of_tokens(
    session: AsyncSession, account_id: str, token_ids: Sequence[str], now: datetime
) -> list[RemoteSession]:
    """In every organization of the account: sessions asked for with these tokens."""
    ended = []
    for organization_id in await owners_of(session, RemoteSession, RemoteSession.token_id.in_(token_ids)):
        scope = Scope(session, organization_id)
        mine = live_sessions(scope, now).where(
            RemoteSession.account_id == account_id, RemoteSession.token_id.in_(token_ids)
        )
        ended += _end(await scope.all(mine), now)
    return ended


async def end_of_account(session: AsyncSession, account_id: str, now: datetime) -> int:
    """All of its live sessions, in every organization; how many there were."""
    ended = 0
    for organization_id in await owners_of(session, RemoteSession, RemoteSession.account_id == account_id):
        ended += len(await end_of_accounts(Scope(session, organization_id), [account_id], now))
    return ended


async def end_of_everybody(scope: Scope, now: datetime) -> int:
    """All live sessions of an organization; how many there were."""
    return len(_end(await scope.all(live_sessions(scope, now)), now))


async def end_of_accounts(scope: Scope, account_ids: Sequence[str], now: datetime) -> list[RemoteSession]:
    """All live sessions of these accounts in one organization."""
    theirs = live_sessions(scope, now).where(RemoteSession.account_id.in_(account_ids))
    return _end(await scope.all(theirs), now)


async def end_of_unproven(scope: Scope, now: datetime) -> list[RemoteSession]:
    """Live sessions of people that were asked for without a second factor, whether or not they have one."""
    live = await scope.all(live_sessions(scope, now))
    without = await unproven_among(scope.session, [one.token_id for one in live if one.token_id])
    return _end([one for one in live if one.token_id in without], now)


async def end_out_of_reach(scope: Scope, now: datetime) -> list[RemoteSession]:
    """Live sessions whose account, or access token, reaches the edge host's folder no longer."""
    live = await scope.all(live_sessions(scope, now))
    accounts = {session.account_id for session in live}
    reaches = {account: await _reach(scope, account, now) for account in accounts}
    limits = await limits_of(scope.session, [session.token_id for session in live if session.token_id])
    inside: dict[Reach, set[str]] = {}
    lost = []
    for session in live:
        reach = replace(reaches[session.account_id], within=limits.get(session.token_id or ""))
        if reach.everywhere:
            continue
        if reach not in inside:
            inside[reach] = await EdgeHosts(Scope(scope.session, scope.organization_id, reach)).ids()
        if session.edge_host_id not in inside[reach]:
            lost.append(session)
    return _end(lost, now)


async def _reach(scope: Scope, account_id: str, now: datetime) -> Reach:
    email = await address_of(scope.session, account_id)
    entrance = await entrance_of(scope.session, scope.organization_id, account_id, email, now)
    return NOWHERE if entrance is None else entrance.reach


def _end(sessions: Sequence[RemoteSession], now: datetime) -> list[RemoteSession]:
    for session in sessions:
        end_session(session, ErrorCode.SESSION_ENDED, now)
    return list(sessions)
