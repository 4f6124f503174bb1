"""S16: whatever devices and people are called, nothing of it acts in a browser that looks at what Farsite answers.

Every page and every answer of the cloud's and the edge host's GET routes, signed in, in Chromium; with the hostile words
in what they show, in their paths and in their queries. What a payload would do is counted by `browser_watch`: zero.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from farsite_cloud.browser.pages import pages
from farsite_cloud.providers.pages import pages as provider_pages
from farsite_cloud.testing import run_cloud
from tests.cloud.browser_watch import HERE, Visited, Watch, doorway, watched_browser
from tests.cloud.hostile_words import WORDS

from .hostile_site import HostileSite, edge_grant, edge_tls, hostile_site, waiting_devices

pytestmark = pytest.mark.timeout(300)
SYSTEM = (
    "/healthz",
    "/readyz",
    "/version",
    "/metrics",
    "/api/openapi.json",
    "/api/docs",
    "/api/docs.css",
    "/hub",
)
MORE = ("/organizations/{org}/devices/export?format=csv", "/organizations/{org}/audit/export?format=csv")
EDGE_MORE = ("/policy-drift?format=csv", "/hardening?format=csv")
# Which of the words is markup nowhere: to guess another encoding, a template language or a spreadsheet.
ELSEWHERE = {
    "utf-7",
    "template-server",
    "wide",
    "percent",
    "invisible",
    "formula-call",
    "formula-plus",
    "formula-tab",
}
OWN = re.compile(r"markup: <script>(const|//)")
PAGES = ("text/html",)
PICTURE = "/api/v1/devices/{id}/snapshot"
KEPT = ("text/csv", "application/zip", "application/x-ndjson")
ANY = quote(WORDS["any"], safe="")


@asynccontextmanager
async def planted() -> AsyncIterator[int]:
    """Pages as somebody wrote them who trusts names, with a policy and without one."""

    async def show(request: web.Request) -> web.Response:
        word = WORDS.get(request.match_info["name"], "")
        half = word.replace('"', '\\"')  # as those escape who forget the backslash itself
        body = (
            f'<!doctype html><title>x</title><script>const said = "{half}"</script><script>// {word}\n</script>'
            f'<script>const told = "{word}"</script><p title="{word}">{word}</p>'
            f"<p title='{word}'>x</p><a href=\"{word}\">x</a><i class={word}>x</i>"
        )
        policy = {"Content-Security-Policy": "default-src 'none'"} if "safe" in request.path else {}
        return web.Response(body=body.encode(), headers={"Content-Type": "text/html; charset=utf-8"} | policy)

    app = web.Application()
    app.router.add_get("/{kind}/{name}", show)
    app.router.add_get("/{name:.*}", show)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HERE, 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_the_watch_notices_pages_that_trust_names(tmp_path: Path) -> None:
    async with planted() as port, doorway(port) as url, watched_browser(tmp_path) as watch:
        missed = set()
        for name in WORDS:
            await watch.visit(f"{url}/open/{name}")
            own = [one for one in watch.noticed if not OWN.search(one)]
            missed |= set() if own else {name}
            watch.noticed.clear()
        assert missed <= ELSEWHERE
        await watch.visit(f"{url}/open/script")
        assert any(one.startswith("script:") for one in watch.noticed)
        watch.noticed.clear()
        await watch.visit(f"{url}/safe/script")
        await watch.reported()
        kinds = {one.partition(":")[0] for one in watch.noticed}
        assert {"issue", "console", "request", "sent"} <= kinds and "script" not in kinds
        assert any("/csp-report" in one and "script-src" in one for one in watch.noticed)


def routes(document: dict[str, object]) -> Iterator[str]:
    for path, methods in document["paths"].items():  # type: ignore[attr-defined]
        if "get" in methods:
            yield path


def check(visited: Visited, where: str) -> None:
    """The headers without which words could become more than that."""
    headers = visited.headers
    kind = headers.get("content-type", "").partition(";")[0]
    policy = headers.get("content-security-policy", "")
    assert visited.status != 500, where
    assert headers.get("x-content-type-options") == "nosniff", where
    assert headers.get("referrer-policy") in ("no-referrer", "same-origin"), where
    assert headers.get("cache-control") == "no-store", where
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "):
        assert rule in policy, (where, policy)
    assert "unsafe" not in policy and "*" not in policy, where
    if kind in PAGES:
        assert "charset=utf-8" in headers["content-type"], where
        assert headers.get("x-frame-options") == "DENY", where
    if kind in KEPT and visited.status == 200:
        assert headers["content-disposition"].startswith("attachment;") and not visited.shown, where


async def test_every_page_and_answer(tmp_path: Path) -> None:
    async with hostile_site(tmp_path) as site, watched_browser(tmp_path / "browser") as watch:
        async with doorway(site.cloud.cloud.port) as url:
            await _look_at_answers(site, watch, url)
            await _sign_in(site, watch, url)
            async for code in waiting_devices(site):
                check(await watch.visit(f"{url}/device?user_code={code}"), code)
            names = await watch.tab.run("[...document.querySelectorAll('dd')].map((one) => one.innerText)")
            assert site.mail in await watch.tab.text("main") and names[0] == code, (
                "the last of them was shown"
            )
            await _look_at_passkeys(site, watch, url)
        await _look_at_the_edge_host(site, watch, tmp_path)


async def _look_at_answers(site: HostileSite, watch: Watch, url: str) -> None:
    document = await site.get(f"{url}/api/openapi.json")
    told = {"Authorization": f"Bearer {site.token}"}
    found = [*routes(document), *(f"/api/v1{path}" for path in MORE)]
    assert len(found) > 50
    good = 0
    for path in found:
        visited = await watch.visit(url + site.filled(path), **told)
        check(visited, path)
        good += visited.status == 200
        if (hostile := re.sub(r"\{(?!org\b)\w+\}", ANY, path).replace("{org}", site.organization)) != path:
            check(await watch.visit(url + hostile, **told), f"{path} of what is not there")
    assert good > len(found) * 0.9, good
    assert watch.noticed == []


def who(site: HostileSite) -> dict[str, str]:
    return {"email": site.mail, "password": site.cloud.owner_password, "code": site.codes.pop()}


async def _sign_in(site: HostileSite, watch: Watch, url: str) -> None:
    await watch.visit(f"{url}/device")
    await watch.tab.fill("form[action$='sign-in']", **who(site))
    await watch.tab.until("document.querySelector('form[action$=\"/code\"]')")


async def _look_at_passkeys(site: HostileSite, watch: Watch, url: str) -> None:
    check(await watch.visit(f"{url}/account"), "account")
    await watch.tab.fill("#sign-in", **who(site))
    await watch.tab.until(f"document.querySelectorAll('#passkeys li').length === {len(WORDS)}")
    assert await watch.tab.text("#who") == site.mail
    shown = await watch.tab.run(
        "[...document.querySelectorAll('#passkeys .name')].map((one) => one.textContent)"
    )
    assert WORDS["svg"] in shown and WORDS["script-end"] in shown


async def _look_at_the_edge_host(site: HostileSite, watch: Watch, folder: Path) -> None:
    host, tls = site.edge.host, edge_tls(site, folder / "tls")
    told = {"Authorization": f"Farsite-Grant {await edge_grant(site)}"}
    async with doorway(host.https_port, tls) as url, doorway(host.http_port) as open_url:
        found = [
            *routes(await site.get(f"{url}/api/openapi.json")),
            *(f"/api/v1{path}" for path in EDGE_MORE),
        ]
        assert len(found) >= 30
        good = 0
        found.remove(PICTURE)
        for path in found:
            visited = await watch.visit(url + path.replace("{id}", site.edge_id(path)), **told)
            check(visited, path)
            good += visited.status == 200
            if "{id}" in path:
                check(
                    await watch.visit(url + path.replace("{id}", ANY), **told), f"{path} of what is not there"
                )
        assert good > len(found) * 0.85, good
        for path in ("/", "/info", f"/{ANY}", f"/?{ANY}"):
            check(await watch.visit(open_url + path), path)
        assert watch.noticed == [] and watch.tab.complaints == []
        # The page that the browser makes around a picture has styles that the picture's policy does not know.
        path = PICTURE.replace("{id}", site.edge_id(PICTURE))
        check(await watch.visit(url + path, **told), path)
        assert not [one for one in watch.noticed if one.startswith(("script", "dialog", "window"))]


async def test_words_in_addresses(tmp_path: Path, world_of_cloud: str) -> None:
    """Reflected ones: pages, files, errors, and what the framework itself says of addresses it does not know."""
    mounted = [route for table in (pages, provider_pages) for route in table.routes if route.method == "GET"]
    known = [*SYSTEM, *(route.path.replace("{name}", "account.js") for route in mounted)]
    async with doorway(int(world_of_cloud.rpartition(":")[2])) as url, watched_browser(tmp_path) as watch:
        for path in known:
            visited = await watch.visit(
                f"{url}{path}?user_code={ANY}&organization={ANY}&error={ANY}&state={ANY}&x={ANY}"
            )
            check(visited, path)
        for name, word in WORDS.items():
            escaped = quote(word, safe="")
            check(await watch.visit(f"{url}/device/{escaped}?{escaped}"), name)
            check(await watch.visit(f"{url}/device?user_code={escaped}"), name)
            assert watch.noticed == [], name


@pytest.fixture
async def world_of_cloud() -> AsyncIterator[str]:
    async with run_cloud() as cloud:
        yield f"http://{HERE}:{cloud.cloud.port}"
