from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest
from sqlalchemy import text

from farsite_signaling.identity import OrganizationTrust, generate_key, load_public_key, make_request

pytestmark = pytest.mark.both_databases


def _claim(code: str, csr: str | None = None) -> dict[str, str]:
    csr = csr or make_request(generate_key(), "edge")
    return {"code": code, "csr": csr, "hostname": "edge.local", "version": "0.1.0"}


async def test_a_claim_gives_identity_and_trust(world):
    made = await world.owner.ok("POST", "~/setup-codes", {"name": "Harbour", "description": "North quay"})
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}", made["code"])
    result = await world.stranger.ok("POST", "/claims", _claim(made["code"]))
    name, certificate = OrganizationTrust(result["ca"]).verify(result["certificate"], world.clock())
    assert str(name) == result["name"] == f"urn:farsite:{world.owner.org}:edge:{result['edge_id']}"
    assert (certificate.not_valid_after_utc - world.clock()).days == 90
    load_public_key(result["grant_key"])
    assert result["hub_url"] == world.running.hub_url
    edge = await world.owner.ok("GET", f"~/edge-hosts/{result['edge_id']}")
    assert (edge["name"], edge["description"], edge["hostname"]) == ("Harbour", "North quay", "edge.local")
    assert edge["online"] is False


async def test_a_name_is_given_to_one_edge_host(world):
    edge_id, _ = await world.edge(name="Straße")
    other, _ = await world.edge(name="Quay")
    taken = await world.owner("POST", "~/setup-codes", {"name": "STRASSE"})
    assert (taken.status, taken.code) == (409, "conflict")
    assert "'Straße'" in taken.body["detail"] and "another name" in taken.body["detail"]
    renamed = await world.owner("PATCH", f"~/edge-hosts/{other}", {"name": "Strasse", "description": "x"})
    assert (renamed.status, renamed.code) == (409, "conflict")
    assert (await world.owner.ok("GET", f"~/edge-hosts/{other}"))["description"] == ""
    # Its own name in other letters is no other's, and that of a removed one is free.
    await world.owner.ok("PATCH", f"~/edge-hosts/{edge_id}", {"name": "STRASSE"})
    await world.owner.ok("DELETE", f"~/edge-hosts/{edge_id}?risk_confirmed=true")
    await world.owner.ok("PATCH", f"~/edge-hosts/{other}", {"name": "Strasse"})
    elsewhere = await world.other_organization()
    await world.edge(elsewhere, name="Strasse")


async def test_those_of_one_name_from_before_stay_and_are_edited(world):
    edge_id, _ = await world.edge(name="Harbour")
    twin, _ = await world.edge(name="Quay")
    async with world.services.database.writing() as session:
        await session.execute(text("UPDATE edge_hosts SET name = 'Harbour' WHERE id = :id"), {"id": twin})
    for one in (edge_id, twin):
        change = {"name": "Harbour", "description": "North quay"}
        assert (await world.owner.ok("PATCH", f"~/edge-hosts/{one}", change))["name"] == "Harbour"
    assert (await world.owner.ok("PATCH", f"~/edge-hosts/{twin}", {"name": "Quay"}))["name"] == "Quay"


async def test_codes_of_one_name_used_at_the_same_moment_make_two_names(world):
    codes = [await world.setup_code(name="Harbour" + "r" * 93) for _ in range(5)]
    replies = await asyncio.gather(*(world.stranger("POST", "/claims", _claim(code)) for code in codes))
    assert {reply.status for reply in replies} == {201}
    names = sorted(reply.body["edge_name"] for reply in replies)
    shortened = "Harbour" + "r" * 85
    assert names == sorted(["Harbour" + "r" * 93, *(f"{shortened} ({number})" for number in (2, 3, 4, 5))])
    listed = (await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"]
    assert sorted(one["name"] for one in listed) == names


async def test_of_renames_to_one_name_at_the_same_moment_one_wins(world):
    ids = [(await world.edge())[0] for _ in range(5)]
    tries = (world.owner("PATCH", f"~/edge-hosts/{one}", {"name": "Harbour"}) for one in ids)
    outcomes = Counter(reply.status for reply in await asyncio.gather(*tries))
    assert outcomes == {200: 1, 409: 4}


async def test_a_code_may_be_typed_carelessly(world):
    code = await world.setup_code()
    careless = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    await world.stranger.ok("POST", "/claims", _claim(careless))


async def test_of_fifty_racing_claims_exactly_one_wins(world):
    """Security row S5."""
    code = await world.setup_code()
    claims = [_claim(code) for _ in range(50)]
    replies = await asyncio.gather(*(world.stranger("POST", "/claims", claim) for claim in claims))
    outcomes = Counter(reply.code or reply.status for reply in replies)
    assert outcomes == {201: 1, "setup_code_used": 49}
    assert len((await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"]) == 1


async def test_unknown_used_and_expired_codes_are_told_apart(world):
    code = await world.setup_code()
    await world.stranger.ok("POST", "/claims", _claim(code))
    used = await world.stranger("POST", "/claims", _claim(code))
    assert (used.status, used.code) == (409, "setup_code_used")
    late = await world.setup_code()
    world.clock.advance(minutes=15)
    expired = await world.stranger("POST", "/claims", _claim(late))
    assert (expired.status, expired.code) == (410, "setup_code_expired")
    unknown = await world.stranger("POST", "/claims", _claim("0000-0000-0000"))
    assert (unknown.status, unknown.code) == (404, "setup_code_invalid")


async def test_a_code_lasts_until_just_before_its_time(world):
    code = await world.setup_code()
    world.clock.advance(minutes=14, seconds=59)
    await world.stranger.ok("POST", "/claims", _claim(code))


@pytest.mark.parametrize("csr", ["", "nonsense", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END"])
async def test_a_bad_request_does_not_use_up_the_code(world, csr):
    code = await world.setup_code()
    refused = await world.stranger("POST", "/claims", {"code": code, "csr": csr})
    assert (refused.status, refused.code) == (400, "invalid_request")
    await world.stranger.ok("POST", "/claims", _claim(code))


async def test_guessing_codes_locks_the_address_out_for_longer_and_longer(world):
    for number in range(5):
        assert (await world.stranger("POST", "/claims", _claim(f"{number:012}"))).status == 404
    code = await world.setup_code()
    waits = []
    for _ in range(4):
        limited = await world.stranger("POST", "/claims", _claim(code))
        assert (limited.status, limited.code) == (429, "rate_limited")
        waits.append(int(limited.headers["Retry-After"]))
        world.clock.advance(seconds=waits[-1])
        assert (await world.stranger("POST", "/claims", _claim("0000-0000-0000"))).status == 404
    assert waits == [1, 2, 4, 8]


async def test_guesses_that_come_together_are_answered_as_few_times(world):
    """Security row S5: lock-out after five."""
    wrong = [_claim(f"{number:012}") for number in range(50)]
    replies = await asyncio.gather(*(world.stranger("POST", "/claims", claim) for claim in wrong))
    assert Counter(reply.code for reply in replies) == {"setup_code_invalid": 5, "rate_limited": 45}
    right = _claim(await world.setup_code())
    assert (await world.stranger("POST", "/claims", right)).code == "rate_limited"
    world.clock.advance(seconds=1)
    await world.stranger.ok("POST", "/claims", right)


async def test_a_code_of_one_organization_claims_for_no_other(world):
    other = await world.other_organization()
    await world.edge(other)
    assert (await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"] == []
    assert len((await other.ok("GET", "~/edge-hosts"))["edge_hosts"]) == 1


async def test_claims_and_refusals_are_audited(world):
    code = await world.setup_code()
    await world.stranger.ok("POST", "/claims", _claim(code))
    await world.stranger("POST", "/claims", _claim(code))
    refused, allowed = await world.audit("edge_host.claimed")
    assert (allowed["outcome"], refused["outcome"]) == ("allowed", "refused")
    assert allowed["target"].startswith(f"urn:farsite:{world.owner.org}:edge:")
    assert refused["details"]["code"] == "setup_code_used"
    [made] = await world.audit("setup_code.created")
    assert made["actor"] == "owner@example.com"


async def test_a_setup_code_for_a_foreign_folder_is_refused(world):
    other = await world.other_organization()
    [folder] = (await other.ok("GET", "~/folders"))["folders"]
    refused = await world.owner("POST", "~/setup-codes", {"name": "x", "folder_id": folder["id"]})
    assert refused.status == 404


async def test_a_claim_repeated_with_its_key_gives_the_same_edge_host(world):
    claim = _claim(await world.setup_code())
    headers = {"Idempotency-Key": "try-1"}
    first = await world.stranger("POST", "/claims", claim, headers=headers)
    world.clock.advance(minutes=20)
    again = await world.stranger("POST", "/claims", claim, headers=headers)
    assert first.status == again.status == 201
    assert again.body["certificate"] == first.body["certificate"]
    assert again.body["server_time"] > first.body["server_time"]
    other_body = claim | {"hostname": "other"}
    assert (await world.stranger("POST", "/claims", other_body, headers=headers)).code == "conflict"
    assert len((await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"]) == 1


async def test_a_setup_code_repeated_with_its_key_is_the_same_code(world):
    headers = {"Idempotency-Key": "same"}
    one = await world.owner("POST", "~/setup-codes", {"name": "A"}, headers=headers)
    two = await world.owner("POST", "~/setup-codes", {"name": "A"}, headers=headers)
    three = await world.owner("POST", "~/setup-codes", {"name": "A"})
    assert one.body["code"] == two.body["code"] != three.body["code"]
    admin = await world.member(role="admin")
    theirs = await admin("POST", "~/setup-codes", {"name": "A"}, headers=headers)
    assert theirs.body["code"] != one.body["code"]
    assert len(await world.audit("setup_code.created")) == 3
