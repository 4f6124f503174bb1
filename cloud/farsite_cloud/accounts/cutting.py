"""An account cut off from an organization: its sessions, connections and certificates there end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.clients.service import client_name, revoke_clients
from farsite_cloud.database import Scope
from farsite_cloud.services import Peers
from farsite_cloud.sessions.endings import end_of_accounts
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.setup_codes.service import void_setup_codes
from farsite_cloud.signaling.notices import tell_ended
from farsite_signaling.wire.errors import ErrorCode


@dataclass
class Cut:
    """What ended, to be told to its ends once that is committed."""

    why: str
    sessions: list[RemoteSession] = field(default_factory=list)
    clients: Sequence[ClientDevice] = ()

    async def tell(self, peers: Peers) -> None:
        await tell_ended(peers, self.sessions, ErrorCode.SESSION_ENDED, self.why)
        for client in self.clients:
            urn = str(client_name(client))
            await peers.disconnect(urn, ErrorCode.CERTIFICATE_REVOKED, self.why, retry=False)


async def cut_off(scope: Scope, account_id: str, why: str, now: datetime) -> Cut:
    """Of an account that no longer belongs there."""
    await void_setup_codes(scope, account_id, now)
    sessions = await end_of_accounts(scope, [account_id], now)
    return Cut(why, sessions, await revoke_clients(scope, account_id, now))
