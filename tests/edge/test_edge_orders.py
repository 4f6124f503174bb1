"""Orders at the edge host's desk: who may order what, what arrives twice, late or in the wrong order."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from farsite_edge.devices.record import DeviceRecord
from farsite_edge.work.record import OrderRecord
from farsite_edge.work.selection import select
from farsite_signaling.identity import generate_key, sign_order
from farsite_signaling.wire.rights import Right, Role, rights_of
from farsite_signaling.wire.work import Order, OrderPhase, Selection, Wanted, WorkOrder


def order(**changes: Any) -> Order:
    now = int(time.time())
    values: dict[str, Any] = {
        "aud": "urn:farsite:org1:edge:edge1",
        "sub": "urn:farsite:org1:user:ann",
        "email": "ann@example.com",
        "org": "org1",
        "role": Role.ADMIN,
        "rights": rights_of(Role.ADMIN),
        "id": "order1",
        "campaign": "campaign1",
        "serial": 1,
        "wanted": Wanted.RUN,
        "kind": "os.upgrade",
        "iat": now,
        "exp": now + 3600,
    }
    return Order.model_validate(values | changes)


class Desk:
    """Hands orders to the edge host as the hub would."""

    def __init__(self, edge: Any, cloud: Any) -> None:
        self.host, self.cloud = edge.host, cloud
        self.store = self.host.work._store

    async def give(self, given: Order, key: Any = None, message_id: str | None = None) -> OrderRecord | None:
        token = sign_order(key or self.cloud.grant_key, given)
        await self.host.work._handle(WorkOrder(id=message_id or given.id, order=token))
        return await self.store.find(given.id)

    async def audit(self, action: str) -> list[Any]:
        return [row for row in (await self.host.audit.page(None, 100))[0] if row.action == action]


@pytest.fixture
async def desk(claimed: Any, small_cloud: Any) -> Desk:
    return Desk(claimed, small_cloud)


async def test_an_order_is_taken_and_told_who_wanted_it(desk: Desk) -> None:
    record = await desk.give(order())
    assert record is not None and record.ended == OrderPhase.SUCCEEDED
    assert record.detail == "No device of this edge host is meant."
    [row] = await desk.audit("work.run")
    assert row.actor == "urn:farsite:org1:user:ann" and row.details["email"] == "ann@example.com"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "urn:farsite:org1:edge:other"},
        {"org": "org2"},
        {"iat": int(time.time()) + 3600},
    ],
    ids=["another edge host", "another organization", "from the future"],
)
async def test_what_is_not_for_us_is_not_kept(desk: Desk, changes: dict[str, Any]) -> None:
    assert await desk.give(order(**changes)) is None
    [row] = await desk.audit("work.order")
    assert row.outcome == "refused"


async def test_only_the_pinned_key_orders(desk: Desk) -> None:
    assert await desk.give(order(), key=generate_key()) is None
    assert await desk.give(order(), message_id="another") is None
    await desk.host.work._handle(WorkOrder(id="order1", order="not a token"))
    assert await desk.store.find("order1") is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"role": Role.VIEWER, "rights": rights_of(Role.ADMIN)}, "forbidden"),
        ({"rights": rights_of(Role.ADMIN) - {Right.DEVICE_MANAGE}}, "forbidden"),
        ({"exp": int(time.time()) - 3600}, "grant_expired"),
        ({"kind": "coffee.make"}, "unavailable"),
    ],
    ids=["role", "scopes", "expired", "unknown kind"],
)
async def test_what_may_not_be_is_refused_for_good(desk: Desk, changes: dict[str, Any], code: str) -> None:
    record = await desk.give(order(**changes))
    assert record is not None and (record.ended, record.code) == (OrderPhase.REFUSED, code)
    again = await desk.give(order(**changes))
    assert again is not None and again.task is None
    assert len(await desk.audit("work.run")) == 1


async def test_nothing_is_taken_while_remote_access_is_off(desk: Desk, claimed: Any) -> None:
    await claimed.set_remote_access(False)
    assert await desk.give(order()) is None
    await claimed.set_remote_access(True)
    assert await desk.give(order()) is not None


async def test_a_cancellation_that_is_faster_than_its_order(desk: Desk) -> None:
    record = await desk.give(order(serial=2, wanted=Wanted.CANCEL))
    assert record is not None and record.ended == OrderPhase.CANCELLED
    late = await desk.give(order(serial=1))
    assert late is not None and (late.ended, late.wanted) == (OrderPhase.CANCELLED, Wanted.CANCEL)


async def test_to_do_less_may_always_be_asked_and_to_go_on_may_not(desk: Desk) -> None:
    await desk.give(order())
    weak = {"role": Role.VIEWER, "rights": rights_of(Role.VIEWER)}
    held = await desk.give(order(serial=2, wanted=Wanted.HOLD, **weak))
    assert held is not None and held.wanted is Wanted.HOLD
    still = await desk.give(order(serial=3, wanted=Wanted.RUN, **weak))
    assert still is not None and (still.wanted, still.order.serial) == (Wanted.HOLD, 2)


async def test_an_older_statement_changes_nothing(desk: Desk) -> None:
    await desk.give(order())
    await desk.give(order(serial=3, wanted=Wanted.HOLD))
    record = await desk.give(order(serial=2, wanted=Wanted.CANCEL))
    assert record is not None and (record.wanted, record.order.serial) == (Wanted.HOLD, 3)


async def test_more_orders_than_can_wait_are_dropped_and_said_again(desk: Desk) -> None:
    flood = [WorkOrder(id=f"o{number}", order="x") for number in range(500)]
    for one in flood:
        desk.host.work.take(one)
    assert desk.host.work._waiting.qsize() <= 200
    async with asyncio.timeout(10):
        while not desk.host.work._waiting.empty():
            await asyncio.sleep(0.01)


def device(serial: str, **values: Any) -> DeviceRecord:
    return DeviceRecord(id=serial, address="10.0.0.1", managed=True, **values)


DEVICES = [
    device("A1", model="P1", version="10.12.1", device_type="camera"),
    device("A2", model="p1", version="11.2"),
    device("A3", model="P2", version=""),
    DeviceRecord(id="A4", address="10.0.0.2", model="P1", version="9.80"),
]


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        ({}, ["A1", "A2", "A3"]),
        ({"models": ["P1"]}, ["A1", "A2"]),
        ({"models": ["P1"], "version_below": "11.0"}, ["A1"]),
        ({"version_below": "99"}, ["A1", "A2"]),
        ({"devices": ["A3", "A4", "XX"]}, ["A3"]),
        ({"device_types": ["Camera"]}, ["A1"]),
        ({"devices": []}, []),
    ],
)
def test_which_devices_are_meant(selection: dict[str, Any], meant: list[str]) -> None:
    assert select(DEVICES, Selection(**selection)) == meant
