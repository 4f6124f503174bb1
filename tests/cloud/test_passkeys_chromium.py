"""The pages about passkeys in Chromium, with its virtual authenticator: registered, used, renamed, removed."""

from __future__ import annotations

import asyncio
import re

import pytest

from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from tests.cloud.chromium import chromium
from tests.cloud.turn.conftest import free_ports

pytestmark = pytest.mark.timeout(150)
NAME = "<b onclick=x>Laptop</b>"


@pytest.fixture
async def world(world_in):
    [port] = free_ports(1)
    return await world_in(None, port=port, public_url=f"http://localhost:{port}")


async def _page(world, path):
    async with world.http.get(world.running.url + path) as answer:
        return answer.status, answer.headers, await answer.text()


@pytest.mark.parametrize("path", ["/account", "/device"])
async def test_pages_run_scripts_of_ours_alone(world, path):
    status, headers, text = await _page(world, path)
    policy = headers["Content-Security-Policy"]
    assert (status, headers["X-Frame-Options"]) == (200, "DENY")
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and "connect-src 'self'" in policy
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert scripts == [""] and not re.search(r"\son\w+=|\sstyle=|javascript:", text)
    [source] = re.findall(r'<script type="module" src="([^"]+)">', text)
    status, headers, _ = await _page(world, source)
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert (await _page(world, "/device-scripts/account.html"))[0] == 404
    assert (await _page(world, "/device-scripts/..%2Fbase.html"))[0] == 404


async def test_a_passkey_is_registered_used_renamed_and_removed(world, tmp_path):
    page = world.services.urls.api
    async with chromium(tmp_path) as tab:
        await tab.passkeys()
        await tab.open(f"{page}/account")
        await tab.fill("#sign-in", email=OWNER_EMAIL, password="a wrong password")
        await tab.until("!document.getElementById('problem').hidden")
        assert "wrong" in await tab.text("#problem")
        await tab.fill("#sign-in", email=OWNER_EMAIL, password=OWNER_PASSWORD)
        await tab.until("!document.getElementById('in').hidden")
        assert await tab.text("#none") == "You have no passkey yet."

        await tab.fill("#add", name=NAME, password=OWNER_PASSWORD)
        await tab.until("document.querySelectorAll('#passkeys li').length === 1")
        assert "<b onclick" in await tab.text("#passkeys .name"), "names are text"
        assert len((await tab.text("#codes")).split()) == 10

        await tab.click("#sign-out")
        await tab.until("!document.getElementById('out').hidden")
        await tab.click("#with-passkey")
        await tab.until("document.getElementById('who').innerText !== ''")
        assert await tab.text("#who") == OWNER_EMAIL
        await tab.until("document.querySelectorAll('#passkeys li').length === 1")
        await tab.fill("#passkeys .rename", name="Work laptop")
        await tab.until("document.querySelector('#passkeys .name').innerText === 'Work laptop'")
        assert "last used: never" not in await tab.text("#passkeys .facts")

        await _sign_a_device_in(world, tab)

        await tab.open(f"{page}/account")
        await tab.click("#with-passkey")
        await tab.until("document.querySelectorAll('#passkeys li').length === 1")
        # A second factor is on now: the page asks the browser for it.
        await tab.fill("#passkeys .remove", password=OWNER_PASSWORD, code="")
        await tab.until("!document.getElementById('none').hidden")
        assert tab.complaints == []
        await tab.open("about:blank")
        person = await world.signed_in(OWNER_EMAIL, world.owner.org)
        await _until_signed_out(person)
    rows = await world.audit("account.passkey_removed", person)
    assert [row["target"] for row in rows if row["outcome"] == "allowed"] == ["Work laptop"]


async def _sign_a_device_in(world, tab):
    """`farsite login --browser`, answered with the passkey."""
    started = await world.stranger.ok("POST", "/auth/device", {"name": "farsite on laptop"})
    await tab.open(started["verification_uri_complete"])
    await tab.until("!document.getElementById('passkey').hidden")
    await tab.click("#passkey")
    await tab.until("document.querySelector('button.approve')")
    assert started["user_code"] in await tab.text("dl")
    await tab.click("button.approve")
    await tab.until("document.querySelector('h1').innerText === 'Approved'")
    world.clock.advance(seconds=5)
    made = await world.stranger.ok("POST", "/auth/device/token", {"device_code": started["device_code"]})
    assert made["account"]["email"] == OWNER_EMAIL
    person = await world.signed_in(OWNER_EMAIL, world.owner.org)
    [row] = await world.audit("account.browser_sign_in", person)
    assert (row["outcome"], row["details"]["method"]) == ("allowed", "passkey")
    person.token = made["token"]
    [own] = [one for one in (await person.ok("GET", "/me/sessions"))["sessions"] if one["current"]]
    assert own["mfa"]
    await person.ok("POST", "/auth/sign-out")


async def _until_signed_out(person):
    """The pages' tokens ended with the pages."""
    async with asyncio.timeout(20):
        while [
            one for one in (await person.ok("GET", "/me/sessions"))["sessions"] if "Mozilla" in one["agent"]
        ]:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("credential", ["", "{}", "no JSON", '{"id": 1}', "x" * 50_000])
async def test_what_is_no_passkeys_answer_is_refused(world, credential):
    async with world.http.get(f"{world.running.url}/device") as answer:
        form = re.search(r'name="form" value="(\w+)"', await answer.text())[1]
        cookie = answer.cookies["farsite-device"].value
    data = {"form": form, "user_code": "", "credential": credential}
    async with world.http.post(
        f"{world.running.url}/device/passkey", data=data, headers={"Cookie": f"farsite-device={cookie}"}
    ) as answer:
        assert answer.status == 400 and "Traceback" not in await answer.text()


async def test_a_passkey_form_of_another_site_is_refused(world):
    data = {"form": "0" * 64, "credential": "{}"}
    async with world.http.post(f"{world.running.url}/device/passkey", data=data) as answer:
        assert answer.status == 403
