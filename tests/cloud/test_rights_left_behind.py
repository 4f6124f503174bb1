"""What somebody made while they might, after they may no longer: nothing of it goes on working for them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_cloud.accounts.models import Account
from farsite_cloud.database import Scope
from farsite_cloud.notices.events import emit
from farsite_cloud.users.service import Users
from farsite_signaling.identity import generate_key, make_request
from farsite_signaling.wire.notices_api import NoticeKind
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases


async def _disable(world, account_id: str) -> None:
    async with world.services.database.writing() as session:
        account = await session.get(Account, account_id)
        account.disabled_at = world.clock()


async def _happen(world, text: str, kind: NoticeKind = NoticeKind.CERTIFICATE_EXPIRING) -> None:
    async with world.services.database.writing() as session:
        await emit(Scope(session, world.owner.org), kind, text, key=text, now=world.clock())
    world.clock.advance(minutes=2)
    async with asyncio.timeout(10):
        while True:
            await world.services.sweeper.wake()
            found = (await world.owner.ok("GET", "~/notices"))["notices"]
            if any(text in one["title"] for one in found):
                return
            await asyncio.sleep(0.01)


async def _claim(world, code: str):
    return await world.stranger("POST", "/claims", {"code": code, "csr": make_request(generate_key(), "e")})


# disabled


async def test_a_disabled_person_is_told_nothing_more(world_in):
    world = await world_in(None, outbound_allowed=["127.0.0.1/32"])
    admin = await world.member(Role.ADMIN, email="mallory@example.com")
    received: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        received.append(await request.read())
        return web.Response(status=500 if len(received) == 1 else 204)

    app = web.Application()
    app.router.add_post("/hook", take)
    async with TestServer(app) as server:
        await admin.ok("POST", "~/webhooks", {"name": "Mine", "url": str(server.make_url("/hook"))})
        await _happen(world, "Before.")
        async with asyncio.timeout(10):
            while not received:
                await asyncio.sleep(0.01)
        mails = len(await world.mails("mallory@example.com"))
        await _disable(world, admin.account_id)
        # What is tried again, and what is new.
        world.clock.advance(hours=1)
        await _happen(world, "After.")
        own = await world.owner.ok(
            "POST", "~/webhooks", {"name": "Owner's", "url": str(server.make_url("/hook"))}
        )
        await world.owner.ok("POST", f"~/webhooks/{own['id']}/test")
        async with asyncio.timeout(10):
            while not any(b"This is a test" in one for one in received):
                await world.services.sweeper.wake()
                await asyncio.sleep(0.01)
        assert len(received) == 2
    assert mails == 1
    assert len(await world.mails("mallory@example.com")) == 1


async def test_a_campaign_of_a_disabled_person_stops(world):
    admin = await world.member(Role.ADMIN)
    await world.edge()
    starts = (world.clock() + timedelta(hours=1)).isoformat()
    campaign = await admin.ok("POST", "~/campaigns", {"kind": "os.upgrade", "starts_at": starts})
    await _disable(world, admin.account_id)
    world.clock.advance(hours=2)
    async with asyncio.timeout(10):
        while True:
            await world.services.sweeper.wake()
            shown = await world.owner.ok("GET", f"~/campaigns/{campaign['id']}")
            if shown["state"] == "stopped":
                break
            await asyncio.sleep(0.01)
    assert "may not do such work any more" in shown["detail"]


async def test_a_setup_code_of_a_disabled_program_claims_nothing(world):
    program = await world.service(Role.ADMIN)
    code = (await program.ok("POST", "~/setup-codes", {"name": "Site"}))["code"]
    await world.owner.ok("PATCH", f"~/service-accounts/{program.account_id}", {"disabled": True})
    assert (await _claim(world, code)).code == "setup_code_expired"


# demoted


async def test_a_setup_code_of_who_may_claim_no_more_claims_nothing(world):
    admin = await world.member(Role.ADMIN)
    code = (await admin.ok("POST", "~/setup-codes", {"name": "Site"}))["code"]
    await world.owner.ok("PATCH", f"~/users/{admin.account_id}", {"role": "viewer", "all_folders": True})
    assert (await _claim(world, code)).code == "setup_code_expired"


# removed


async def test_who_was_removed_does_not_come_back_by_an_invitation_from_before(world):
    await world.owner.ok("POST", "~/invitations", {"emails": ["ann@example.com"], "role": "admin"})
    ann = await world.account("ann@example.com")
    [waiting] = (await ann.ok("GET", "/me/invitations"))["invitations"]
    # A member by another way meanwhile: the identity provider's.
    async with world.services.database.writing() as session:
        users = Users(Scope(session, world.owner.org))
        await users.add(ann.account_id, Role.VIEWER, [], all_folders=True, now=world.clock())
    await world.owner.ok("DELETE", f"~/users/{ann.account_id}")
    assert (await ann("POST", f"/me/invitations/{waiting['id']}/accept")).status == 404
    assert (await ann("GET", f"/organizations/{world.owner.org}")).status == 404
    assert (await world.owner.ok("GET", "~/invitations"))["invitations"] == []


async def test_who_was_removed_is_not_let_in_as_support_from_before(world):
    support = await world.supporter(Role.ADMIN)
    email = "support-admin-" + world.owner.org[-6:] + "@example.com"
    await world.owner.ok("POST", "~/invitations", {"emails": [email], "role": "viewer", "all_folders": True})
    [waiting] = (await support.ok("GET", "/me/invitations"))["invitations"]
    await support.ok("POST", f"/me/invitations/{waiting['id']}/accept")
    assert (await support.ok("GET", "~"))["role"] == "viewer"
    await world.owner.ok("DELETE", f"~/users/{support.account_id}")
    assert (await support("GET", "~")).status == 404
    [access] = (await world.owner.ok("GET", "~/support-access"))["support"]
    assert (access["active"], access["ended_by"]) == (False, "owner@example.com")


# never more than one has


async def test_a_narrow_token_widens_nobodys_reach(world):
    here, there = await world.folder("Here"), await world.folder("There")
    viewer = await world.member(Role.VIEWER, folders=[here])
    body = {"name": "script", "scopes": ["user.manage", "user.read"], "expires_in_days": 7}
    made = await world.owner.ok("POST", "/me/tokens", body)
    script = type(world.owner)(world.http, world.running.url, world.owner.org, made["token"])
    for change in ({"all_folders": True}, {"folder_ids": [here, there]}, {"folder_ids": [there]}):
        reply = await script("PATCH", f"~/users/{viewer.account_id}", change)
        assert (reply.status, reply.code) == (403, "forbidden"), reply.text
    # What takes away is not held up.
    await world.owner.ok("PATCH", f"~/users/{viewer.account_id}", {"folder_ids": [here, there]})
    assert (await script("PATCH", f"~/users/{viewer.account_id}", {"folder_ids": [here]})).status == 200


async def test_programs_get_no_mail(world):
    await world.service(Role.ADMIN)
    await _happen(world, "Soon.")
    assert [mail.recipient for mail in await world.mails() if "Soon." in mail.content.text] == [
        "owner@example.com"
    ]
