"""What the hub asks whoever runs it: who may connect, and who may write to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel

from farsite_signaling.wire.hub import Hello, Report, SessionEnded
from farsite_signaling.wire.inventory import InventoryDelta
from farsite_signaling.wire.work import WorkReport


class Authorizer(Protocol):
    """Every method may raise; the hub refuses then (`unavailable` for anything but a `FarsiteError`).

    Calls that take longer than `HubLimits.authorizer_timeout` count as failed.
    """

    async def authenticate(self, hello: Hello) -> ec.EllipticCurvePublicKey:
        """The key that `hello.name` must prove to hold; raises `FarsiteError` when it may not connect."""

    async def may_deliver(self, sender: str, recipient: str) -> None:
        """Raises `FarsiteError` when `sender` may not write to `recipient`."""

    async def report_received(self, name: str, report: Report) -> None:
        """Returns once the report is kept: its sender then forgets the audit rows in it."""

    async def work_reported(self, name: str, report: WorkReport) -> None:
        """Returns once it is kept: its sender does not send it again then."""

    async def sessions_ended(self, name: str, held: Sequence[str]) -> Sequence[SessionEnded]:
        """Which of the sessions that a peer says it holds are not live (any more), with what they ended with."""

    async def inventory_received(self, name: str, delta: InventoryDelta) -> Sequence[BaseModel]:
        """What is sent back: that it is kept, or from where the edge host goes on; and what else it should know."""

    async def presence_changed(self, name: str, online: bool) -> None:
        """Called once per change, one at a time for each name; called again after a failure."""
