"""What many peers need at once is looked up and kept together, and each still gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import pytest

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.signaling.batches import MOST, Batches
from farsite_cloud.signaling.reports import keep_quiet
from farsite_signaling.identity import CertificateAuthority, Identity, generate_key, make_request
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import AuditEntry, Bye, Report, Welcome
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, EdgeId, EdgeName, OrgId, parse_name

pytestmark = pytest.mark.both_databases


class Slow:
    """Doubles numbers, when it is let; odd ones are refused, and nothing is done with zero."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.let = asyncio.Semaphore(0)
        self.begun = asyncio.Event()

    async def answer(self, asked: Mapping[int, int]) -> Mapping[int, int | FarsiteError]:
        self.batches.append(list(asked.values()))
        self.begun.set()
        await self.let.acquire()
        if 0 in asked.values():
            raise OSError("the database is away")
        odd = FarsiteError(ErrorCode.FORBIDDEN, "odd")
        return {number: odd if value % 2 else 2 * value for number, value in asked.items()}


@pytest.fixture
async def slow():
    slow = Slow()
    batches = Batches(slow.answer)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(batches.run(), name="batches")
        yield slow, batches, group
        task.cancel()


async def _asked(group, batches, *values):
    tasks = [group.create_task(_answer(batches, value)) for value in values]
    await asyncio.sleep(0)
    return tasks


async def _answer(batches, value):
    try:
        return await batches.ask(value)
    except (FarsiteError, OSError) as error:
        return error


async def test_who_asks_alone_is_not_kept_waiting_and_the_others_come_together(slow):
    slow, batches, group = slow
    (first,) = await _asked(group, batches, 2)
    await slow.begun.wait()
    rest = await _asked(group, batches, 4, 5, *range(10, 10 + MOST))
    for _ in range(3):
        slow.let.release()
    assert await first == 4
    assert await rest[0] == 8
    assert (await rest[1]).code == ErrorCode.FORBIDDEN
    await asyncio.wait(rest)
    assert [len(batch) for batch in slow.batches] == [1, MOST, 2]


async def test_a_failure_is_that_of_its_batch_alone(slow):
    slow, batches, group = slow
    failed = await _asked(group, batches, 0, 2)
    await slow.begun.wait()
    (later,) = await _asked(group, batches, 6)
    slow.let.release()
    slow.let.release()
    assert [str(await one) for one in failed] == ["the database is away"] * 2
    assert await later == 12


async def test_nobody_asks_for_those_who_have_gone(slow):
    slow, batches, group = slow
    await _asked(group, batches, 2)
    await slow.begun.wait()
    gone, there = await _asked(group, batches, 4, 6)
    gone.cancel()
    slow.let.release()
    slow.let.release()
    assert await there == 12
    assert slow.batches == [[2], [6]]


async def test_who_still_waits_at_the_end_is_refused():
    slow = Slow()
    batches = Batches(slow.answer)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(batches.run(), name="batches")
        asked = await _asked(group, batches, 2)
        await slow.begun.wait()
        asked += await _asked(group, batches, 4)
        task.cancel()
    assert [(await one).code for one in asked] == [ErrorCode.UNAVAILABLE] * 2
    with pytest.raises(FarsiteError, match="closing"):
        await batches.ask(2)


def _forged(world, name) -> Identity:
    key = generate_key()
    authority = CertificateAuthority.create("Farsite", world.clock())
    return Identity.from_pem(key, authority.issue(make_request(key, "x"), name, now=world.clock()))


def _edge_of(identity: Identity) -> EdgeName:
    name = parse_name(identity.urn)
    assert isinstance(name, EdgeName)
    return name


async def test_each_of_many_who_come_at_once_is_judged_by_itself(world):
    org = OrgId(world.owner.org)
    edges = [(await world.edge(name=f"Site {number}"))[1] for number in range(6)]
    client = await world.client()
    removed = edges.pop()
    await world.owner.ok("DELETE", f"~/edge-hosts/{_edge_of(removed).edge}?risk_confirmed=true")
    other = await world.other_organization()
    account = parse_name(client.urn)
    assert isinstance(account, ClientName)
    refused = {
        removed: "certificate_revoked",
        _forged(world, _edge_of(edges[0])): "certificate_invalid",
        _forged(world, EdgeName(OrgId(other.org), _edge_of(edges[0]).edge)): "certificate_invalid",
        _forged(world, EdgeName(OrgId("nowhere"), EdgeId("x"))): "certificate_invalid",
        _forged(world, ClientName(org, AccountId("other"), ClientId(account.client))): "certificate_invalid",
    }
    peers = await asyncio.gather(*(world.connect(one) for one in [*edges, client, *refused]))
    last = [peer.seen[-1] for peer in peers]
    assert all(isinstance(one, Welcome) for one in last[: len(edges) + 1]), last
    assert [one.code for one in last[len(edges) + 1 :] if isinstance(one, Bye)] == list(refused.values())


async def test_all_of_many_who_go_at_once_were_seen_last_when_they_went(world):
    edges = [await world.edge(name=f"Site {number}") for number in range(8)]
    await asyncio.gather(*(world.connect(identity) for _, identity in edges))
    world.clock.advance(minutes=3)
    await world.running.cloud.hub.close()
    async with world.services.database.reading() as session:
        found = await EdgeHosts(Scope(session, world.owner.org)).by_id([edge for edge, _ in edges])
    assert {edge.last_seen for edge in found.values()} == {world.clock()}
    assert len(found) == len(edges)
    assert timedelta(minutes=3) <= world.clock() - found[edges[0][0]].claimed_at


def _report(**other) -> Report:
    told = {
        "id": "r1",
        "version": "1.2",
        "remote_access": True,
        "devices_managed": 3,
        "devices_discovered": 4,
    }
    return Report(**{**told, **other})


async def test_of_many_reports_those_that_say_nothing_new_are_signs_of_life(world):
    org, other = OrgId(world.owner.org), OrgId((await world.other_organization()).org)
    edges = [_edge_of((await world.edge(name=f"Site {number}"))[1]) for number in range(4)]
    authorizer = world.running.cloud.hub._authorizer
    for edge in edges[:3]:
        await authorizer.report_received(str(edge), _report())
    world.clock.advance(minutes=1)
    row = AuditEntry(id="a", at=world.clock(), actor="x", action="x", target="x", outcome="allowed")
    reports = [
        (edges[0], _report(devices_other=0)),
        (edges[0], _report(devices_managed=9)),
        (edges[1], _report(audit=[row])),
        (edges[2], _report(storage="full")),
        (edges[3], _report()),
        (EdgeName(other, edges[0].edge), _report()),
        (EdgeName(org, EdgeId("nobody")), _report()),
    ]
    quiet = await keep_quiet(world.services.database, dict(enumerate(reports)), world.clock())
    assert [number for number, is_quiet in quiet.items() if is_quiet] == [0]
    assert len(quiet) == len(reports)
    async with world.services.database.reading() as session:
        found = await EdgeHosts(Scope(session, org)).by_id([edge.edge for edge in edges])
    assert found[edges[0].edge].last_seen == world.clock()
    assert found[edges[1].edge].last_seen == world.clock() - timedelta(minutes=1)


async def test_whose_storage_fails_is_heard_when_it_is_well_again(world):
    edge = _edge_of((await world.edge())[1])
    authorizer = world.running.cloud.hub._authorizer
    for storage in ("ok", "full"):
        await authorizer.report_received(str(edge), _report(storage=storage))
    well = {0: (edge, _report())}
    assert await keep_quiet(world.services.database, well, world.clock()) == {0: False}
    await authorizer.report_received(str(edge), _report())
    assert await keep_quiet(world.services.database, well, world.clock()) == {0: True}
