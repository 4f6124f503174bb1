"""Campaigns through the API, against edge hosts that say what the test wants."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import jwt
import pytest

from farsite_cloud.organizations.service import find_organization
from farsite_signaling.identity import load_public_key, verify_order
from farsite_signaling.wire.hub import ReportAccepted
from farsite_signaling.wire.rights import Right, Role
from farsite_signaling.wire.work import Order, OrderPhase, Wanted, WorkOrder, WorkReport, WorkReportAccepted


class Edge:
    """An edge host on the hub that keeps nothing but what it was told last."""

    def __init__(self, world: Any, edge_id: str, peer: Any, key: Any) -> None:
        self.world, self.id, self.peer, self._key = world, edge_id, peer, key
        self.revision = 0
        self._passed: list[WorkOrder] = []

    async def held(self) -> Order:
        """The order to hold, also one that came before a report was answered."""
        for message in self._passed:
            order = self._read(message)
            if order.wanted is Wanted.HOLD:
                return order
        return await self.order()

    def _read(self, message: WorkOrder) -> Order:
        now = self.world.clock().timestamp()
        return verify_order(message.order, self._key, audience=self.peer.identity.urn, now=now)

    async def order(self) -> Order:
        async with asyncio.timeout(10):
            while True:
                await self.world.services.sweeper.wake()
                message = await self.peer.receive()
                if isinstance(message, WorkOrder):
                    return self._read(message)
                assert message is not None

    async def report(
        self, order: Order, phase: OrderPhase, revision: int | None = None, **values: Any
    ) -> None:
        self.revision += 1
        report = WorkReport(
            id=uuid.uuid4().hex,
            order=order.id,
            revision=revision or self.revision,
            serial=order.serial,
            phase=phase,
            **values,
        )
        await self.peer.send(report)
        while not isinstance(message := await self.peer.receive(), WorkReportAccepted):
            assert isinstance(message, WorkOrder | ReportAccepted), message
            if isinstance(message, WorkOrder):
                self._passed.append(message)
        assert message.id == report.id


@pytest.fixture
async def site(world):
    return await _site(world)


async def _site(world, name: str = "Site", folder: str | None = None) -> Edge:
    edge_id, identity = await world.edge(name=name, folder=folder)
    peer = await world.connect(identity)
    async with world.services.database.reading() as session:
        organization = await find_organization(session, world.owner.org)
    return Edge(world, edge_id, peer, load_public_key(organization.grant_public_key))


async def _start(world, **values: Any) -> dict[str, Any]:
    body = {"kind": "os.upgrade", "selection": {"models": ["P1"]}} | values
    return await world.owner.ok("POST", "~/campaigns", body)


async def _until(world, campaign: dict[str, Any], test) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            await world.services.sweeper.wake()
            shown = await world.owner.ok("GET", f"~/campaigns/{campaign['id']}")
            if test(shown):
                return shown
            await asyncio.sleep(0.01)


async def test_an_order_says_who_wants_what(world, site):
    campaign = await _start(world, parameters={"version": "11.11.1"}, title="Spring")
    order = await site.order()
    assert (order.kind, order.title, order.wanted) == ("os.upgrade", "Spring", Wanted.RUN)
    assert order.parameters["version"] == "11.11.1" and order.selection.models == ["P1"]
    assert (order.email, order.role) == ("owner@example.com", Role.OWNER)
    assert order.campaign == campaign["id"] and Right.DEVICE_MANAGE in order.rights


@pytest.mark.both_databases
async def test_reports_are_kept_once_and_in_order(world, site):
    campaign = await _start(world)
    order = await site.order()
    at = world.clock().isoformat()

    def steps(*numbers: int) -> list[dict[str, Any]]:
        return [{"seq": n, "at": at, "device": "A1", "step": f"s{n}"} for n in numbers]

    def device(state: str) -> list[dict[str, str]]:
        return [{"device": "A1", "state": state}]

    await site.report(order, OrderPhase.RUNNING, steps=steps(1, 2), devices=device("running"))
    await site.report(order, OrderPhase.RUNNING, steps=steps(1, 2, 3), devices=device("succeeded"))
    # One that was on its way for long, over an older connection.
    await site.report(order, OrderPhase.ACCEPTED, revision=1, steps=steps(1), devices=device("queued"))
    await site.report(order, OrderPhase.SUCCEEDED, counts={"succeeded": 1})
    shown = await _until(world, campaign, lambda one: one["state"] == "succeeded")
    assert shown["devices"]["succeeded"] == 1 and shown["progress"] == 1.0
    [kept] = (await world.owner.ok("GET", f"~/campaigns/{campaign['id']}/devices"))["devices"]
    assert kept["state"] == "succeeded"
    path = f"~/campaigns/{campaign['id']}/orders/{order.id}/steps"
    assert [one["step"] for one in (await world.owner.ok("GET", path))["steps"]] == ["s1", "s2", "s3"]


async def test_nobody_reports_about_anothers_order(world, site):
    other = await _site(world, "Other")
    campaign = await _start(world, edge_hosts=[site.id])
    order = await site.order()
    await other.report(order, OrderPhase.SUCCEEDED, counts={"succeeded": 9})
    shown = await world.owner.ok("GET", f"~/campaigns/{campaign['id']}")
    assert shown["state"] == "running" and shown["devices"]["succeeded"] == 0


async def test_an_unconfirmed_order_is_said_again(world, site):
    await _start(world)
    first = await site.order()
    world.clock.advance(seconds=31)
    assert (await site.order()).id == first.id


async def test_offline_until_it_expires(world):
    await world.edge()
    campaign = await _start(world, expires_in_hours=1)
    await _until(world, campaign, lambda one: one["orders"]["offline_waiting"] == 1)
    world.clock.advance(minutes=61)
    shown = await _until(world, campaign, lambda one: one["state"] == "failed")
    assert shown["orders"]["expired"] == 1 and "1 expired" in shown["detail"]


async def test_an_order_that_was_given_up_and_had_been_taken(world, site):
    campaign = await _start(world, expires_in_hours=1)
    order = await site.order()
    world.clock.advance(minutes=75)
    await _until(world, campaign, lambda one: one["state"] == "failed")
    await site.report(order, OrderPhase.RUNNING)
    await _until(world, campaign, lambda one: one["state"] == "running")
    await site.report(order, OrderPhase.SUCCEEDED, counts={"succeeded": 1})
    await _until(world, campaign, lambda one: one["state"] == "succeeded")


@pytest.mark.both_databases
async def test_who_loses_the_right_starts_nothing_more(world, site):
    admin = await world.member(Role.ADMIN)
    await _site(world, "Second")
    body = {"kind": "os.upgrade", "rollout": {"parallel": 1}}
    campaign = await admin.ok("POST", "~/campaigns", body)
    order = await site.order()
    await site.report(order, OrderPhase.RUNNING)
    await world.owner.ok("PATCH", f"~/users/{admin.account_id}", {"role": "viewer", "all_folders": True})
    await site.report(order, OrderPhase.RUNNING, progress=0.5)
    shown = await _until(world, campaign, lambda one: one["state"] == "stopped")
    assert "may not do such work any more" in shown["detail"]
    assert (await site.held()).wanted is Wanted.HOLD
    await world.owner.ok("POST", f"~/campaigns/{campaign['id']}/resume", {})
    assert (await site.order()).email == "owner@example.com"


@pytest.mark.both_databases
async def test_members_see_the_edge_hosts_they_reach(world, site):
    folder = await world.folder("Own")
    inside = await _site(world, "Inside", folder)
    viewer = await world.member(Role.VIEWER, folders=[folder])
    both = await _start(world)
    far = await _start(world, edge_hosts=[site.id])
    assert [one["id"] for one in (await viewer.ok("GET", "~/campaigns"))["campaigns"]] == [both["id"]]
    orders = (await viewer.ok("GET", f"~/campaigns/{both['id']}/orders"))["orders"]
    assert [one["edge_host_id"] for one in orders] == [inside.id]
    assert (await viewer("GET", f"~/campaigns/{far['id']}")).status == 404
    assert (await viewer("POST", "~/campaigns", {"kind": "os.upgrade"})).status == 403


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "coffee.make"}, "invalid_request"),
        ({"kind": "os.upgrade", "parameters": {"version": "latest"}}, "invalid_request"),
        ({"kind": "os.upgrade", "parameters": {"colour": 1}}, "invalid_request"),
        ({"kind": "os.upgrade", "edge_hosts": ["nowhere"]}, "not_found"),
        ({"kind": "os.upgrade", "folders": ["nowhere"]}, "not_found"),
        ({"kind": "os.upgrade", "rollout": {"stages": [50, 10, 100]}}, "invalid_request"),
        ({"kind": "os.upgrade", "starts_at": "2026-01-01T00:00:00"}, "invalid_request"),
        ({"kind": "policy.apply", "parameters": {"template": "nowhere"}}, "not_found"),
    ],
)
async def test_what_makes_no_sense_is_refused(world, site, body, code):
    reply = await world.owner("POST", "~/campaigns", body)
    assert reply.code == code, reply.text
    assert (await world.owner.ok("GET", "~/campaigns"))["campaigns"] == []


async def test_a_campaign_needs_an_edge_host_and_is_made_once(world):
    assert (await world.owner("POST", "~/campaigns", {"kind": "os.upgrade"})).code == "conflict"
    await world.edge()
    headers = {"Idempotency-Key": "one"}
    made = [
        await world.owner("POST", "~/campaigns", {"kind": "os.upgrade"}, headers=headers) for _ in range(2)
    ]
    assert made[0].body["id"] == made[1].body["id"]
    path = f"~/campaigns/{made[0].body['id']}"
    assert (await world.owner("DELETE", path)).code == "conflict"
    await world.owner.ok("POST", f"{path}/cancel")
    await _until(world, made[0].body, lambda one: one["state"] == "cancelled")
    assert (await world.owner("POST", f"{path}/cancel")).code == "conflict"
    assert (await world.owner("POST", f"{path}/pause")).code == "conflict"
    await world.owner.ok("DELETE", path)
    assert (await world.owner("GET", path)).status == 404


async def test_a_grant_is_no_order(world, site):
    await _start(world)
    order = await site.order()
    token = jwt.encode({"aud": order.aud}, "x" * 32, algorithm="HS256", headers={"typ": "farsite-order+jwt"})
    with pytest.raises(Exception, match="not signed"):
        verify_order(token, site._key, audience=order.aud, now=world.clock().timestamp())


@pytest.mark.both_databases
async def test_templates_have_versions_and_no_secrets(world, site):
    body = {"name": "Branch", "kind": "security", "settings": {"ssh": False}}
    made = await world.owner.ok("POST", "~/policy-templates", body)
    path = f"~/policy-templates/{made['id']}"
    assert (await world.owner("POST", "~/policy-templates", body)).code == "conflict"
    secret = body | {"name": "x", "settings": {"root_password": "hunter2"}}
    assert (await world.owner("POST", "~/policy-templates", secret)).code == "invalid_request"
    reply = await world.owner("GET", path)
    etag = {"If-Match": reply.headers["ETag"]}
    changed = await world.owner("PATCH", path, {"settings": {"ssh": True}}, headers=etag)
    assert changed.body["version"] == 2
    stale = await world.owner("PATCH", path, {"settings": {}}, headers=etag)
    assert (stale.status, stale.code) == (412, "precondition_failed")
    versions = (await world.owner.ok("GET", f"{path}/versions"))["versions"]
    assert [one["document"]["settings"] for one in versions] == [{"ssh": True}, {"ssh": False}]
    await _start(world, kind="policy.apply", parameters={"template": made["id"], "version": 1})
    document = (await site.order()).parameters["document"]
    assert (document["id"], document["revision"], document["settings"]) == (made["id"], 1, {"ssh": False})
    viewer = await world.member(Role.VIEWER)
    assert (await viewer("PATCH", path, {"settings": {}})).body["right"] == "policy.manage"
    await world.owner.ok("DELETE", path)
