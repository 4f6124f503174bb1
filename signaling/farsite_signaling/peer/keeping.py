"""Runs what finds further links for a tunnel, as long as the tunnel stands."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from farsite_signaling.peer.tunnel import Tunnel

_log = logging.getLogger(__name__)
PAUSE = 1.0
"""Before a keeper that failed runs again, seconds."""


class Keeper(Protocol):
    """Finds further links for a tunnel; runs as long as the tunnel stands."""

    async def run(self, tunnel: Tunnel) -> None: ...


async def keep(tunnel: Tunnel, keeper: Keeper) -> None:
    """The keeper's own failures end neither the tunnel nor the keeping."""
    while tunnel.joinable:
        try:
            await keeper.run(tunnel)
            return
        except Exception:
            tunnel.keeper_failures += 1
            _log.exception("tunnel %s: keeping its link failed; it goes on", tunnel.session)
            await asyncio.sleep(PAUSE)
