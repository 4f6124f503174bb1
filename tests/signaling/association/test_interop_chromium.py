"""Against Chromium, headless, driven by nothing but a page of our own: both roles, both directions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_signaling.peer.link import HIGH_WATER, MAX_MESSAGE
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.rtc import RtcLink

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
COUNT = 256
PAGE = """<!doctype html><script>
const post = (path, body) => fetch(path, {method: 'POST', body: JSON.stringify(body)}).then(r => r.json());
const hex = async data => [...new Uint8Array(await crypto.subtle.digest('SHA-256', data))]
  .map(x => x.toString(16).padStart(2, '0')).join('');
async function main() {
  const {role, offer, size, count} = await post('/begin', {});
  const pc = new RTCPeerConnection();
  const gathered = () => new Promise(r => {
    if (pc.iceGatheringState === 'complete') r();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && r(); });
  const received = [];
  let enough;
  const all = new Promise(r => enough = r);
  const listen = channel => { channel.binaryType = 'arraybuffer';
    channel.onmessage = e => { received.push(e.data); if (received.length === count) enough(); }; };
  pc.ondatachannel = e => listen(e.channel);
  const mine = role === 'caller' ? pc.createDataChannel('browser') : null;
  if (role === 'caller') {
    await pc.setLocalDescription(await pc.createOffer()); await gathered();
    const {sdp} = await post('/offer', {sdp: pc.localDescription.sdp});
    await pc.setRemoteDescription({type: 'answer', sdp});
  } else {
    await pc.setRemoteDescription({type: 'offer', sdp: offer});
    await pc.setLocalDescription(await pc.createAnswer()); await gathered();
    await post('/answer', {sdp: pc.localDescription.sdp});
  }
  const channel = mine || pc.createDataChannel('browser');
  await new Promise(r => channel.readyState === 'open' ? r() : channel.onopen = r);
  const sent = new Uint8Array(size * count);
  for (let i = 0; i < sent.length; i += 997) sent[i] = i;
  for (let i = 0; i < count; i++) channel.send(sent.slice(i * size, (i + 1) * size));
  await all;
  const joined = new Uint8Array(await new Blob(received).arrayBuffer());
  await post('/result', {sent: await hex(sent), received: await hex(joined)});
}
main().catch(e => post('/result', {error: String(e)}));
</script>"""


class Ours:
    def __init__(self, link: RtcLink) -> None:
        self.link = link
        self.digest = hashlib.sha256()
        self.count = 0
        self.all_here = asyncio.Event()
        self.writable_again = asyncio.Event()

    def channel_opened(self, channel: int, label: str) -> None:
        assert label == "browser"

    def message_received(self, channel: int, message: bytes) -> None:
        self.digest.update(message)
        self.count += 1
        if self.count == COUNT:
            self.all_here.set()

    def channel_closed(self, channel: int) -> None: ...

    def writable(self) -> None:
        self.writable_again.set()

    def link_lost(self, error: object) -> None: ...

    async def send(self) -> str:
        digest = hashlib.sha256()
        channel = self.link.open_channel("ours")
        for number in range(COUNT):
            message = bytes([number % 251]) * MAX_MESSAGE
            digest.update(message)
            while self.link.buffered_amount >= HIGH_WATER:
                self.writable_again.clear()
                await self.writable_again.wait()
            self.link.send(channel, message)
        return digest.hexdigest()


class Page:
    """Serves the page and plays the signaling."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.link = RtcLink([], PeerOptions())
        self.ours = Ours(self.link)
        self.result: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        app = web.Application()
        app.router.add_get("/", self._page)
        for name in ("begin", "offer", "answer", "result"):
            app.router.add_post(f"/{name}", getattr(self, f"_{name}"))
        self.server = TestServer(app)

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _begin(self, request: web.Request) -> web.Response:
        offer = (await self.link.offer())[0] if self.role == "callee" else None
        return web.json_response({"role": self.role, "offer": offer, "size": MAX_MESSAGE, "count": COUNT})

    async def _offer(self, request: web.Request) -> web.Response:
        answer, _ = await self.link.answer(json.loads(await request.text())["sdp"])
        return web.json_response({"sdp": answer})

    async def _answer(self, request: web.Request) -> web.Response:
        await self.link.accept(json.loads(await request.text())["sdp"])
        return web.json_response({})

    async def _result(self, request: web.Request) -> web.Response:
        self.result.set_result(json.loads(await request.text()))
        return web.json_response({})


@pytest.fixture
def browser() -> str:
    if BROWSER is None:
        assert os.environ.get("CI") != "true", "Chromium is missing"
        pytest.skip("Chromium is not installed")
    return BROWSER


@pytest.fixture(params=["caller", "callee"])
async def page(request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """`caller`: the browser calls; `callee`: it is called."""
    made = Page(request.param)
    await made.server.start_server()
    yield made
    await made.link.close()
    await made.server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the browser by Linux' names")
async def test_both_directions(page: Page, browser: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", f"--user-data-dir={tmp_path}", str(page.server.make_url("/")),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(50):
            await page.link.connected()
            page.link.start(page.ours)
            sent = await page.ours.send()
            await page.ours.all_here.wait()
            result = await page.result
    finally:
        process.terminate()
        await process.wait()
    assert result == {"sent": page.ours.digest.hexdigest(), "received": sent}
