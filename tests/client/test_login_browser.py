"""`farsite login --browser` as a process, the browser's part done by forms."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import aiohttp

from farsite_client.cli.browser import has_browser
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, run_cloud


async def _answer(url: str, user_code: str, answer: str) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, headers={"Origin": url}) as http:

        async def submit(path: str, page: str, **fields: str) -> str:
            hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
            async with http.post(f"{url}/device/{path}", data=hidden | fields) as response:
                return await response.text()

        async with http.get(f"{url}/device", params={"user_code": user_code}) as response:
            page = await response.text()
        page = await submit("sign-in", page, email=OWNER_EMAIL, password=OWNER_PASSWORD)
        await submit("answer", page, answer=answer)


async def _log_in(url: str, home: Path, answer: str) -> tuple[int, list[dict[str, object]]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FARSITE")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "farsite_client", "login", url, "--browser", "--no-open", "--json", "--home", str(home)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    waiting = json.loads(await process.stdout.readline())
    assert "device_code" not in waiting and waiting["verification_uri"] == f"{url}/device"
    await _answer(url, waiting["user_code"], answer)
    rest = (await process.stdout.read()).decode().splitlines()
    return await process.wait(), [json.loads(line) for line in rest]


async def test_a_machine_is_signed_in_by_browser(tmp_path: Path) -> None:
    async with run_cloud() as cloud:
        approved, denied = await asyncio.gather(
            _log_in(cloud.url, tmp_path / "one", "approve"), _log_in(cloud.url, tmp_path / "two", "deny")
        )
    assert approved[0] == 0 and approved[1][-1]["email"] == OWNER_EMAIL
    assert (tmp_path / "one" / "profile.json").exists()
    assert denied[0] == 1 and denied[1][-1]["code"] == "access_denied"
    assert not (tmp_path / "two" / "profile.json").exists()


def test_no_browser_is_opened_far_from_a_screen(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert has_browser() is False
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    assert has_browser() is False
