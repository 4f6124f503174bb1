"""Mail against a real SMTP server on this machine, and the outbox without one."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from typing import Any

import aiohttp
from sqlalchemy import text

from farsite_cloud.mail.letters import Letter, render
from farsite_cloud.mail.queue import GIVE_UP_AFTER, LEASE, MailState, put, take
from farsite_cloud.mail.sending import TIMEOUT, Smtp
from farsite_cloud.testing import run_cloud


async def _states(world) -> list[str]:
    async with world.services.database.reading() as session:
        return list(await session.scalars(text("SELECT state FROM mails ORDER BY id")))


async def _until(world, states: list[str]) -> None:
    async with asyncio.timeout(10):
        while await _states(world) != states:
            await asyncio.sleep(0.01)


async def test_mails_leave_through_the_server_and_their_words_are_dropped(world_in, smtp):
    server, settings = smtp
    world = await world_in(None, **settings)
    assert world.services.mailer.warning is None
    assert (await world.stranger("POST", "/auth/sign-up", {"email": "new@example.com"})).status == 204
    await server.wait()
    [message] = server.received
    assert message["To"] == "new@example.com"
    assert message["Subject"] == "Confirm your e-mail address"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "farsite account confirm" in message.get_content()
    await _until(world, ["sent"])
    assert await world.mails() == []


async def test_a_busy_server_is_tried_again_and_the_mail_stays_the_same(world_in, smtp):
    server, settings = smtp
    world = await world_in(None, **settings)
    server.replies = ["451 later", "250 taken"]
    await world.stranger("POST", "/auth/sign-up", {"email": "new@example.com"})
    await server.wait()
    async with asyncio.timeout(10):
        while not (await world.mails())[0].problem:
            await asyncio.sleep(0.01)
    assert "451" in (world.services.mailer.warning or "")
    world.clock.advance(seconds=31)
    await world.services.mailer.wake()
    await server.wait()
    await _until(world, ["sent"])
    assert len(server.received) == 1
    assert world.services.mailer.warning is None


async def test_what_the_server_refuses_for_good_is_kept_for_the_operator(world_in, smtp):
    server, settings = smtp
    world = await world_in(None, **settings)
    server.replies = ["550 no such user"]
    await world.stranger("POST", "/auth/sign-up", {"email": "new@example.com"})
    await server.wait()
    await _until(world, ["failed"])
    [mail] = await world.mails()
    assert "no such user" in mail.problem and mail.content.text


async def test_a_server_that_is_down_does_not_stop_anything(world_in):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    world = await world_in(None, smtp_host="127.0.0.1", smtp_port=port, smtp_security="none")
    assert (await world.stranger("POST", "/auth/sign-up", {"email": "new@example.com"})).status == 204
    async with asyncio.timeout(10):
        while not (await world.mails())[0].problem:
            await asyncio.sleep(0.01)
    assert (await world.mails())[0].state == MailState.QUEUED
    async with world.http.get(f"{world.running.url}/readyz") as reply:
        assert "mail is not leaving" in str(await reply.json())


async def test_a_cloud_that_is_closed_does_not_wait_for_a_silent_server(smtp, tmp_path):
    server, settings = smtp
    server.silent = True
    async with run_cloud(tmp_path, **settings) as running:
        body = {"email": "new@example.com"}
        async with aiohttp.request("POST", f"{running.url}/api/v1/auth/sign-up", json=body) as reply:
            assert reply.status == 204
        await server.wait()
        closing = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - closing < TIMEOUT / 2


async def test_a_cancellation_the_library_drops_is_noticed_all_the_same(smtp, tmp_path, monkeypatch):
    """As `asyncio.wait_for` did before Python 3.12, when the answer came at the same time."""
    server, settings = smtp
    server.silent = True
    exchange = Smtp._exchange

    async def dropping(self: Smtp, *arguments: Any) -> None:
        with suppress(asyncio.CancelledError):
            await exchange(self, *arguments)

    monkeypatch.setattr(Smtp, "_exchange", dropping)
    async with asyncio.timeout(None) as closing, run_cloud(tmp_path, **settings) as running:
        body = {"email": "new@example.com"}
        async with aiohttp.request("POST", f"{running.url}/api/v1/auth/sign-up", json=body) as reply:
            assert reply.status == 204
        await server.wait()
        closing.reschedule(asyncio.get_running_loop().time() + TIMEOUT / 2)


async def test_encryption_is_demanded_where_it_is_set(world_in, smtp):
    server, settings = smtp
    world = await world_in(None, **settings | {"smtp_security": "starttls"})
    await world.stranger("POST", "/auth/sign-up", {"email": "new@example.com"})
    async with asyncio.timeout(10):
        while not (await world.mails())[0].problem:
            await asyncio.sleep(0.01)
    assert server.received == []


async def test_two_workers_never_take_the_same_mail_and_a_crash_loses_none(world):
    database, vault, clock = world.services.database, world.services.vault, world.clock
    async with database.writing() as session:
        put(session, "a@example.com", render(Letter.ALREADY_KNOWN, email="a@b", url="u"), vault, clock())

    async def one() -> Any:
        async with database.writing() as session:
            return await take(session, vault, clock())

    taken = await asyncio.gather(one(), one(), one())
    assert sum(mail is not None for mail in taken) == 1
    clock.advance(seconds=LEASE.total_seconds())
    again = await one()
    assert again is not None and again.attempts == 2
    assert GIVE_UP_AFTER > LEASE


def test_names_cannot_write_lines_into_a_mail():
    content = render(
        Letter.INVITATION,
        invited_by="a@example.com",
        organization="Evil\r\nBcc: x@example.com\r\n\r\nClick here",
        email="b@example.com",
        url="https://cloud",
        role="viewer",
        until="soon",
        code="code",
    )
    assert "\n" not in content.subject and "\r" not in content.subject + content.text
    assert "\nBcc" not in content.text


async def test_without_a_server_the_operator_reads_the_outbox(tmp_path, commands):
    async with run_cloud(tmp_path) as running:
        assert "farsite cloud outbox" in running.cloud.services.mailer.warning
        await running.request("POST", "/auth/sign-up", {"email": "new@example.com"})
        folder = ("cloud", "outbox", "--data-dir", str(tmp_path))
        for arguments in (folder, (*folder, "--json")):
            ran = await commands.run(*arguments, env=os.environ)
            assert ran.code == 0
            if "--json" in arguments:
                [mail] = json.loads(ran.out)["mails"]
                assert (mail["to"], mail["state"]) == ("new@example.com", "queued")
            else:
                assert "Confirm your e-mail address" in ran.out
    assert b"Confirm your" not in (tmp_path / "farsite.db").read_bytes()
