"""The rollout's decisions: single rules by example, and a whole campaign against a made-up world by chance."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from farsite_cloud.work.rollout import GRACE, LOST, CampaignFact, OrderFact, decide, failure_limit
from farsite_signaling.wire.work import Wanted
from farsite_signaling.wire.work_api import CampaignState, OrderState

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=7)


def campaign(**changes) -> CampaignFact:
    return replace(CampaignFact(CampaignState.RUNNING, LATER), **changes)


def orders(count: int, **changes) -> list[OrderFact]:
    return [replace(OrderFact(f"o{number}", OrderState.QUEUED), **changes) for number in range(count)]


def done(order: OrderFact, state: OrderState = OrderState.SUCCEEDED, **changes) -> OrderFact:
    values = {"serial": 1, "placed": True, "obeyed": True, "finished_at": NOW} | changes
    return replace(order, state=state, **values)


def test_as_many_are_sent_as_may_work_at_a_time():
    decision = decide(campaign(parallel=2), orders(5), NOW)
    assert list(decision.send) == ["o0", "o1"]
    assert decision.states == {"o0": OrderState.SENT, "o1": OrderState.SENT}


def test_offline_ones_wait_say_so_and_hold_nothing_up():
    some = orders(3)
    some[0] = replace(some[0], reachable=False)
    decision = decide(campaign(parallel=1), some, NOW)
    assert list(decision.send) == ["o1"]
    assert decision.states["o0"] is OrderState.OFFLINE_WAITING
    assert "2026-03-08 00:00 UTC" in decision.details["o0"]


def test_nothing_begins_before_its_time():
    decision = decide(campaign(starts_at=NOW + timedelta(minutes=5)), orders(2), NOW)
    assert not decision.send and "Starts at 2026-03-01 00:05" in decision.detail
    assert decision.wake_at == NOW + timedelta(seconds=30)
    assert decide(campaign(starts_at=NOW), orders(2), NOW).send


def test_the_next_stage_waits_for_the_one_before():
    some = orders(10)
    plan = campaign(stages=(10, 50, 100))
    assert list(decide(plan, some, NOW).send) == ["o0"]
    some[0] = done(some[0])
    decision = decide(plan, some, NOW)
    assert list(decision.send) == ["o1", "o2", "o3", "o4"] and decision.stage == 1


def test_a_stage_nobody_was_there_for_proves_nothing():
    some = orders(4, reachable=True)
    some[0] = replace(some[0], reachable=False)
    assert decide(campaign(stages=(25, 100)), some, NOW).send == {}
    some = [done(some[0]), replace(some[1], reachable=False), *some[2:]]
    assert list(decide(campaign(stages=(50, 100)), some, NOW).send) == ["o2", "o3"]


def test_a_stage_is_watched_before_the_next():
    some = [done(orders(1)[0]), *orders(2)[1:]]
    plan = campaign(stages=(50, 100), soak=timedelta(hours=1))
    decision = decide(plan, some, NOW)
    assert not decision.send and "Watches stage 1 until 2026-03-01 01:00" in decision.detail
    assert list(decide(plan, some, NOW + timedelta(hours=1)).send) == ["o1"]


def test_too_many_failures_stop_everything():
    some = orders(4)
    some[0] = done(some[0], OrderState.FAILED, failures=3, devices=10)
    some[1] = replace(some[1], state=OrderState.RUNNING, serial=1, placed=True, obeyed=True)
    decision = decide(campaign(max_failures=3), some, NOW)
    assert decision.state is CampaignState.STOPPED
    assert decision.send == {"o1": Wanted.HOLD}
    assert decision.states == {"o2": OrderState.HELD, "o3": OrderState.HELD}
    assert "3 devices failed" in decision.detail


def test_the_share_is_of_the_devices_that_are_known():
    some = [replace(order, devices=10) for order in orders(2)]
    some[0] = replace(some[0], failures=1)
    assert failure_limit(campaign(max_share=10), some) is None
    assert "1 of 10 devices" in (failure_limit(campaign(max_share=10), some[:1]) or "")


def test_forgiven_failures_count_no_more():
    some = [done(orders(1)[0], OrderState.FAILED, failures=3, devices=3), *orders(2)[1:]]
    assert list(decide(campaign(max_failures=3, forgiven=3), some, NOW).send) == ["o1"]


def test_who_lost_the_right_starts_nothing():
    decision = decide(campaign(allowed=False), orders(2), NOW)
    assert decision.state is CampaignState.STOPPED and not decision.send


def test_what_is_not_confirmed_is_said_again_when_its_time_has_come():
    sent = orders(1, state=OrderState.SENT, serial=1, due_at=NOW + timedelta(seconds=10))
    assert decide(campaign(), sent, NOW).send == {}
    assert decide(campaign(), sent, NOW + timedelta(seconds=10)).send == {"o0": Wanted.RUN}
    away = [replace(sent[0], reachable=False)]
    decision = decide(campaign(), away, NOW + timedelta(seconds=10))
    assert not decision.send and decision.states == {"o0": OrderState.OFFLINE_WAITING}


def test_unsent_orders_expire_and_sent_ones_a_little_later():
    some = orders(2)
    some[1] = replace(some[1], state=OrderState.SENT, serial=1)
    decision = decide(campaign(), some, LATER)
    assert decision.states == {"o0": OrderState.EXPIRED}
    decision = decide(campaign(), some, LATER + GRACE)
    assert decision.states == {"o0": OrderState.EXPIRED, "o1": OrderState.EXPIRED}
    assert decision.state is CampaignState.FAILED and "2 expired" in decision.detail


def test_cancelling_leaves_alone_what_was_not_sent_and_waits_for_the_rest():
    some = orders(3)
    some[1] = replace(some[1], state=OrderState.RUNNING, serial=1, placed=True, obeyed=True)
    some[2] = replace(some[2], state=OrderState.SENT, serial=1, reachable=False)
    decision = decide(campaign(state=CampaignState.CANCELLING), some, NOW)
    assert decision.states == {"o0": OrderState.CANCELLED}
    assert decision.send == {"o1": Wanted.CANCEL}
    assert decision.state is CampaignState.CANCELLING


def test_removed_and_lost_edge_hosts_do_not_keep_a_campaign_open():
    some = orders(2, serial=1, state=OrderState.RUNNING, placed=True, obeyed=True, heard_at=NOW)
    some[0] = replace(some[0], removed=True)
    decision = decide(campaign(), some, NOW + LOST)
    assert decision.states == {"o0": OrderState.CANCELLED, "o1": OrderState.FAILED}
    assert decision.state is CampaignState.FAILED


@dataclass
class Site:
    """An edge host as it really is; messages to and from it get lost."""

    devices: int
    fails: int
    online: bool = True
    taken_at: datetime | None = None
    wanted: Wanted = Wanted.RUN
    serial: int = 0
    left: int = 3
    over: OrderState | None = None


class World:
    def __init__(self, plan: CampaignFact, sites: list[Site], seed: int) -> None:
        self.plan, self.sites, self.now = plan, sites, NOW
        self.chance = random.Random(seed)
        self.orders = orders(len(sites))
        self.begun_while_stopped = 0

    def step(self) -> None:
        self.now += timedelta(seconds=self.chance.choice([1, 20, 600]))
        for site in self.sites:
            site.online = self.chance.random() < 0.8
        facts = [replace(o, reachable=s.online) for o, s in zip(self.orders, self.sites, strict=True)]
        decision = decide(self.plan, facts, self.now)
        assert decide(self.plan, facts, self.now) == decision
        self.check(facts, decision)
        self.plan = replace(self.plan, state=decision.state)
        for number, order in enumerate(facts):
            state = decision.states.get(order.id, order.state)
            ended = (order.finished_at or self.now) if state.finished else None
            order = replace(order, state=state, finished_at=ended)
            if order.id in decision.send:
                order = self.send(number, order, decision.send[order.id])
            self.orders[number] = self.work(number, order)

    def check(self, facts, decision) -> None:
        active = {
            o.id
            for o in facts
            if not o.state.finished and (o.placed or (o.state is OrderState.SENT and o.reachable))
        }
        fresh = {one for one, wanted in decision.send.items() if wanted is Wanted.RUN} - active
        if fresh:
            assert len(active | fresh) <= max(self.plan.parallel, len(active))
        for one in decision.send:
            fact = next(o for o in facts if o.id == one)
            assert fact.reachable and not fact.state.finished
            if fact.serial == 0:
                assert decision.state is CampaignState.RUNNING
                assert self.now < self.plan.expires_at
                assert failure_limit(self.plan, facts) is None
                allowed = self.plan.stages[decision.stage]
                assert facts.index(fact) < math.ceil(len(facts) * allowed / 100)
        if decision.state is not CampaignState.RUNNING:
            assert all(wanted is not Wanted.RUN for wanted in decision.send.values())
        for fact in facts:
            if fact.state.finished:
                assert fact.id not in decision.states
        assert decision.state.finished or (decision.wake_at is not None and decision.wake_at > self.now)

    def send(self, number: int, order: OrderFact, wanted: Wanted) -> OrderFact:
        serial = order.serial + (order.serial == 0 or order.wanted is not wanted)
        site = self.sites[number]
        if self.chance.random() < 0.7 and serial > site.serial:
            site.serial, site.wanted = serial, wanted
            if site.taken_at is None:
                site.taken_at = self.now
                site.over = OrderState.CANCELLED if wanted is Wanted.CANCEL else None
        due = self.now + timedelta(seconds=30)
        return replace(order, serial=serial, wanted=wanted, obeyed=False, due_at=due)

    def work(self, number: int, order: OrderFact) -> OrderFact:
        site = self.sites[number]
        if site.taken_at is None:
            return order
        if site.over is None and site.wanted is Wanted.CANCEL:
            site.over = OrderState.CANCELLED
        if site.over is None and site.wanted is Wanted.RUN:
            site.left -= 1
            if site.left == 0:
                site.over = OrderState.FAILED if site.fails else OrderState.SUCCEEDED
        if not site.online or self.chance.random() < 0.3:
            return order
        state = site.over or (OrderState.HELD if site.wanted is Wanted.HOLD else OrderState.RUNNING)
        return replace(
            order,
            state=state,
            placed=True,
            obeyed=site.serial >= order.serial,
            heard_at=self.now,
            finished_at=(order.finished_at or self.now) if state.finished else None,
            devices=site.devices,
            failures=site.fails if site.left == 0 else 0,
        )


@settings(max_examples=40, deadline=None)
@given(
    sites=st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=8),
    stages=st.sampled_from([(100,), (10, 100), (1, 30, 60, 100)]),
    parallel=st.integers(1, 5),
    limit=st.none() | st.integers(1, 4),
    share=st.none() | st.integers(1, 100),
    cancel_at=st.none() | st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
def test_a_campaign_keeps_its_rules_and_comes_to_an_end(
    sites, stages, parallel, limit, share, cancel_at, seed
):
    plan = campaign(stages=stages, parallel=parallel, max_failures=limit, max_share=share)
    world = World(plan, [Site(count, count if bad else 0) for count, bad in sites], seed)
    for number in range(400):
        if number == cancel_at and not world.plan.state.finished:
            world.plan = replace(world.plan, state=CampaignState.CANCELLING)
        if world.plan.state is CampaignState.STOPPED and number > 100:
            failures = sum(order.failures for order in world.orders)
            world.plan = replace(world.plan, state=CampaignState.RUNNING, forgiven=failures, max_share=None)
        world.step()
        if world.plan.state.finished:
            break
    assert world.plan.state.finished
    assert all(order.state.finished for order in world.orders)
    # What was confirmed to be done was done, once.
    for order, site in zip(world.orders, world.sites, strict=True):
        if order.state is OrderState.SUCCEEDED:
            assert site.left == 0 and not site.fails
