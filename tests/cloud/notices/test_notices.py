"""Notices: who is told of what, once, in the product, by mail and by webhook."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_cloud.database import Scope
from farsite_cloud.notices.delivering import DISABLED_AFTER
from farsite_cloud.notices.events import emit
from farsite_cloud.notices.signing import signature
from farsite_signaling.wire.hub import AuditEntry, Report
from farsite_signaling.wire.notices_api import NoticeKind
from farsite_signaling.wire.rights import Role

SITE = NoticeKind.REMOTE_ACCESS_ACTIVE


@dataclass
class Receiver:
    """A webhook's other end: checks nothing by itself, answers `answers` first, then 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.received.append((dict(request.headers), await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    server = TestServer(app)
    await server.start_server()
    made.url = str(server.make_url("/hook"))
    yield made
    await server.close()


async def happen(world, *texts: str, kind: NoticeKind = SITE, **values: Any) -> None:
    async with world.services.database.writing() as session:
        scope = Scope(session, world.owner.org)
        for text in texts:
            await emit(scope, kind, text, key=text, now=world.clock(), **values)


async def told(world, person=None, count: int = 1, **query: str) -> list[dict[str, Any]]:
    """Waits until there are so many notices."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    async with asyncio.timeout(10):
        while True:
            await world.services.sweeper.wake()
            shown = (await (person or world.owner).ok("GET", f"~/notices?{asked}"))["notices"]
            if len(shown) >= count:
                return shown
            await asyncio.sleep(0.01)


async def deliveries(world, hook: dict[str, Any], test) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while True:
            await world.services.sweeper.wake()
            found = (await world.owner.ok("GET", f"~/webhooks/{hook['id']}/deliveries"))["deliveries"]
            if test(found):
                return found
            await asyncio.sleep(0.01)


async def test_told_in_the_product_and_marked_as_read(world):
    await happen(world, "Remote access to 'Site' is active.")
    await asyncio.sleep(0)
    assert (await world.owner.ok("GET", "~/notices"))["unread"] == 0
    world.clock.advance(seconds=6)
    [notice] = await told(world)
    assert notice["title"] == "Remote access to 'Site' is active." and notice["count"] == 1
    assert (await world.owner.ok("GET", "~/notices"))["unread"] == 1
    await world.owner.ok("POST", "~/notices/read", {"ids": [notice["id"]]})
    page = await world.owner.ok("GET", "~/notices")
    assert page["unread"] == 0 and page["notices"][0]["read_at"]
    assert (await world.owner.ok("GET", "~/notices?unread=true"))["notices"] == []


async def test_the_same_event_is_told_once(world):
    await happen(world, "once")
    await happen(world, "once")
    world.clock.advance(seconds=6)
    [notice] = await told(world)
    assert notice["count"] == 1
    await happen(world, "once")
    world.clock.advance(minutes=5)
    await world.services.sweeper.wake()
    assert len(await told(world)) == 1


@pytest.mark.both_databases
async def test_two_hundred_edge_hosts_make_one_mail_and_the_next_one_waits(world_in, smtp):
    server, settings = smtp
    world = await world_in(None, **settings)
    texts = [f"The edge host 'Site {number}' is offline." for number in range(200)]
    await happen(world, *texts, kind=NoticeKind.EDGE_OFFLINE)
    world.clock.advance(seconds=61)
    [notice] = await told(world)
    assert (notice["title"], notice["count"]) == ("200 edge hosts are offline", 200)
    await asyncio.wait_for(server.asked.wait(), 10)
    [mail] = server.received
    assert mail["Subject"] == "200 edge hosts are offline"
    assert "Site 0" in mail.get_content() and "and 150 more" in mail.get_content()
    # Those that come later wait for the pause, and are one notice again.
    await happen(world, "late 1", kind=NoticeKind.EDGE_OFFLINE)
    world.clock.advance(seconds=90)
    await happen(world, "late 2", kind=NoticeKind.EDGE_OFFLINE)
    await world.services.sweeper.wake()
    assert len(await told(world)) == 1
    world.clock.advance(seconds=211)
    newest = (await told(world, count=2))[0]
    assert newest["count"] == 2


async def test_only_members_who_may_know_are_told(world):
    folder = await world.folder("Own")
    here, _ = await world.edge(folder=folder)
    there, _ = await world.edge(name="Far")
    viewer = await world.member(Role.VIEWER, folders=[folder])
    await happen(world, "near", edge_host_id=here)
    await happen(world, "far", edge_host_id=there)
    await happen(world, "people", kind=NoticeKind.INVITATION)
    other = await world.other_organization()
    world.clock.advance(seconds=6)
    assert len(await told(world, count=2)) == 2
    [notice] = await told(world, viewer)
    assert (notice["title"], notice["count"]) == ("near", 1)
    assert (await other.ok("GET", "~/notices"))["notices"] == []


async def test_each_chooses_how_they_are_told(world):
    choices = (await world.owner.ok("GET", "~/notice-choices"))["choices"]
    by_kind = {one["kind"]: one["channels"] for one in choices}
    assert by_kind["edge_host.offline"] == ["mail", "product", "webhook"]
    assert by_kind["remote_access.active"] == ["product", "webhook"]
    body = {"choices": [{"kind": SITE, "channels": ["mail"]}]}
    changed = await world.owner.ok("PUT", "~/notice-choices", body)
    assert next(one for one in changed["choices"] if one["kind"] == SITE)["channels"] == ["mail"]
    await happen(world, "by mail only")
    await happen(world, "somebody", kind=NoticeKind.INVITATION)
    world.clock.advance(seconds=6)
    await told(world)
    assert [one["kind"] for one in await told(world)] == ["invitation"]
    async with asyncio.timeout(10):
        while not (mails := await world.mails()):
            await asyncio.sleep(0.01)
    assert mails[-1].content.subject == "by mail only"


@pytest.mark.both_databases
async def test_an_edge_host_that_stays_away_and_comes_back(world):
    edge_id, identity = await world.edge()
    peer = await world.connect(identity)
    await world.owner.ok("PUT", "~/notice-settings", {"offline_after_minutes": 2})
    await peer.socket.close()
    async with asyncio.timeout(10):
        while (await world.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["online"]:
            await asyncio.sleep(0.01)
    world.clock.advance(seconds=100)
    await world.services.sweeper.wake()
    await asyncio.sleep(0.05)
    world.clock.advance(seconds=30)

    async def until(kind: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                await world.services.sweeper.wake()
                world.clock.advance(seconds=20)
                shown = (await world.owner.ok("GET", f"~/notices?kind={kind}"))["notices"]
                if shown:
                    return shown[0]
                await asyncio.sleep(0.02)

    notice = await until("edge_host.offline")
    assert "'Site' is offline since" in notice["title"] and notice["count"] == 1
    await world.connect(identity)
    assert "'Site' is back" in (await until("edge_host.online"))["title"]


async def test_switching_remote_access_on_is_told(world):
    _, identity = await world.edge()
    peer = await world.connect(identity)
    report = {"version": "1", "devices_managed": 0, "devices_discovered": 0}
    await peer.send(Report(id="a", remote_access=False, **report))
    await peer.receive()
    await peer.send(Report(id="b", remote_access=True, **report))
    await peer.receive()
    world.clock.advance(seconds=6)
    [notice] = await told(world)
    assert "Remote access to the edge host 'Site' is active" in notice["title"]


async def reports(peer, **values: Any) -> None:
    counts = {"version": "1", "remote_access": False, "devices_managed": 0, "devices_discovered": 0}
    await peer.send(Report(id="a", **counts, **values))
    await peer.receive()


async def test_storage_that_fails_is_told_once_and_its_end_too(world):
    _, identity = await world.edge()
    peer = await world.connect(identity)
    for _ in range(3):
        await reports(peer, storage="full", storage_detail="Free some space.")
    world.clock.advance(minutes=2)
    [notice] = await told(world)
    assert notice["kind"] == "edge_host.storage_failing" and "'Site' is full" in notice["title"]
    await reports(peer)
    await reports(peer)
    world.clock.advance(minutes=2)
    recovered, _ = await told(world, count=2)
    assert "'Site' works again" in recovered["title"]
    # A word of a newer edge host is storage trouble, too.
    await reports(peer, storage="melted")
    world.clock.advance(minutes=10)
    assert "'Site' fails" in (await told(world, count=3))[0]["title"]


async def test_a_database_that_was_repaired_is_told_once(world):
    _, identity = await world.edge()
    peer = await world.connect(identity)
    row = AuditEntry(
        id="row1", at=world.clock(), actor="edge", action="edge.database_repaired", outcome="failed",
        details={"detail": "From the last copy came: devices."},
    )  # fmt: skip
    await reports(peer, audit=[row])
    await reports(peer, audit=[row])
    world.clock.advance(minutes=2)
    [notice] = await told(world)
    assert "'Site' was damaged and has been repaired. From the last copy" in notice["title"]
    assert notice["count"] == 1


async def test_a_certificate_that_was_not_renewed_is_told_once(world):
    await world.edge()
    world.clock.advance(days=80)
    [notice] = await _moving(world, "edge_host.certificate_expiring")
    assert "expires at" in notice["title"]
    world.clock.advance(hours=2)
    assert len(await _moving(world, "edge_host.certificate_expiring")) == 1


async def _moving(world, kind: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while True:
            await world.services.sweeper.wake()
            world.clock.advance(seconds=20)
            world.owner = await world.signed_in("owner@example.com", world.owner.org)
            if shown := (await world.owner.ok("GET", f"~/notices?kind={kind}"))["notices"]:
                return shown
            await asyncio.sleep(0.02)


# Webhooks


def verified(secret: str, given: tuple[dict[str, str], bytes]) -> dict[str, Any]:
    """As a receiver does it, by the specification's words."""
    headers, body = given
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert f"v1,{expected}" in headers["webhook-signature"].split(" ")
    return json.loads(body)


def test_the_specifications_own_example():
    """https://github.com/standard-webhooks/standard-webhooks, libraries/python/tests."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.fixture
async def hooked(world_in, receiver) -> tuple[Any, Receiver, dict[str, Any]]:
    world = await world_in(None, outbound_allowed=["127.0.0.1/32"])
    hook = await world.owner.ok("POST", "~/webhooks", {"name": "Chat", "url": receiver.url})
    return world, receiver, hook


async def test_a_signed_message_arrives(hooked):
    world, receiver, hook = hooked
    await happen(world, "Hello.")
    world.clock.advance(seconds=6)
    [sent] = await deliveries(world, hook, lambda found: found and found[0]["state"] == "delivered")
    message = verified(hook["secret"], receiver.received[0])
    assert message["type"] == SITE and message["data"]["items"][0]["text"] == "Hello."
    assert sent["status"] == 204 and sent["attempts"] == 1
    assert receiver.received[0][0]["webhook-id"] == sent["id"]
    assert "secret" not in await world.owner.ok("GET", f"~/webhooks/{hook['id']}")


@pytest.mark.both_databases
async def test_a_failing_receiver_is_tried_again_with_the_same_message(hooked):
    world, receiver, hook = hooked
    receiver.answers = [500, 302]
    await happen(world, "Hello.")
    world.clock.advance(seconds=6)
    [one] = await deliveries(world, hook, lambda found: found and found[0]["status"] == 500)
    assert one["state"] == "queued" and one["problem"] == "It answered 500."
    world.clock.advance(seconds=5)
    await deliveries(world, hook, lambda found: found[0]["status"] == 302)
    world.clock.advance(seconds=300)
    await deliveries(world, hook, lambda found: found[0]["state"] == "delivered")
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1
    assert len({body for _, body in receiver.received}) == 1
    assert (await world.owner.ok("GET", f"~/webhooks/{hook['id']}"))["failing_since"] is None


async def test_long_failure_switches_it_off_and_says_so(hooked):
    world, receiver, hook = hooked
    receiver.answers = [500] * 100
    await happen(world, "Hello.")
    world.clock.advance(seconds=6)
    await deliveries(world, hook, lambda found: found and found[0]["status"] == 500)
    world.clock.advance(days=DISABLED_AFTER.days)
    world.owner = await world.signed_in("owner@example.com", world.owner.org)
    [one] = await deliveries(world, hook, lambda found: found[0]["state"] == "failed")
    assert one["attempts"] == 2
    shown = await world.owner.ok("GET", f"~/webhooks/{hook['id']}")
    assert shown["enabled"] is False and shown["problem"] == "It answered 500."
    world.clock.advance(seconds=6)
    assert any("was switched off" in notice["title"] for notice in await told(world, count=2))
    await world.owner.ok("PATCH", f"~/webhooks/{hook['id']}", {"enabled": True})
    receiver.answers = []
    await happen(world, "Again.")
    world.clock.advance(minutes=2)
    await deliveries(world, hook, lambda found: found[0]["state"] == "delivered")


async def test_a_receiver_that_is_gone_is_not_asked_again(hooked):
    world, receiver, hook = hooked
    receiver.answers = [410]
    await happen(world, "Hello.")
    world.clock.advance(seconds=6)
    await deliveries(world, hook, lambda found: found and found[0]["state"] == "failed")
    assert (await world.owner.ok("GET", f"~/webhooks/{hook['id']}"))["enabled"] is False


async def test_a_test_message_and_a_new_secret(hooked):
    world, receiver, hook = hooked
    new = (await world.owner.ok("POST", f"~/webhooks/{hook['id']}/secret"))["secret"]
    made = await world.owner.ok("POST", f"~/webhooks/{hook['id']}/test")
    await deliveries(world, hook, lambda found: found[0]["state"] == "delivered")
    for secret in (new, hook["secret"]):
        assert verified(secret, receiver.received[0])["type"] == "test"
    world.clock.advance(days=2)
    world.owner = await world.signed_in("owner@example.com", world.owner.org)
    await world.owner.ok("POST", f"~/webhooks/{hook['id']}/test")
    await deliveries(world, hook, lambda found: len(found) == 2 and found[0]["state"] == "delivered")
    verified(new, receiver.received[1])
    with pytest.raises(AssertionError):
        verified(hook["secret"], receiver.received[1])
    assert made["id"] == receiver.received[0][0]["webhook-id"]


async def test_no_message_goes_inside(world, receiver, monkeypatch):
    async def answer(self, host, port, **how):
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answer)
    url = receiver.url.replace("http://127.0.0.1", "https://hooks.example.com")
    hook = await world.owner.ok("POST", "~/webhooks", {"name": "Inside", "url": url})
    await world.owner.ok("POST", f"~/webhooks/{hook['id']}/test")
    [one] = await deliveries(world, hook, lambda found: found and found[0]["state"] == "failed")
    assert "not on the public internet" in one["problem"]
    assert receiver.received == []


async def test_an_address_that_can_never_be_reached_makes_no_webhook(world):
    hook = await world.owner.ok("POST", "~/webhooks", {"name": "Chat", "url": "https://hooks.example.com/x"})
    for url, said in (
        ("ftp://example.com/x", "not an address"),
        ("https://user:secret@example.com/", "not an address"),
        ("javascript:alert(1)", "not an address"),
        ("http://hooks.example.com/x", "https://"),
        ("https://192.168.1.4/x", "outbound_allowed"),
        ("https://127.1/x", "outbound_allowed"),
        ("https://[::1]/x", "outbound_allowed"),
        ("https://169.254.169.254/latest", "outbound_allowed"),
        ("https://localhost/x", "outbound_allowed"),
    ):
        reply = await world.owner("POST", "~/webhooks", {"name": "x", "url": url})
        assert (reply.status, reply.code) == (400, "outbound_refused") and said in reply.body["detail"]
        reply = await world.owner("PATCH", f"~/webhooks/{hook['id']}", {"url": url})
        assert (reply.status, reply.code) == (400, "outbound_refused")
    assert (await world.owner.ok("GET", "~/webhooks"))["webhooks"][0]["url"] == hook["url"]


async def test_webhooks_are_their_owners_alone_and_end_with_membership(hooked):
    world, receiver, _ = hooked
    admin = await world.member(Role.ADMIN)
    own = await admin.ok("POST", "~/webhooks", {"name": "Mine", "url": receiver.url})
    assert (await world.owner("GET", f"~/webhooks/{own['id']}")).status == 404
    await world.owner.ok("DELETE", f"~/users/{admin.account_id}")
    await happen(world, "Hello.")
    world.clock.advance(seconds=6)
    await told(world)
    async with asyncio.timeout(10):
        while not receiver.received:
            await asyncio.sleep(0.01)
    assert len(receiver.received) == 1


async def test_secrets_and_addresses_are_not_in_the_database(hooked, tmp_path):
    world, receiver, hook = hooked
    folder = world.services.settings.data_dir
    for file in folder.glob("farsite.db*"):
        content = file.read_bytes()
        assert receiver.url.encode() not in content
        assert hook["secret"].encode() not in content
