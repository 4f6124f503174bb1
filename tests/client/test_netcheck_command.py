"""`farsite netcheck`: signed in, signed out, and with nothing known."""

from __future__ import annotations

import json

from farsite_client.testing import PASSWORD


async def test_signed_out_it_checks_what_is_known(cli, fake_cloud):
    ran = await cli("netcheck", "--cloud", fake_cloud.url, "--json")
    report = json.loads(ran.out)
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["hub TCP"]["result"] == "PASS"
    assert (rows["TURN"]["result"], rows["TURN"]["fix"]) == (
        "WARN",
        "Sign in to have the relays checked: farsite login",
    )
    # This cloud has no hub.
    assert rows["hub WebSocket"]["result"] == "FAIL"
    assert ran.code == 1
    assert report["allow_list"]


async def test_signed_in_it_asks_for_credentials(cli, fake_cloud):
    login = ("login", fake_cloud.url, "--email", "ada@example.com", "--password-stdin")
    assert (await cli(*login, stdin=PASSWORD)).code == 0
    ran = await cli("netcheck")
    assert ("POST", "/api/v1/organizations/org1/relay-check") in fake_cloud.requests
    assert "PASS  hub TCP" in ran.out
    assert "the cloud has no relay" in " ".join(ran.out.split())
    assert "Allow in the firewall:" in ran.out
    assert "\x1b" not in ran.out


async def test_another_cloud_is_never_given_the_sign_in(cli, fake_cloud):
    login = ("login", fake_cloud.url, "--email", "ada@example.com", "--password-stdin")
    assert (await cli(*login, stdin=PASSWORD)).code == 0
    before = len(fake_cloud.requests)
    other = fake_cloud.url.replace("127.0.0.1", "localhost")
    ran = await cli("netcheck", "--cloud", other, "--json")
    assert {row["name"]: row["result"] for row in json.loads(ran.out)["rows"]}["TURN"] == "WARN"
    asked = fake_cloud.headers[before:]
    assert all("Authorization" not in headers for headers in asked)


async def test_without_any_cloud_it_says_how_to_name_one(cli):
    ran = await cli("netcheck")
    assert ran.code == 1
    assert "--cloud" in ran.err


async def test_a_name_that_does_not_exist_fails(cli):
    ran = await cli("netcheck", "--cloud", "https://cloud.invalid")
    assert ran.code == 1
    assert "FAIL  DNS cloud.invalid" in ran.out
