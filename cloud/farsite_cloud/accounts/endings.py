"""Tokens revoked, and the tunnels that were opened with them closed."""

from __future__ import annotations

from collections.abc import Sequence

from farsite_cloud.accounts.tokens import revoke
from farsite_cloud.api.call import Call
from farsite_cloud.organizations.service import memberships_of
from farsite_cloud.sessions.endings import SIGNED_OUT, end_of_tokens
from farsite_cloud.signaling.notices import tell_ended
from farsite_signaling.wire.errors import ErrorCode


async def sign_out_tokens(call: Call, token_ids: Sequence[str], why: str = SIGNED_OUT) -> int:
    """How many live sessions ended with them."""
    for token_id in token_ids:
        await revoke(call.session, token_id, call.now)
    return await close_tunnels(call, call.caller.account_id, token_ids, why)


async def close_tunnels(call: Call, account_id: str, token_ids: Sequence[str], why: str = SIGNED_OUT) -> int:
    """Of tokens that were just revoked; how many there were."""
    ended = await end_of_tokens(call.session, account_id, token_ids, call.now)
    peers = call.services.peers
    call.later(lambda: tell_ended(peers, ended, ErrorCode.SESSION_ENDED, why))
    return len(ended)


async def organizations_of(call: Call, account_id: str) -> list[str]:
    """Whose audit logs an act on the account concerns."""
    return [organization.id for organization, _ in await memberships_of(call.session, account_id)]
