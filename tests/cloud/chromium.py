"""A real Chromium, driven over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-port=0",
)  # fmt: skip
STARTS_WITHIN, ANSWERS_WITHIN = 60.0, 30.0
# A passkey store as a laptop has one: it says yes to everything (WebDriver extension of WebAuthn Level 3, 11).
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Tab:
    """One page. `complaints`: what the browser said of policies that were broken and of errors in scripts.

    `listeners` are given every event of the browser's, in order.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._session: str | None = None
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []
        self.listeners: list[Callable[[dict[str, Any]], None]] = []

    async def prepare(self) -> None:
        target = await self.send("Target.createTarget", url="about:blank")
        attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "WebAuthn"):
            await self.send(f"{domain}.enable")

    async def passkeys(self) -> str:
        """Give the browser somewhere to keep passkeys; its id."""
        added = await self.send("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)
        return str(added["authenticatorId"])

    async def open(self, url: str) -> None:
        self._loaded.clear()
        await self.send("Page.navigate", url=url)
        async with asyncio.timeout(ANSWERS_WITHIN):
            await self._loaded.wait()

    async def run(self, script: str) -> Any:
        """The value of an expression, or of what it promises; as if the user had just touched the page."""
        options = {"awaitPromise": True, "userGesture": True, "returnByValue": True}
        answer = await self.send("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Also across the pages that come meanwhile."""
        look = f"(() => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }})()"
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                while not await self._true(look):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{condition}: {await self.run('document.body.innerText')}") from None

    async def _true(self, script: str) -> bool:
        with suppress(RuntimeError):  # the page went away while it was asked
            return bool(await self.run(script))
        return False

    async def fill(self, form: str, **fields: str) -> None:
        """Type into a form and submit it as a click on its button does."""
        await self.run(
            f"""(() => {{ const form = document.querySelector({json.dumps(form)});
            for (const [name, value] of Object.entries({json.dumps(fields)})) form.elements[name].value = value;
            form.requestSubmit(); }})()"""
        )

    async def click(self, selector: str) -> None:
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def text(self, selector: str) -> str:
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(message | ({"sessionId": self._session} if self._session else {}))
        async with asyncio.timeout(ANSWERS_WITHIN):
            return dict(await answer)

    async def listen(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame.data)
            if (answer := self._asked.pop(message.get("id", 0), None)) is None:
                self._heard(message)
            elif answer.cancelled():
                continue
            elif "error" in message:
                answer.set_exception(RuntimeError(message["error"]["message"]))
            else:
                answer.set_result(message["result"])

    def _heard(self, message: dict[str, Any]) -> None:
        for listener in self.listeners:
            listener(message)
        match message:
            case {"method": "Page.loadEventFired"}:
                self._loaded.set()
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.complaints.append(str(details))
            case {"method": "Log.entryAdded", "params": {"entry": {"source": "security"} as entry}}:
                self.complaints.append(entry["text"])


@asynccontextmanager
async def chromium(folder: Path, *flags: str) -> AsyncIterator[Tab]:
    if BROWSER is None:
        assert os.environ.get("CI") != "true", "Chromium is missing"
        pytest.skip("Chromium is not installed")
    process = await asyncio.create_subprocess_exec(
        BROWSER, *FLAGS, *flags, f"--user-data-dir={folder}",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(await _address(process), max_msg_size=0) as socket,
            asyncio.TaskGroup() as group,
        ):
            tab = Tab(socket)
            tasks = [
                group.create_task(tab.listen(), name="devtools"),
                group.create_task(_drain(process), name="chromium's words"),
            ]
            await tab.prepare()
            yield tab
            for task in tasks:
                task.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(STARTS_WITHIN):
        async for line in process.stderr:
            if line.startswith(b"DevTools listening on "):
                return line.split()[-1].decode()
    raise AssertionError("Chromium ended")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.read(65536):
        pass
