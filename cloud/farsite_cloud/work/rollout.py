"""How a campaign goes on: facts and time in, decisions out. Free of I/O.

Nothing here remembers anything: deciding twice on the same facts gives the same, and after a crash the facts tell
where it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farsite_signaling.wire.work import Wanted
from farsite_signaling.wire.work_api import CampaignState, OrderState

GRACE = timedelta(minutes=10)
"""After the expiry an order may have been taken by an edge host whose word is still on its way."""
LOST = timedelta(days=30)
"""An edge host that took an order and is silent for so long is not waited for any more."""
LOOK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True)
class OrderFact:
    """`serial` 0: never stated to the edge host. `placed`: it confirmed that it has it. `obeyed`: it confirmed the
    newest statement. `failures` and `devices` are counts of its devices."""

    id: str
    state: OrderState
    reachable: bool = True
    removed: bool = False
    serial: int = 0
    placed: bool = False
    obeyed: bool = False
    wanted: Wanted = Wanted.RUN
    due_at: datetime | None = None
    heard_at: datetime | None = None
    finished_at: datetime | None = None
    failures: int = 0
    devices: int = 0


@dataclass(frozen=True)
class CampaignFact:
    """`forgiven` failures count no more. `allowed`: whether the person who made it still may."""

    state: CampaignState
    expires_at: datetime
    starts_at: datetime | None = None
    stages: tuple[int, ...] = (100,)
    parallel: int = 20
    soak: timedelta = timedelta()
    max_failures: int | None = None
    max_share: int | None = None
    forgiven: int = 0
    allowed: bool = True


@dataclass
class Decision:
    """`send` names orders to state (again), with what is wanted of them; `states` and `details` what changes."""

    state: CampaignState
    detail: str = ""
    stage: int = 0
    states: dict[str, OrderState] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    send: dict[str, Wanted] = field(default_factory=dict)
    wake_at: datetime | None = None

    def wake(self, moment: datetime | None) -> None:
        if moment is not None and (self.wake_at is None or moment < self.wake_at):
            self.wake_at = moment


def decide(campaign: CampaignFact, orders: Sequence[OrderFact], now: datetime) -> Decision:
    """`orders` are in the order of the rollout."""
    decision = Decision(campaign.state)
    _stop_where_needed(campaign, orders, decision)
    _end_hopeless(campaign, orders, decision, now)
    _go_through_stages(campaign, orders, decision, now)
    _restate(orders, decision, now)
    _finish(orders, decision)
    if not decision.state.finished:
        decision.wake(now + LOOK_AGAIN)
    return decision


def wanted_in(state: CampaignState) -> Wanted:
    if state is CampaignState.RUNNING:
        return Wanted.RUN
    return Wanted.CANCEL if state is CampaignState.CANCELLING else Wanted.HOLD


def failure_limit(campaign: CampaignFact, orders: Sequence[OrderFact]) -> str | None:
    """Why nothing further is started: what failed, and the limit."""
    failures = sum(order.failures for order in orders) - campaign.forgiven
    if campaign.max_failures is not None and failures >= campaign.max_failures:
        return f"Stopped: {failures} devices failed, the limit is {campaign.max_failures}."
    known = sum(order.devices for order in orders)
    if campaign.max_share is not None and failures > 0 and failures * 100 >= campaign.max_share * known:
        return f"Stopped: {failures} of {known} devices failed, the limit is {campaign.max_share} percent."
    return None


def _stop_where_needed(campaign: CampaignFact, orders: Sequence[OrderFact], decision: Decision) -> None:
    if campaign.state is not CampaignState.RUNNING:
        return
    reason = failure_limit(campaign, orders)
    if not campaign.allowed:
        reason = "Stopped: whoever made this campaign may not do such work any more."
    if reason is not None and any(not order.state.finished for order in orders):
        decision.state, decision.detail = CampaignState.STOPPED, reason


def _state(order: OrderFact, decision: Decision) -> OrderState:
    return decision.states.get(order.id, order.state)


def _set(order: OrderFact, decision: Decision, state: OrderState, detail: str = "") -> None:
    if state is not order.state:
        decision.states[order.id] = state
    decision.details[order.id] = detail


def _open(orders: Sequence[OrderFact], decision: Decision) -> Iterator[OrderFact]:
    return (order for order in orders if not _state(order, decision).finished)


def _end_hopeless(
    campaign: CampaignFact, orders: Sequence[OrderFact], decision: Decision, now: datetime
) -> None:
    for order in orders:
        if order.state.finished:
            continue
        if order.removed:
            _set(order, decision, OrderState.CANCELLED, "The edge host was removed.")
        elif not order.placed:
            _end_unplaced(campaign, order, decision, now)
        elif order.heard_at is not None and now >= order.heard_at + LOST:
            detail = f"The edge host has not been heard of for {LOST.days} days."
            _set(order, decision, OrderState.FAILED, detail)


def _end_unplaced(campaign: CampaignFact, order: OrderFact, decision: Decision, now: datetime) -> None:
    cancelling = decision.state is CampaignState.CANCELLING
    ends_at = campaign.expires_at if order.serial == 0 else campaign.expires_at + GRACE
    if cancelling and order.serial == 0:
        _set(order, decision, OrderState.CANCELLED, "Cancelled before it was sent.")
    elif now >= ends_at:
        state = OrderState.CANCELLED if cancelling else OrderState.EXPIRED
        _set(order, decision, state, f"Not taken before {campaign.expires_at:%Y-%m-%d %H:%M} UTC.")
    else:
        decision.wake(ends_at)


def _go_through_stages(
    campaign: CampaignFact, orders: Sequence[OrderFact], decision: Decision, now: datetime
) -> None:
    if decision.state is not CampaignState.RUNNING:
        return _hold_unsent(orders, decision)
    stage, members, waits_until = _stage(campaign, orders, decision, now)
    decision.stage = stage
    decision.wake(waits_until)
    inside = {order.id for order in members}
    if campaign.starts_at is not None and now < campaign.starts_at:
        decision.wake(campaign.starts_at)
        decision.detail = f"Starts at {campaign.starts_at:%Y-%m-%d %H:%M} UTC."
        inside = set()
    active = sum(_is_active(order) for order in _open(orders, decision))
    for order in list(_open(orders, decision)):
        if order.placed or (order.serial and _is_active(order) and order.reachable):
            continue
        if order.id not in inside:
            _set(order, decision, OrderState.QUEUED)
        elif not order.reachable:
            _set(order, decision, OrderState.OFFLINE_WAITING, _waiting(campaign))
        elif active < campaign.parallel:
            active += not _is_active(order)
            _set(order, decision, OrderState.SENT)
            decision.send[order.id] = Wanted.RUN
        else:
            _set(order, decision, OrderState.QUEUED)


def _is_active(order: OrderFact) -> bool:
    """Uses one of the parallel places. What went offline before it took its order gives its place away."""
    return order.placed or (order.state is OrderState.SENT and order.reachable)


def _waiting(campaign: CampaignFact) -> str:
    until = f"{campaign.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"Not connected, or its remote access is off: waits until {until}."


def _hold_unsent(orders: Sequence[OrderFact], decision: Decision) -> None:
    if decision.state is CampaignState.CANCELLING:
        return
    for order in list(_open(orders, decision)):
        if order.serial == 0:
            _set(order, decision, OrderState.HELD)


def _stage(
    campaign: CampaignFact, orders: Sequence[OrderFact], decision: Decision, now: datetime
) -> tuple[int, Sequence[OrderFact], datetime | None]:
    """The stage at hand, counted from 0, the orders in it and before it, and until when it waits."""
    for number, share in enumerate(campaign.stages[:-1]):
        members = orders[: math.ceil(len(orders) * share / 100)]
        if not _is_done(members, decision):
            return number, members, None
        ended = [order.finished_at for order in members if order.finished_at is not None]
        ready_at = max(ended) + campaign.soak if ended else now
        if now < ready_at:
            decision.detail = f"Watches stage {number + 1} until {ready_at:%Y-%m-%d %H:%M} UTC."
            return number, members, ready_at
    return len(campaign.stages) - 1, orders, None


def _is_done(members: Sequence[OrderFact], decision: Decision) -> bool:
    """Offline edge hosts hold nothing up, but a stage in which nothing was tried has proved nothing."""
    states = [_state(order, decision) for order in members]
    if all(state.finished for state in states):
        return True
    tried = any(state in (OrderState.SUCCEEDED, OrderState.FAILED) for state in states)
    away = all(
        state.finished or (not order.reachable and not order.placed)
        for state, order in zip(states, members, strict=True)
    )
    return tried and away


def _restate(orders: Sequence[OrderFact], decision: Decision, now: datetime) -> None:
    """What edge hosts have, or may have, is stated again until they confirm it, and anew when it changes."""
    wanted = wanted_in(decision.state)
    for order in _open(orders, decision):
        if order.serial == 0 or order.id in decision.send:
            continue
        changed = order.wanted is not wanted
        if not order.reachable or (order.obeyed and not changed):
            continue
        if wanted is Wanted.RUN and not order.placed and _state(order, decision) is not OrderState.SENT:
            continue  # It came back before it had taken its order: it waits for its turn again.
        if changed or order.due_at is None or now >= order.due_at:
            decision.send[order.id] = wanted
        else:
            decision.wake(order.due_at)


def _finish(orders: Sequence[OrderFact], decision: Decision) -> None:
    states = [_state(order, decision) for order in orders]
    if not all(state.finished for state in states):
        return
    if decision.state is CampaignState.CANCELLING:
        decision.state = CampaignState.CANCELLED
    elif all(state is OrderState.SUCCEEDED for state in states):
        decision.state = CampaignState.SUCCEEDED
    else:
        decision.state = CampaignState.FAILED
        decision.detail = _summary(states)


def _summary(states: Sequence[OrderState]) -> str:
    counted = {state: states.count(state) for state in OrderState if state in states}
    told = [f"{number} {state}" for state, number in counted.items() if state is not OrderState.SUCCEEDED]
    among = "1 edge host" if len(states) == 1 else f"{len(states)} edge hosts"
    return f"Of {among}: {', '.join(told)}."
