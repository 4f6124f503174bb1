from __future__ import annotations

import pytest

from farsite_signaling.identity import Identity, generate_key, make_request, sign_renewal
from farsite_signaling.wire.hub import Bye, Report, ReportAccepted, SessionEnded, Welcome

pytestmark = pytest.mark.both_databases


async def test_the_list_is_paged_by_cursor(world):
    ids = [(await world.edge(name=f"Site {number}"))[0] for number in range(5)]
    found, cursor = [], ""
    for _ in range(3):
        page = await world.owner.ok("GET", f"~/edge-hosts?limit=2{cursor}")
        found += [edge["id"] for edge in page["edge_hosts"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(found) == sorted(ids)
    assert page["next_cursor"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "cursor=%00%ff", "page=2"])
async def test_a_bad_page_is_refused(world, query):
    refused = await world.owner("GET", f"~/edge-hosts?{query}")
    assert (refused.status, refused.code) == (400, "invalid_request")


async def test_edits_notice_what_others_changed(world):
    edge_id, _ = await world.edge()
    path = f"~/edge-hosts/{edge_id}"
    tag = (await world.owner("GET", path)).headers["ETag"]
    changed = await world.owner("PATCH", path, {"name": "New"}, headers={"If-Match": tag})
    assert changed.body["name"] == "New"
    assert changed.headers["ETag"] != tag
    stale = await world.owner("PATCH", path, {"name": "Newer"}, headers={"If-Match": tag})
    assert (stale.status, stale.code) == (412, "precondition_failed")
    assert (await world.owner.ok("GET", path))["name"] == "New"
    await world.owner.ok("PATCH", path, {"description": "<script>alert(1)</script>"})
    assert (await world.owner.ok("GET", path))["description"] == "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("change", "status"),
    [({"name": ""}, 400), ({"name": "x" * 101}, 400), ({"colour": "red"}, 400), ({"folder_id": "no"}, 404)],
)
async def test_a_bad_edit_changes_nothing(world, change, status):
    edge_id, _ = await world.edge()
    refused = await world.owner("PATCH", f"~/edge-hosts/{edge_id}", change)
    assert refused.status == status
    assert (await world.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["name"] == "Site"


async def test_an_edge_host_is_online_while_connected(world):
    edge_id, identity = await world.edge()
    peer = await world.connect(identity)
    assert isinstance(peer.seen[-1], Welcome)
    assert (await world.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["online"] is True


async def test_removing_an_edge_host_cuts_its_connection_and_its_sessions(world):
    edge_id, identity = await world.edge()
    edge, client_identity = await world.connect(identity), await world.client()
    client = await world.connect(client_identity)
    ticket = await world.owner.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client_identity.urn})
    await edge.receive()
    assert (await world.owner("DELETE", f"~/edge-hosts/{edge_id}?risk_confirmed=true")).status == 204
    ended = await client.expect(SessionEnded)
    assert (ended.session, ended.code) == (ticket["session"], "certificate_revoked")
    assert (await edge.expect(SessionEnded)).session == ticket["session"]
    bye = await edge.expect(Bye)
    assert (bye.code, bye.retry) == ("certificate_revoked", False)
    assert await edge.receive() is None
    again = await world.connect(identity)
    assert again.seen[-1].code == "certificate_revoked"
    assert (await world.owner("GET", f"~/edge-hosts/{edge_id}")).status == 404
    assert (await world.owner("DELETE", f"~/edge-hosts/{edge_id}?risk_confirmed=true")).status == 404
    assert (await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"] == []
    refused, allowed = await world.audit("edge_host.revoked")
    assert (allowed["outcome"], refused["outcome"]) == ("allowed", "refused")
    assert allowed["details"]["sessions_ended"] == 1


async def test_reports_update_the_edge_host_and_its_audit_rows_once(world):
    edge_id, identity = await world.edge()
    edge = await world.connect(identity)
    entry = {
        "id": "row-1",
        "at": world.clock(),
        "actor": "anna@example.com",
        "action": "stream.open",
        "target": "ACCC8E000001",
        "outcome": "refused",
        "session": "s1",
        "details": {"port": 80},
    }
    report = {"version": "0.2.0", "hostname": "edge", "remote_access": True}
    counts = {"devices_managed": 3, "devices_discovered": 4}
    for number in range(2):
        message = Report.model_validate({"id": f"r{number}", **report, **counts, "audit": [entry]})
        await edge.send(message)
        assert (await edge.expect(ReportAccepted)).id == f"r{number}"
    found = await world.owner.ok("GET", f"~/edge-hosts/{edge_id}")
    assert {**report, **counts}.items() <= found.items()
    assert found["last_seen"] is not None
    [row] = await world.audit("stream.open")
    assert (row["actor"], row["outcome"], row["details"]) == ("anna@example.com", "refused", {"port": 80})
    assert row["source"] == f"edge {edge_id}"


def _renewal(identity: Identity, csr: str, now: float, **changes: str) -> dict[str, str]:
    body = {"certificate": identity.certificate_pem, "csr": csr, "proof": sign_renewal(identity, csr, now)}
    return body | changes


async def test_a_certificate_is_renewed_by_the_key_of_the_current_one(world):
    edge_id, identity = await world.edge()
    world.clock.advance(days=60)
    world.owner = await world.signed_in("owner@example.com", world.owner.org)
    key = generate_key()
    csr = make_request(key, "edge")
    renewed = await world.stranger.ok(
        "POST", "/edge/renewals", _renewal(identity, csr, world.clock().timestamp())
    )
    assert renewed["name"] == identity.urn
    fresh = Identity.from_pem(key, renewed["certificate"])
    assert (fresh.certificate.not_valid_after_utc - world.clock()).days == 90
    for either in (identity, fresh):
        assert isinstance((await world.connect(either)).seen[-1], Welcome)
    edge = await world.owner.ok("GET", f"~/edge-hosts/{edge_id}")
    assert edge["certificate_expires_at"] == renewed["expires_at"]


async def test_a_renewal_without_proof_is_refused(world):
    edge_id, identity = await world.edge()
    _, stranger = await world.edge()
    csr, now = make_request(generate_key(), "edge"), world.clock().timestamp()
    post = world.stranger
    other_csr = make_request(generate_key(), "edge")
    swapped = await post("POST", "/edge/renewals", _renewal(identity, csr, now) | {"csr": other_csr})
    assert (swapped.status, swapped.code) == (401, "signature_invalid")
    forged = _renewal(stranger, csr, now, certificate=identity.certificate_pem)
    assert (await post("POST", "/edge/renewals", forged)).code == "signature_invalid"
    old = await post("POST", "/edge/renewals", _renewal(identity, csr, now - 700))
    assert old.code == "clock_skew"
    assert "-700 s" in old.body["detail"]
    assert (await post("POST", "/edge/renewals", _renewal(identity, csr, now, proof="x"))).status == 401
    client = await world.client()
    assert (await post("POST", "/edge/renewals", _renewal(client, csr, now))).code == "forbidden"
    await world.owner.ok("DELETE", f"~/edge-hosts/{edge_id}?risk_confirmed=true")
    revoked = await post("POST", "/edge/renewals", _renewal(identity, csr, now))
    assert revoked.code == "certificate_revoked"
    world.clock.advance(days=91)
    late = await post("POST", "/edge/renewals", _renewal(stranger, csr, world.clock().timestamp()))
    assert late.code == "certificate_expired"
