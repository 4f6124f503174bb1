"""What happens to tunnels, for the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Protocol

from farsite_edge.audit import AuditLog
from farsite_edge.remote.usage import Usage
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.path import TunnelStatus

MAX_WAITING = 1000


class AuditedTunnel(Protocol):
    @property
    def grant(self) -> Grant | None: ...
    def status(self) -> TunnelStatus: ...


class TunnelEvents:
    """The listener's callbacks do not wait; their rows are written by `run()`, in order."""

    def __init__(self, audit: AuditLog, usage: Usage | None = None) -> None:
        self._audit = audit
        self._usage = usage or Usage()
        self._waiting: asyncio.Queue[Callable[[], Coroutine[Any, Any, None]]] = asyncio.Queue(MAX_WAITING)

    async def run(self) -> None:
        while True:
            write = await self._waiting.get()
            await write()

    async def drain(self) -> None:
        """Write what is left; for the end."""
        while not self._waiting.empty():
            await self._waiting.get_nowait()()

    def opened(self, tunnel: AuditedTunnel) -> None:
        grant, status = tunnel.grant, tunnel.status()
        details: dict[str, object] = {"path": str(status.path)}
        if grant is not None:
            details |= {"role": grant.role.value, "email": grant.email}
        self._put("tunnel.open", status.remote, status.session, "allowed", details)

    def closed(self, tunnel: AuditedTunnel, error: FarsiteError | None) -> None:
        status = tunnel.status()
        details: dict[str, object] = {
            "bytes_sent": status.bytes_sent,
            "bytes_received": status.bytes_received,
            "seconds": _seconds(status.since),
            "path": str(status.path),
        }
        if error is not None:
            details |= {"code": str(error.code), "reason": error.detail[:200]}
        for device, used in self._usage.end(status.session):
            self._put("device.web.closed", status.remote, status.session, "allowed", used, device)
        self._put("tunnel.close", status.remote, status.session, "allowed", details)

    def refused(self, error: FarsiteError, sender: str, session: str | None) -> None:
        details: dict[str, object] = {"code": str(error.code), "reason": error.detail[:200]}
        self._put("tunnel.open", sender, session, "refused", details)

    def _put(
        self,
        action: str,
        actor: str,
        session: str | None,
        outcome: str,
        details: dict[str, object],
        target: str = "",
    ) -> None:
        if self._waiting.full():
            return  # a flood of refusals; the first thousand say enough
        self._waiting.put_nowait(
            lambda: self._audit.note(
                action, actor=actor, target=target, session=session, outcome=outcome, details=details
            )
        )


def _seconds(since: datetime | None) -> float:
    return round((datetime.now(UTC) - since).total_seconds(), 1) if since else 0.0
