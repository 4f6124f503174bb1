"""Signing a device in through a browser, and attacks on it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pyotp
import pytest

from farsite_cloud.accounts import mfa
from farsite_cloud.accounts.service import find_account
from farsite_cloud.accounts.tokens import revoke_all
from farsite_cloud.browser import service
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.wire.rights import Role
from tests.cloud.test_grant_races import _until_it_waits

PASSWORD = "a good long password"


@dataclass
class Browser:
    """Fills in forms as a browser does: cookies, hidden fields, its own origin."""

    http: aiohttp.ClientSession
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    status: int = 0
    answer: Any = None

    async def open(self, path: str = "/device", **query: str) -> str:
        return await self._go("GET", path, params=query)

    async def submit(self, path: str, **fields: str) -> str:
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.text))
        return await self._go("POST", path, data=hidden | fields)

    async def _go(self, method: str, path: str, **what: Any) -> str:
        headers = ({"Origin": self.url} if method == "POST" else {}) | self.headers
        async with self.http.request(method, self.url + path, headers=headers, **what) as response:
            self.text, self.status, self.answer = await response.text(), response.status, response
        return self.text

    async def sign_in(self, email: str, password: str, user_code: str = "", **more: str) -> str:
        await self.open(user_code=user_code)
        return await self.submit("/device/sign-in", email=email, password=password, **more)


@pytest.fixture
async def browsers(world):
    """Browsers with cookies of their own."""
    opened = []

    def make(**headers: str) -> Browser:
        http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        opened.append(http)
        return Browser(http, world.running.url, headers)

    yield make
    for http in opened:
        await http.close()


async def _start(world, **body):
    return await world.stranger.ok("POST", "/auth/device", {"name": "farsite on laptop"} | body)


async def _poll(world, started):
    return await world.stranger("POST", "/auth/device/token", {"device_code": started["device_code"]})


@pytest.mark.both_databases
async def test_a_device_is_approved_and_signed_in_like_any_other(world, browsers):
    started = await _start(world)
    assert re.fullmatch(r"[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}", started["user_code"])
    assert started["verification_uri_complete"].startswith(started["verification_uri"])
    assert (await _poll(world, started)).code == "authorization_pending"
    browser = browsers()
    await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD)
    assert "Type the code" in browser.text
    await browser.submit("/device/code", user_code=started["user_code"].lower().replace("-", " "))
    assert "farsite on laptop" in browser.text and "127.0.0.1" in browser.text
    await browser.submit("/device/answer", answer="approve")
    assert "Approved" in browser.text
    world.clock.advance(seconds=5)
    result = (await _poll(world, started)).body
    assert result["account"]["email"] == OWNER_EMAIL
    [*_, listed] = (await world.owner.ok("GET", "/me/sessions"))["sessions"]
    listed = [one for one in (await world.owner.ok("GET", "/me/sessions"))["sessions"] if not one["current"]]
    assert [one["agent"] for one in listed] == ["farsite on laptop"]
    device = await world.signed_in(OWNER_EMAIL, world.owner.org)
    device.token = result["token"]
    await device.ok("GET", "~/edge-hosts")
    assert (await world.owner("DELETE", f"/me/sessions/{listed[0]['id']}")).status == 204
    assert (await device("GET", "~/edge-hosts")).code == "unauthenticated"
    [approved] = await world.audit("account.device_approved")
    assert approved["actor"] == OWNER_EMAIL
    # Once collected it is gone, and the browser was signed in for this alone.
    assert (await _poll(world, started)).code == "code_invalid"
    assert "Sign in a device" in await browser.open()


async def test_denied_too_fast_and_too_late(world, browsers):
    denied, late = await _start(world), await _start(world)
    browser = browsers()
    await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD, denied["user_code"])
    await browser.submit("/device/answer", answer="deny")
    assert (await _poll(world, denied)).code == "access_denied"
    assert (await _poll(world, late)).code == "authorization_pending"
    assert (await _poll(world, late)).code == "slow_down"
    world.clock.advance(seconds=6)
    assert (await _poll(world, late)).code == "slow_down", "five seconds more than before"
    world.clock.advance(seconds=16)
    assert (await _poll(world, late)).code == "authorization_pending"
    world.clock.advance(minutes=10)
    assert (await _poll(world, late)).code == "expired_token"
    await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD, late["user_code"])
    assert browser.status == 400 and "expired" in browser.text


async def test_a_second_factor_is_asked_for_and_counts(world, browsers):
    async with world.services.database.writing() as session:
        account = await find_account(session, OWNER_EMAIL)
        secret = mfa.new_secret(account, world.services.vault)
        account.totp_since = world.clock()
    started, browser = await _start(world), browsers()
    await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD, started["user_code"])
    assert browser.status == 401 and "second factor" in browser.text
    code = pyotp.TOTP(secret).at(world.clock())
    await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD, started["user_code"], code=code)
    await browser.submit("/device/answer", answer="approve")
    token = (await _poll(world, started)).body["token"]
    person = await world.signed_in(OWNER_EMAIL)
    person.token = token
    assert [one["mfa"] for one in (await person.ok("GET", "/me/sessions"))["sessions"] if one["current"]] == [
        True
    ]


async def test_user_codes_are_not_guessed(world, browsers):
    await _start(world)
    browser = browsers()
    await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD)
    form = browser.text
    answers = []
    for number in range(8):
        browser.text = form
        await browser.submit("/device/code", user_code=f"BCDF-GHJ{'KLMNPQRS'[number]}")
        answers.append(browser.status)
    assert answers[:5] == [400] * 5 and answers[-1] == 429
    assert browser.answer.headers["Retry-After"]


async def test_device_codes_are_not_guessed(world):
    codes = []
    for number in range(12):
        reply = await world.stranger("POST", "/auth/device/token", {"device_code": f"guess {number}"})
        codes.append(reply.code)
    assert codes[0] == "code_invalid" and codes[-1] == "rate_limited"


async def test_codes_are_not_in_the_database(world):
    started = await _start(world)
    raw = b"".join(file.read_bytes() for file in world.services.settings.data_dir.glob("farsite.db*"))
    assert started["device_code"].encode() not in raw
    assert started["user_code"].encode() not in raw
    assert started["user_code"].replace("-", "").encode() not in raw


async def test_a_form_of_another_site_does_nothing(world, browsers):
    started, browser = await _start(world), browsers()
    await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD, started["user_code"])
    page = browser.text
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[evil"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        browser.headers, browser.text = headers, page
        await browser.submit("/device/answer", answer="approve")
        assert browser.status == 403, headers
    browser.headers = {}
    for form in ("", "0" * 64):
        browser.text = page
        await browser.submit("/device/answer", answer="approve", form=form)
        assert browser.status == 403, form
    assert (await _poll(world, started)).code == "authorization_pending"


async def test_a_stranger_cannot_sign_somebody_in_as_themselves(world, browsers):
    """Login CSRF: a form without this browser's own token, or with another browser's."""
    mine, theirs = browsers(), browsers()
    await theirs.open()
    mine.text = theirs.text
    await mine.submit("/device/sign-in", email=OWNER_EMAIL, password=OWNER_PASSWORD)
    assert mine.status == 403
    await mine.open()
    mine.text = theirs.text
    await mine.submit("/device/sign-in", email=OWNER_EMAIL, password=OWNER_PASSWORD)
    assert mine.status == 403


async def test_a_name_that_was_pointed_here_is_no_page_of_ours(world, browsers):
    """Security row S8: DNS rebinding. The browser thinks that the cloud is the attacker's site, and says so."""
    browser = browsers(Host="rebound.example", Origin="http://rebound.example")
    await browser.open()
    await browser.submit("/device/sign-in", email=OWNER_EMAIL, password=OWNER_PASSWORD)
    assert browser.status == 403 and "Type the code" not in browser.text
    own = browsers(Host="localhost", Origin="http://localhost")
    await own.open()
    await own.submit("/device/sign-in", email=OWNER_EMAIL, password=OWNER_PASSWORD)
    assert own.status == 200 and "Type the code" in own.text


async def test_a_cookie_planted_before_the_sign_in_gains_nothing(world, browsers):
    victim, attacker = browsers(), browsers()
    await attacker.open()
    [planted] = list(attacker.http.cookie_jar)
    victim.http.cookie_jar.update_cookies(
        {planted.key: planted.value}, response_url=aiohttp.client.URL(victim.url)
    )
    victim.text = attacker.text
    await victim.submit("/device/sign-in", email=OWNER_EMAIL, password=OWNER_PASSWORD)
    assert "Type the code" in victim.text
    assert "Sign in a device" in await attacker.open()


async def test_nobody_else_approves_what_is_for_one_account(world, browsers):
    await world.account("mallory@example.com", PASSWORD)
    started, browser = await _start(world, email=OWNER_EMAIL), browsers()
    await browser.sign_in("mallory@example.com", PASSWORD, started["user_code"])
    assert browser.status == 403
    assert (await _poll(world, started)).code == "authorization_pending"


async def test_an_answer_counts_once(world, browsers):
    await world.account("mallory@example.com", PASSWORD)
    started, first, second = await _start(world), browsers(), browsers()
    await first.sign_in(OWNER_EMAIL, OWNER_PASSWORD, started["user_code"])
    await second.sign_in("mallory@example.com", PASSWORD, started["user_code"])
    await first.submit("/device/answer", answer="approve")
    await second.submit("/device/answer", answer="approve")
    assert second.status == 400
    replies = await asyncio.gather(*(_poll(world, started) for _ in range(5)))
    assert sorted(reply.status for reply in replies) == [200, 400, 400, 400, 400]
    [token] = [reply.body for reply in replies if reply.status == 200]
    assert token["account"]["email"] == OWNER_EMAIL


async def test_a_new_password_voids_what_was_approved_before(world, browsers):
    started, browser = await _start(world), browsers()
    await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD, started["user_code"])
    await browser.submit("/device/answer", answer="approve")
    body = {"current_password": OWNER_PASSWORD, "password": PASSWORD}
    await world.owner.ok("POST", "/me/password", body)
    assert (await _poll(world, started)).code == "code_invalid"


async def test_pages_are_not_framed_scripted_or_kept(world, browsers):
    browser = browsers()
    started = await _start(world, name="<script>alert(1)</script>")
    for text in (
        await browser.open(user_code='"><img src=x>'),
        await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD, started["user_code"]),
        await browser.open("/device", user_code="WRNG-WRNG"),
    ):
        headers = browser.answer.headers
        assert "<script>" not in text and "<img" not in text
        assert text.count("<script") == text.count('<script type="module" src="/device-scripts/')
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY" and headers["Cache-Control"] == "no-store"
        assert not re.search(r'(src|href)="(https?:)?//', text)
    cookie = browser.answer.headers.get("Set-Cookie") or (
        (await browser.open()) and browser.answer.headers["Set-Cookie"]
    )
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert "Sign in a device" in await browsers().open()


async def test_wrong_passwords_are_counted_as_everywhere(world, browsers):
    browser = browsers()
    for _ in range(6):
        await browser.sign_in(OWNER_EMAIL, "wrong")
    assert browser.status == 429
    rows = await world.audit("account.browser_sign_in")
    assert {row["outcome"] for row in rows} == {"refused"}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/device/sign-in", {"email": "x"}),
        ("/device/sign-in", {"email": OWNER_EMAIL, "password": "x" * 2000}),
        ("/device/code", {}),
        ("/device/answer", {"user_code": "x", "answer": "perhaps"}),
        ("/device/answer", {"user_code": "x", "answer": "approve", "more": "y"}),
    ],
)
async def test_malformed_forms_get_a_page(world, browsers, path, fields):
    browser = browsers()
    await browser.submit(path, **fields)
    assert browser.status == 400 and "<h1>" in browser.text
    async with browser.http.post(browser.url + path, json=fields) as response:
        assert response.status == 400 and response.content_type == "text/html"


async def test_programs_have_no_page(world, browsers):
    program = await world.service(Role.ADMIN)
    actor = (await world.owner.ok("GET", f"~/service-accounts/{program.account_id}"))["actor"]
    browser = browsers()
    await browser.sign_in(actor, "none")
    assert browser.status == 401


async def test_not_without_end(world, monkeypatch):
    monkeypatch.setattr(service, "MOST_WAITING", 2)
    for _ in range(2):
        await _start(world)
    reply = await world.stranger("POST", "/auth/device", {})
    assert (reply.status, reply.code) == (503, "unavailable")


@pytest.mark.both_databases
async def test_what_is_approved_while_everybody_is_signed_out_opens_nothing(world, browsers, database_kind):
    """A browser somebody else signed in with the old password, at the very moment at which there is a new one."""
    if database_kind == "sqlite":
        return  # one writer at a time
    started, browser = await _start(world), browsers()
    await browser.sign_in(OWNER_EMAIL, OWNER_PASSWORD, started["user_code"])
    async with asyncio.TaskGroup() as group, world.services.database.writing() as session:
        account = await find_account(session, OWNER_EMAIL)
        await session.refresh(account, with_for_update={"key_share": True})
        await revoke_all(session, account.id, world.clock())
        answering = group.create_task(browser.submit("/device/answer", answer="approve"))
        await _until_it_waits(world)
    assert browser.status == 401, answering.result()
    assert (await _poll(world, started)).code == "authorization_pending"
