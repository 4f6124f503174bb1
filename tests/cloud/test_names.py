"""Names are one line of text that can be shown and stored anywhere."""

from __future__ import annotations

import pytest

from farsite_signaling.identity import generate_key, make_request
from farsite_signaling.wire.hub import AuditEntry, Report, ReportAccepted
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.rights import Role

BAD = ["a\0b", "a\nb", "a\x1b[31mb", "a\x7fb", "a\u2028b", "a\u202egpj.exe"]


@pytest.mark.parametrize("text", BAD)
async def test_control_characters_are_refused(world, text):
    edge_id, _ = await world.edge()
    csr = make_request(generate_key(), "x")
    for person, method, path, body in [
        (world.owner, "POST", "~/setup-codes", {"name": text}),
        (world.owner, "POST", "~/client-certificates", {"name": text, "csr": csr}),
        (world.owner, "PATCH", f"~/edge-hosts/{edge_id}", {"name": text}),
        (world.stranger, "POST", "/claims", {"code": "x", "csr": csr, "hostname": text}),
        (world.stranger, "POST", "/auth/sign-in", {"email": text, "password": "x"}),
    ]:
        reply = await person(method, path, body)
        assert (reply.status, reply.code) == (400, "invalid_request"), (path, reply.text)
        assert "control characters" in reply.body["detail"]


async def test_every_script_and_line_breaks_in_descriptions_are_welcome(world):
    edge_id, _ = await world.edge(name="مستودع 倉庫 👩‍🔧")
    assert (await world.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["name"] == "مستودع 倉庫 👩‍🔧"
    change = {"description": "one\ntwo\tthree"}
    assert (await world.owner.ok("PATCH", f"~/edge-hosts/{edge_id}", change))[
        "description"
    ] == "one\ntwo\tthree"
    bad = await world.owner("PATCH", f"~/edge-hosts/{edge_id}", {"description": "a\0b"})
    assert bad.code == "invalid_request"


async def test_what_an_edge_host_reports_is_cleaned(world):
    edge_id, identity = await world.edge()
    peer = await world.connect(identity)
    row = AuditEntry(
        id="r1", at=world.clock(), actor="a\0b", action="x\ny", target="\x1b[2J", outcome="allowed"
    )
    counts = {"devices_managed": 0, "devices_discovered": 0}
    await peer.send(Report(id="1", version="1\0", hostname="h\n", remote_access=True, audit=[row], **counts))
    assert (await peer.expect(ReportAccepted)).id == "1"
    edge = await world.owner.ok("GET", f"~/edge-hosts/{edge_id}")
    assert (edge["version"], edge["hostname"]) == ("1\ufffd", "h\ufffd")
    [kept] = await world.audit("x\ufffdy")
    assert (kept["actor"], kept["target"]) == ("a\ufffdb", "\ufffd[2J")


async def test_a_path_with_control_characters_is_cleaned_in_the_audit_log(world):
    viewer = await world.member(Role.VIEWER)
    assert (await viewer("DELETE", "~/edge-hosts/a%00%0Ab")).status == 403
    [row] = await world.audit("authorization")
    assert row["target"].endswith("a\ufffd\ufffdb")


def test_clean_leaves_plain_text_alone():
    assert clean("Größe 倉庫 👩‍🔧\u00a0") == "Größe 倉庫 👩‍🔧\u00a0"
