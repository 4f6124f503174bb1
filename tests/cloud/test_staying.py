"""How long sign-ins last: without use, and at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from farsite_cloud.accounts.service import find_account
from farsite_cloud.accounts.staying import Stay, ends_of
from farsite_cloud.accounts.tokens import Origin, issue
from farsite_cloud.settings import load_settings
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.rights import Role
from tests.cloud.cluster_rig import two_clouds

NOW = datetime(2027, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("used", "stay", "unused", "at_last"),
    [
        (None, Stay(), 14, 90),
        (5, Stay(), 19, 90),
        (89, Stay(), 103, 90),
        (5, Stay().shortened(7, None), 12, 90),
        (5, Stay().shortened(None, 30), 19, 30),
        (5, Stay().shortened(100, 1000), 19, 90),
    ],
)
def test_ends(used, stay, unused, at_last):
    used_at = None if used is None else NOW + used * DAY
    ends = ends_of(NOW, used_at, NOW + 90 * DAY, stay)
    assert ((ends.unused - NOW) / DAY, (ends.at_last - NOW) / DAY) == (unused, at_last)
    ends.check(ends.first - timedelta(seconds=1))
    with pytest.raises(FarsiteError, match="without use" if unused < at_last else "has expired"):
        ends.check(ends.first)


def test_what_is_said_names_the_days():
    with pytest.raises(FarsiteError, match=r"after a day without use. Sign in again \(farsite login\)"):
        ends_of(NOW, None, NOW + 90 * DAY, Stay().shortened(1, None)).check(NOW + DAY)


def test_settings():
    assert Stay.of(load_settings({}, environ={})) == Stay()
    given = load_settings({}, environ={"FARSITE_SIGN_IN_IDLE_DAYS": "3", "FARSITE_SIGN_IN_DAYS": "9"})
    assert Stay.of(given) == Stay(3 * DAY, 9 * DAY)


async def _used(world, person) -> None:
    """Use a sign-in, until it is written when that was."""
    async with asyncio.timeout(20):
        while True:
            found = (await person.ok("GET", "/me/sessions"))["sessions"]
            [own] = [one for one in found if one["current"]]
            if own["used_at"] is not None and datetime.fromisoformat(own["used_at"]) >= world.clock():
                return
            await asyncio.sleep(0.05)


async def test_who_comes_back_stays_and_who_does_not_is_told(world):
    for _ in range(6):
        world.clock.advance(days=13)
        await _used(world, world.owner)
    other = await world.signed_in("owner@example.com", world.owner.org)
    world.clock.advance(days=12)
    assert (
        (await world.owner("GET", "/me")).body["detail"].startswith("Your sign-in has expired. Sign in again")
    )
    world.clock.advance(days=2)
    for method, body in [("GET", None), ("PATCH", {"name": "x"})]:
        late = await other(method, "/me", body)
        assert (late.status, late.code) == (401, "token_expired")
        assert late.body["detail"].startswith("You were signed out after 14 days without use.")


async def test_the_strictest_of_ones_organizations_counts(world):
    ann = await world.member(Role.VIEWER)
    change = {"sign_in_idle_days": 3, "sign_in_days": 8}
    assert (await world.owner.ok("PATCH", "~", change)).items() >= change.items()
    [listed] = (await ann.ok("GET", "/me/sessions"))["sessions"]
    assert listed["unused_until"][:10] == f"{world.clock() + 3 * DAY:%Y-%m-%d}"
    assert listed["expires_at"][:10] == f"{world.clock() + 8 * DAY:%Y-%m-%d}"
    await _used(world, ann)
    world.clock.advance(days=2)
    fresh = await world.signed_in("owner@example.com", world.owner.org)
    await _used(world, ann)
    world.clock.advance(days=2)
    await ann.ok("GET", "~/folders")
    assert (await world.owner("GET", "~/folders")).code == "token_expired"
    # What has ended by itself is not listed; the cloud's own rule is had again by 0.
    sessions = (await fresh.ok("GET", "/me/sessions"))["sessions"]
    assert [one["current"] for one in sessions] == [True]
    assert (await fresh.ok("PATCH", "~", {"sign_in_idle_days": 0}))["sign_in_idle_days"] is None


async def test_access_tokens_have_an_end_and_no_idleness(world):
    body = {"name": "script", "scopes": ["device.read", "organization.read"], "expires_in_days": 60}
    made = await world.owner.ok("POST", "/me/tokens", body)
    script = type(world.owner)(world.http, world.running.url, world.owner.org, made["token"])
    await world.owner.ok("PATCH", "~", {"sign_in_idle_days": 1, "sign_in_days": 2})
    world.clock.advance(days=59)
    await script.ok("GET", "~/folders")
    world.owner.token = (await world.signed_in("owner@example.com")).token
    async with asyncio.timeout(20):
        while not (listed := (await world.owner.ok("GET", "/me/tokens"))["tokens"][0])["used_at"]:
            await asyncio.sleep(0.05)
    assert listed["used_at"][:10] == f"{world.clock():%Y-%m-%d}"
    world.clock.advance(days=1)
    assert "access token has expired" in (await script("GET", "~/folders")).body["detail"]


async def test_a_provider_vouches_for_a_week_only(world):
    async with world.services.database.writing() as session:
        account = await find_account(session, "owner@example.com")
        _, until = await issue(session, account, world.clock(), Origin(organization_id=world.owner.org))
    assert until == world.clock() + 7 * DAY


async def test_no_session_outlasts_the_sign_in_it_was_asked_for_with(world):
    edge_id, identity = await world.edge()
    await world.connect(identity)
    client = await world.client()
    await world.owner.ok("PATCH", "~", {"sign_in_days": 1})
    world.clock.advance(hours=23)
    ticket = await world.owner.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    assert datetime.fromisoformat(ticket["expires_at"]) == world.clock() + timedelta(hours=1)


async def test_two_processes_agree(tmp_path, clock, monkeypatch, new_database, redis_url):
    settings = {"redis": redis_url, "database_timeout": 10}
    async with (
        new_database() as url,
        two_clouds(tmp_path, clock, monkeypatch, database=url, **settings) as two,
    ):
        clock.advance(days=10)
        await _used(two.a, two.a.owner)
        clock.advance(days=10)
        # Used at one of them ten days ago: good at the other one.
        await _used(two.b, two.b.owner)
        clock.advance(days=15)
        for world in (two.b, two.a):
            assert "without use" in (await world.owner("GET", "/me")).body["detail"]
