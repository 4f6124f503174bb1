"""The audit log: one order, filtered, exported, verified; what is changed behind its back is found."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from farsite_cloud.audit.entry import tidy
from farsite_cloud.audit.keeping import AuditKeeping
from farsite_cloud.audit.log import Act, write
from farsite_cloud.audit.verify import verify_chain
from farsite_cloud.spreadsheets import safe_cell
from farsite_cloud.testing import OWNER_EMAIL
from farsite_signaling.wire.audit_api import AuditRow
from farsite_signaling.wire.audit_chain import OPERATOR, ChainCheck, Link, start
from farsite_signaling.wire.hub import AuditEntry, Report, ReportAccepted
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases


async def _act(world, number=1, action="test.act", actor="ann@example.com", **more):
    async with world.services.database.writing() as session:
        for _ in range(number):
            act = Act(action, actor, "192.0.2.1", [world.owner.org], **more)
            write(session, act, world.clock())


async def _verified(world, query=""):
    return await world.owner.ok("GET", f"~/audit/verification{query}")


async def _sql(world, statement):
    async with world.services.database.writing() as session:
        await session.execute(text(statement))


async def test_rows_have_one_order_and_the_chain_holds(world):
    await asyncio.gather(*(_act(world, action=f"test.{n}") for n in range(20)))
    rows = (await world.owner.ok("GET", "~/audit"))["rows"]
    numbers = [row["seq"] for row in rows]
    assert numbers == list(range(len(rows), 0, -1))
    result = await _verified(world)
    assert (result["ok"], result["last"], result["rows"]) == (True, len(rows), len(rows))


async def test_pages_follow_one_another(world):
    await _act(world, 25)
    seen, cursor = [], ""
    while True:
        page = await world.owner.ok("GET", f"~/audit?limit=10{cursor}")
        seen += [row["seq"] for row in page["rows"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == list(range(len(seen), 0, -1)) and len(seen) > 25
    assert (await world.owner("GET", "~/audit?cursor=eA")).code == "invalid_request"


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("UPDATE audit_events SET actor = 'nobody' WHERE seq = 3", "changed"),
        ("UPDATE audit_events SET details = '{\"a\": 1}' WHERE seq = 3", "changed"),
        ("DELETE FROM audit_events WHERE seq = 3", "missing"),
        ("UPDATE audit_events SET hash = 'x' WHERE seq = 3", "changed"),
    ],
)
async def test_what_is_changed_in_the_database_is_found(world, damage, kind):
    await _act(world, 6)
    await _sql(world, damage)
    result = await _verified(world)
    assert (result["ok"], result["broken"]["seq"], result["broken"]["kind"]) == (False, 3, kind)


async def test_cutting_the_end_off_is_found(world):
    await _act(world, 5)
    last = (await _verified(world))["last"]
    await _sql(world, f"DELETE FROM audit_events WHERE seq = {last}")
    assert (await _verified(world))["broken"]["seq"] == last


async def test_a_rewritten_log_does_not_fit_an_earlier_checkpoint(world):
    await _act(world, 4)
    kept = await world.owner.ok("POST", "~/audit/checkpoints")
    await _act(world, 2)
    assert (await _verified(world, f"?checkpoint={kept['token']}"))["ok"]
    await _rewrite(world)
    await _sql(world, "DELETE FROM audit_checkpoints")
    assert (await _verified(world))["ok"], "whoever holds the database can rewrite all of it"
    result = await _verified(world, f"?checkpoint={kept['token']}")
    assert (result["ok"], result["broken"]["kind"]) == (False, "rewritten")


async def _rewrite(world):
    """As somebody with the database and the code would."""
    from farsite_cloud.audit.append import extend
    from farsite_cloud.audit.ledger import Ledger

    async with world.services.database.writing() as session:
        ledger = Ledger(session, world.owner.org)
        head, rows = await ledger.lock(), await ledger.after(0, 1000)
        for row in rows:
            row.seq = None
        await session.flush()
        head.seq, head.hash = 0, start(world.owner.org).hash
        for row in rows:
            row.actor = "nobody"
            extend(session, head, row)


async def test_checkpoints_of_others_are_refused(world):
    other = await world.other_organization()
    foreign = await other.ok("POST", "~/audit/checkpoints")
    reply = await world.owner("GET", f"~/audit/verification?checkpoint={foreign['token']}")
    assert reply.code == "signature_invalid"
    assert (await world.owner("GET", "~/audit/verification?checkpoint=x.y.z")).code == "signature_invalid"
    stored = await world.owner.ok("GET", "~/audit/checkpoints")
    assert foreign["token"] not in [one["token"] for one in stored["checkpoints"]]


async def test_a_forged_kept_checkpoint_is_found(world):
    await world.owner.ok("POST", "~/audit/checkpoints")
    await _sql(world, "UPDATE audit_checkpoints SET hash = " + repr("0" * 64))
    assert (await _verified(world))["broken"]["kind"] == "checkpoint_invalid"


async def test_filters(world):
    edge_id, _ = await world.edge()
    viewer = await world.member(Role.VIEWER)
    await viewer("PATCH", f"~/edge-hosts/{edge_id}", {"name": "x"})
    world.clock.advance(hours=1)
    await _act(world, action="tunnel.close", actor="bob@example.com", details={"naïve": 'say "hi"'})

    async def found(query):
        rows = (await world.owner.ok("GET", f"~/audit?{query}"))["rows"]
        return [row["action"] for row in rows]

    assert await found("actor=BOB@") == ["tunnel.close"]
    assert await found("outcome=refused") == ["authorization"]
    assert await found("action=tunnel") == ["tunnel.close"]
    assert await found("action=tunne") == []
    assert "edge_host.claimed" in await found(f"edge={edge_id}")
    assert await found("actor=%25") == []
    assert await found("text=na%C3%AFve") == ["tunnel.close"]
    assert await found("text=say%20%22hi%22") == ["tunnel.close"]
    since = (world.clock() - timedelta(minutes=1)).isoformat().replace("+", "%2B")
    assert await found(f"since={since}") == ["tunnel.close"]
    assert "tunnel.close" not in await found(f"until={since}")
    assert await found(f"source=192.0.2&text=bob&until={since}") == []
    for bad in ("outcome=maybe", "since=yesterday", "actor=", "nonsense=1"):
        assert (await world.owner("GET", f"~/audit?{bad}")).code == "invalid_request", bad


async def test_the_operators_log_has_what_concerns_no_organization(world):
    body = {"email": "stranger@example.com", "password": "wrong password"}
    assert (await world.stranger("POST", "/auth/sign-in", body)).code == "sign_in_failed"
    async with world.services.database.reading() as session:
        rows = (await session.execute(text("SELECT action, outcome, seq FROM operator_events"))).all()
    assert rows == [("account.sign_in", "refused", 1)]
    assert (await verify_chain(world.services.database, OPERATOR)).ok


async def test_export_as_json_lines_can_be_verified_anywhere(world):
    await _act(world, 3, details={"f": 1.5, "n": None, "s": "ü"})
    reply = await world.owner("GET", "~/audit/export")
    rows = [AuditRow.model_validate_json(line) for line in reply.text.splitlines()]
    check = ChainCheck(start(world.owner.org))
    assert all(check.take(row) for row in rows)
    last = int(reply.headers["X-Farsite-Last"])
    assert check.finish(Link(last, rows[-1].hash or "")) is None
    assert (await world.audit())[0]["action"] == "audit.exported"
    assert (await world.owner("GET", "~/audit/export?text=%C3%BC")).text.count("\n") == 3


async def test_export_as_csv_carries_no_formulas(world):
    await _act(world, target='=HYPERLINK("http://evil")', actor="@sum(a1)", details={"a": "line\nbreak"})
    reply = await world.owner("GET", "~/audit/export?format=csv&action=test.act")
    assert reply.headers["Content-Type"].startswith("text/csv")
    [row] = list(csv.DictReader(io.StringIO(reply.text)))
    assert (row["target"], row["actor"]) == ('\'=HYPERLINK("http://evil")', "'@sum(a1)")
    assert json.loads(row["details"]) == {"a": "line\nbreak"}


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", " =1", "\uff1d1", "|x"])
def test_cells_that_would_be_calculated_are_text(text):
    assert safe_cell(text) == "'" + text


async def test_export_of_many_rows_is_streamed_in_order(world):
    await _act(world, 1203)
    reply = await world.owner("GET", "~/audit/export?action=test")
    numbers = [json.loads(line)["seq"] for line in reply.text.splitlines()]
    assert len(numbers) == 1203 and numbers == sorted(numbers)


def _entry(number, **changes):
    values = {
        "id": f"r{number}",
        "actor": "local",
        "action": "act",
        "outcome": "allowed",
        "target": str(number),
    }
    return values | changes


async def test_reported_rows_are_kept_once_and_in_order_even_in_racing_reports(world):
    _, identity = await world.edge()
    authorizer = world.running.cloud.hub._authorizer
    counts = {"version": "1", "remote_access": True, "devices_managed": 0, "devices_discovered": 0}

    def report(*numbers):
        rows = [AuditEntry(**_entry(n, at=world.clock())) for n in numbers]
        return Report(id="x", audit=rows, **counts)

    reports = [report(1, 2, 2, 3), report(1, 2, 3), report(1, 2, 3, 4), report(3, 4)]
    await asyncio.gather(*(authorizer.report_received(identity.urn, one) for one in reports))
    await authorizer.report_received(identity.urn, report(5, 1))
    rows = [row["target"] for row in reversed(await world.audit("act"))]
    assert rows == ["1", "2", "3", "4", "5"]
    assert (await _verified(world))["ok"]


async def test_absurd_reported_rows_do_not_break_the_log(world):
    _, identity = await world.edge()
    peer = await world.connect(identity)
    deep: object = 1
    for _ in range(50):
        deep = {"a": deep}
    raw = {
        "type": "report", "id": "1", "version": "1", "remote_access": True, "devices_managed": 0,
        "devices_discovered": 0,
        "audit": [
            _entry(1, at="0001-01-01T00:00:00+14:00", details={"n": 10**300, "deep": deep, "t": "a\u0000\nb"}),
            _entry(2, at="2026-01-01T00:00:00", details={"x": "y" * 20000}),
        ],
    }  # fmt: skip
    body = json.dumps(raw).replace('"n":', '"inf": 1e999, "n":')
    await peer.socket.send_str(body)
    await peer.expect(ReportAccepted)
    first = (await world.audit("act"))[1]
    assert first["details"]["inf"] == "inf" and first["details"]["t"] == "a\ufffd\nb"
    assert (await _verified(world))["ok"]


def test_details_are_what_json_carries():
    assert tidy({"a": {1, 2}, "b": float("nan"), "c": Role.ADMIN, "d": True}) == {
        "a": [1, 2], "b": "nan", "c": "admin", "d": True,
    }  # fmt: skip


async def test_old_rows_are_let_go_and_the_rest_still_verifies(world):
    await _act(world, 30)
    world.clock.advance(days=10)
    world.owner.token = (await world.signed_in(OWNER_EMAIL)).token
    await _act(world, 5)
    before = await _verified(world)
    services = world.services
    keeping = AuditKeeping(services.database, services.vault, world.clock, retention_days=5)
    await keeping.run()
    result = await _verified(world)
    assert result["ok"] and result["first"] > 30 and result["last"] > before["last"]
    rows = (await world.owner.ok("GET", "~/audit?limit=500"))["rows"]
    assert rows[-1]["seq"] == result["first"]
    assert [row["details"] for row in rows if row["action"] == "audit.trimmed"] == [
        {"rows": result["first"] - 1}
    ]
    await keeping.run()
    assert len([row for row in await world.audit() if row["action"] == "audit.trimmed"]) == 1
    # Letting go of rows oneself needs the authority's signature.
    await _sql(world, "UPDATE audit_chains SET floor_seq = floor_seq + 1, floor_hash = 'x'")
    assert (await _verified(world))["broken"]["kind"] == "missing"


async def test_an_older_release_beside_this_one_writes_rows_that_are_taken_in(world):
    await _sql(
        world,
        "INSERT INTO audit_events (id, organization_id, at, actor, action, target, outcome, source, details) VALUES "
        f"('0old', '{world.owner.org}', '2026-01-01 00:00:00.000000', 'a', 'old.act', '', 'allowed', '', '{{}}')",
    )
    services = world.services
    await AuditKeeping(services.database, services.vault, world.clock, 0).run()
    assert [row["action"] for row in (await world.audit())[:2]] == ["audit.adopted", "old.act"]
    result = await _verified(world)
    assert result["ok"] and result["checkpoints"] == 1


async def test_a_unit_of_work_that_fails_leaves_no_row_and_no_gap(world):
    before = await _verified(world)
    with pytest.raises(RuntimeError):
        async with world.services.database.writing() as session:
            write(session, Act("lost", "a", "", [world.owner.org]), world.clock())
            raise RuntimeError
    await _act(world)
    after = await _verified(world)
    assert after["ok"] and after["last"] == before["last"] + 1
