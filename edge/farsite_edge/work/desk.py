"""Takes orders: checks who wants what, keeps the order, and makes it a task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from farsite_edge.audit import AuditLog
from farsite_edge.devices.registry import Registry
from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.preferences import Preferences
from farsite_edge.tasks import TaskRunner
from farsite_edge.work.kinds import WorkKind, WorkKinds
from farsite_edge.work.record import OrderRecord
from farsite_edge.work.selection import select
from farsite_edge.work.store import OrderStore
from farsite_signaling.identity import verify_order
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.work import Order, OrderPhase, Wanted, WorkOrder

MAX_WAITING = 200
logger = logging.getLogger(__name__)


class WorkDesk:
    """`take` may be called from the connection: it never waits. `run()` works on what was taken, one at a time.

    `changed` is called when an order has something new to tell.
    """

    def __init__(
        self,
        store: OrderStore,
        kinds: WorkKinds,
        runner: TaskRunner,
        registry: Registry,
        keeper: IdentityKeeper,
        preferences: Preferences,
        audit: AuditLog,
        *,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._runner = runner
        self._registry = registry
        self._keeper = keeper
        self._preferences = preferences
        self._audit = audit
        self.changed = changed
        self._clock = clock
        self._waiting: asyncio.Queue[WorkOrder] = asyncio.Queue(MAX_WAITING)

    def take(self, message: WorkOrder) -> None:
        """Beyond a few hundred waiting ones the cloud has to say it again, which it does."""
        if not self._waiting.full():
            self._waiting.put_nowait(message)

    async def run(self) -> None:
        """First what an earlier run took and did not begin."""
        for record in await self._store.open():
            await self._follow(record)
        while True:
            await self._handle(await self._waiting.get())

    async def _handle(self, message: WorkOrder) -> None:
        """Nothing is kept of what is not signed, or comes while remote access is off."""
        try:
            order = self._verified(message)
            await self._accept(order)
        except FarsiteError as error:
            logger.warning("order %s not taken: %s", message.id, error)
            if error.code not in (ErrorCode.DISK_FULL, ErrorCode.STORAGE_FAILED):
                details = {"code": str(error.code), "order": message.id}
                await self._audit.note("work.order", actor="cloud", outcome="refused", details=details)

    def _verified(self, message: WorkOrder) -> Order:
        claim = self._keeper.claim
        if claim is None:
            raise FarsiteError(ErrorCode.NOT_CLAIMED, "This edge host is not claimed.")
        if not self._preferences.remote_access:
            raise FarsiteError(
                ErrorCode.REMOTE_ACCESS_OFF, "Remote access is switched off: no orders are taken."
            )
        order = verify_order(
            message.order, self._keeper.grant_key, audience=self._keeper.identity.urn, now=self._clock()
        )
        if order.id != message.id or order.org != claim.organization_id:
            raise FarsiteError(ErrorCode.GRANT_INVALID, "The order is not what its envelope says.")
        return order

    async def _accept(self, order: Order) -> None:
        known = await self._store.find(order.id)
        if known is None:
            await self._accept_new(order)
        elif order.serial > known.order.serial:
            await self._change(known, order)
        else:
            # Said again: the cloud did not hear our answer.
            await self._store.keep(known)
        self.changed()

    async def _accept_new(self, order: Order) -> None:
        record = OrderRecord(order)
        try:
            self._judge(order)
        except FarsiteError as error:
            record.end(OrderPhase.REFUSED, error)
        if order.wanted is Wanted.CANCEL and record.ended is None:
            record.end(OrderPhase.CANCELLED, detail="Cancelled before it arrived here.")
        await self._write(order, record)
        await self._store.add(record)
        await self._follow(record)

    def _judge(self, order: Order) -> None:
        """Raises why this edge host will not do it."""
        kind = self._kind(order)
        if not order.allows(kind.right):
            raise FarsiteError(
                ErrorCode.FORBIDDEN,
                f"Whoever ordered this may not: it needs the right {kind.right}.",
                right=kind.right,
            )
        late = self._clock() - order.exp
        if late > LEEWAY_SECONDS and order.wanted is not Wanted.CANCEL:
            raise FarsiteError(
                ErrorCode.GRANT_EXPIRED, f"The order expired {late:.0f} s ago by this edge host's clock."
            )

    def _kind(self, order: Order) -> WorkKind:
        kind = self._kinds.get(order.kind)
        if kind is None:
            raise FarsiteError(
                ErrorCode.UNAVAILABLE,
                f"This edge host's version of Farsite cannot do {clean(order.kind)}. Update it.",
            )
        return kind

    async def _change(self, record: OrderRecord, order: Order) -> None:
        """Only what is wanted changes; the rest stays as it was taken. To do less may always be asked."""
        if order.wanted is Wanted.RUN and not order.allows(self._kind(record.order).right):
            raise FarsiteError(ErrorCode.FORBIDDEN, "Whoever wants to change this order may not.")
        await self._write(order, record)
        changes = {"serial": order.serial, "wanted": order.wanted}
        record.order = record.order.model_copy(update=changes)
        await self._store.keep(record)
        await self._follow(record)

    async def _write(self, order: Order, record: OrderRecord) -> None:
        details = {"order": order.id, "campaign": order.campaign, "email": clean(order.email)}
        if record.code is not None:
            details["code"] = record.code
        await self._audit.write(
            f"work.{order.wanted}",
            actor=order.sub,
            target=clean(f"{order.kind} {order.title}".strip()),
            outcome="refused" if record.ended == OrderPhase.REFUSED else "allowed",
            details=details,
        )

    async def _follow(self, record: OrderRecord) -> None:
        """Bring the local task to what is wanted. Safe to repeat after a crash anywhere in it."""
        claim = self._keeper.claim
        if claim is None or record.order.org != claim.organization_id:
            return
        if record.ended is None and record.task is None:
            await self._begin(record)
        if record.task is not None:
            await self._steer(record.task, record.wanted)

    async def _begin(self, record: OrderRecord) -> None:
        order = record.order
        if order.wanted is Wanted.CANCEL:
            record.end(OrderPhase.CANCELLED, detail="Cancelled before it was begun.")
            return await self._store.keep(record)
        devices = select(self._registry.all(managed=True), order.selection)
        if not devices:
            record.end(OrderPhase.SUCCEEDED, detail="No device of this edge host is meant.")
            return await self._store.keep(record)
        try:
            begun = await self._kind(order).begin(order, devices, f"work {order.id}")
            record.detail = begun.left_out
            if begun.task is None:
                record.end(OrderPhase.FAILED, detail=begun.left_out or "No device here can have it.")
            else:
                record.task = begun.task.id
        except FarsiteError as error:
            if error.code in (ErrorCode.DISK_FULL, ErrorCode.STORAGE_FAILED):
                raise
            record.end(OrderPhase.REFUSED, error)
        await self._store.keep(record)

    async def _steer(self, task: str, wanted: Wanted) -> None:
        try:
            if wanted is Wanted.CANCEL:
                await self._runner.cancel(task)
            else:
                await self._runner.hold(task, wanted is Wanted.HOLD)
        except FarsiteError as error:
            # A task that is over needs no steering.
            if error.code not in (ErrorCode.CONFLICT, ErrorCode.NOT_FOUND):
                raise
