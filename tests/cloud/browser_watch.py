"""What a browser notices of words that were taken for markup: nothing of it may happen.

Payloads call `canary` and ask for things at `HOST`. The watch hears of both, of dialogs, windows and requests to
elsewhere, of errors in scripts, and of every content security policy that is broken: from the browser's own list of
issues, and by the reports it sends (`doorway` asks for them).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from tests.cloud.chromium import ANSWERS_WITHIN, Tab, chromium

HOST = "canary.test"
"""Resolves to a server of the watch's: whoever asks it for anything was told to by a payload."""
HERE = "127.0.0.1"
_POLICY = b"\r\nContent-Security-Policy: "
_REPORTING = _POLICY + f"report-uri http://{HOST}/csp-report; ".encode()
# Also where no script could run: what is no text of ours would be an element.
_MARKUP = """(() => [...document.querySelectorAll(
  "svg,math,iframe,object,embed,base,video,audio,img,style,meta[http-equiv],script:not([src]),[onload],[onerror],"
  + "[onfocus],[onclick],[onmouseover],[ontoggle],[onpageshow],[onstart],[style]:not(pre),[accesskey],"
  + "a[href^='javascript' i],a[href^='data' i],form[action^='javascript' i]"
)].map((one) => one.outerHTML.slice(0, 200)))()"""


@dataclass(frozen=True)
class Visited:
    """`headers` by lower-case name. `shown`: as a page, not taken for a file to keep."""

    status: int
    headers: dict[str, str]
    shown: bool


class Watch:
    """`noticed` stays empty as long as all words are inert."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.noticed: list[str] = []
        self._answers: dict[str, Visited] = {}
        self._asked: set[str] = set()
        self._news = asyncio.Event()
        self._loaded = self._dialog = False

    async def prepare(self) -> None:
        self.tab.listeners.append(self._heard)
        for domain in ("Network", "Audits"):
            await self.tab.send(f"{domain}.enable")
        await self.tab.send("Runtime.addBinding", name="canary")
        await self.tab.send("Browser.setDownloadBehavior", behavior="deny")

    async def visit(self, url: str, **headers: str) -> Visited:
        """Go there as somebody who types the address, and wait until all of it is there. `headers`: sent too."""
        await self.tab.send("Network.setExtraHTTPHeaders", headers=headers)
        self._loaded = False
        self._answers.clear()
        self._asked.clear()
        went = await self.tab.send("Page.navigate", url=url)
        shown = "errorText" not in went
        await self._until(lambda: bool(self._answer()) and (self._loaded or not shown))
        if shown:
            for element in await self.tab.run(_MARKUP):
                self._note(f"markup: {element}")
        found = self._answer()
        assert found is not None
        return Visited(found.status, found.headers, shown)

    async def reported(self) -> None:
        """Once a policy's report has come, which browsers send when they have nothing better to do."""
        await self._until(
            lambda: any("/csp-report" in one and one.startswith("request:") for one in self.noticed)
        )

    def _answer(self) -> Visited | None:
        return next((self._answers[one] for one in self._asked if one in self._answers), None)

    async def _until(self, true: Any) -> None:
        async with asyncio.timeout(ANSWERS_WITHIN):
            while not true():
                if self._dialog:
                    self._dialog = False
                    await self.tab.send("Page.handleJavaScriptDialog", accept=True)
                self._news.clear()
                await self._news.wait()

    def _note(self, what: str) -> None:
        self.noticed.append(what[:600])

    def _heard(self, message: dict[str, Any]) -> None:
        values = message.get("params", {})
        self._news.set()
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self._sent(values)
            case "Network.responseReceivedExtraInfo":
                held = {name.lower(): value for name, value in values["headers"].items()}
                self._answers[values["requestId"]] = Visited(values["statusCode"], held, shown=False)
            case "Runtime.bindingCalled":
                self._note(f"script: {values['payload']}")
            case "Page.javascriptDialogOpening":
                self._note(f"dialog: {values['message']}")
                self._dialog = True
            case "Page.windowOpen" | "Target.targetCreated":
                self._note(f"window: {values}")
            case "Audits.issueAdded" if values["issue"]["code"] != "GenericIssue":
                self._note(f"issue: {values['issue']}")
            case "Runtime.exceptionThrown":
                self._note(f"exception: {values['exceptionDetails']}")
            case "Log.entryAdded" if values["entry"]["source"] in ("security", "javascript", "violation"):
                self._note(f"console: {values['entry']['text']}")

    def _sent(self, values: dict[str, Any]) -> None:
        if values["requestId"] == values["loaderId"]:
            self._asked.add(values["requestId"])
        if urlsplit(values["request"]["url"]).hostname != HERE:
            self._note(f"sent: {values['request']['url']}")

    async def told(self, request: web.Request) -> web.Response:
        """Somebody followed a payload, or reports a policy that was broken."""
        self._news.set()
        self._note(f"request: {request.method} {request.path_qs} {(await request.text())[:400]}")
        return web.Response(text="canary('fetched')", content_type="text/javascript")


@asynccontextmanager
async def watched_browser(folder: Path) -> AsyncIterator[Watch]:
    watches: list[Watch] = []

    async def told(request: web.Request) -> web.Response:
        return await watches[0].told(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", told)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HERE, 0).start()
        rules = f"--host-resolver-rules=MAP {HOST} {HERE}:{runner.addresses[0][1]}"
        async with chromium(folder, rules) as tab:
            watches.append(Watch(tab))
            await watches[0].prepare()
            yield watches[0]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def doorway(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a way to a server on this machine on which nothing is changed but that policies ask for reports.

    `tls`: how to speak to the server, with the certificate that a browser would be given by hand.
    """

    open_ways: dict[asyncio.StreamWriter, asyncio.Task[object] | None] = {}

    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever goes away early has seen enough, or opened a connection that it never used.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            from_server, to_server = await asyncio.open_connection(HERE, port, ssl=tls)
            both = (writer, to_server)
            open_ways.update(dict.fromkeys(both, asyncio.current_task()))
            try:
                await _exchange(reader, writer, from_server, to_server)
            finally:
                for end in both:
                    end.close()
                    del open_ways[end]

    server = await asyncio.start_server(through, HERE, 0)
    try:
        yield f"http://{HERE}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        left = {task for task in open_ways.values() if task is not None}
        for end in open_ways:
            end.transport.abort()
        await asyncio.gather(*left)


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    from_server: asyncio.StreamReader,
    to_server: asyncio.StreamWriter,
) -> None:
    """One request without a body, or a form, and one answer: no more of either is understood here."""
    head = await reader.readuntil(b"\r\n\r\n")
    to_server.write(head.replace(b"\r\nConnection: keep-alive", b"\r\nConnection: close"))
    if length := re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE):
        to_server.write(await reader.readexactly(int(length[1])))
    answer = await from_server.readuntil(b"\r\n\r\n")
    writer.write(answer.replace(_POLICY, _REPORTING))
    while block := await from_server.read(65536):
        writer.write(block)
        await writer.drain()
