"""The dialing end of a flow in a headless Chromium, whose page is served and driven from here."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.bench.wan_carriers import Carrier

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START_SECONDS = 60.0
PAGE = """<!doctype html><script>
const ask = (path, body) => fetch(path, {method: 'POST', body: JSON.stringify(body)}).then(r => r.json());
const pc = new RTCPeerConnection();
const channel = pc.createDataChannel('bench');
channel.binaryType = 'arraybuffer';
channel.bufferedAmountLowThreshold = 512 * 1024;
const message = new Uint8Array(16 * 1024);
let total = 0, wanted = Infinity, samples = [], enough = () => {};
channel.onmessage = e => {
  total += e.data.byteLength;
  const now = performance.now();
  if (total >= wanted || !samples.length || now - samples[samples.length - 1][0] >= 10) samples.push([now, total]);
  if (total >= wanted) enough();
};
const low = () => new Promise(r => channel.onbufferedamountlow = r);
const orders = {
  async send({bytes, seconds}) {
    const end = performance.now() + seconds * 1000;
    while (bytes > 0 && performance.now() < end) {
      channel.send(message); bytes -= message.length;
      if (channel.bufferedAmount > 2 * 1024 * 1024) await low();
    }
  },
  async receive({bytes, seconds}) {
    wanted = bytes;
    await Promise.race([new Promise(r => enough = r), new Promise(r => setTimeout(r, seconds * 1000))]);
    samples.push([performance.now(), total]);
    return {samples, now: performance.now()};
  },
};
async function main() {
  await pc.setLocalDescription(await pc.createOffer());
  await new Promise(r => { if (pc.iceGatheringState === 'complete') r();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && r(); });
  const {sdp} = await ask('/offer', {sdp: pc.localDescription.sdp});
  await pc.setRemoteDescription({type: 'answer', sdp});
  await new Promise(r => channel.readyState === 'open' ? r() : channel.onopen = r);
  let done = await ask('/next', {});
  for (;;) done = await ask('/next', {did: await orders[done.do](done) || {}});
}
main();
</script>"""


class BrowserArrivals:
    def __init__(self, flow: BrowserFlow) -> None:
        self._flow = flow

    async def receive(self, size: int, seconds: float) -> list[tuple[float, int]]:
        did = await self._flow.order("receive", size, seconds)
        offset = time.monotonic() - did["now"] / 1000
        return [(at / 1000 + offset, total) for at, total in did["samples"]]


class BrowserFlow:
    """The data channel of the page."""

    def __init__(self) -> None:
        self.arrivals = BrowserArrivals(self)
        self.orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.done: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def order(self, what: str, size: int, seconds: float) -> dict[str, Any]:
        self.orders.put_nowait({"do": what, "bytes": size, "seconds": seconds})
        return await self.done.get()

    async def send(self, size: int, seconds: float) -> None:
        await self.order("send", size, seconds)


class ChromiumDial(Carrier):
    async def start(self) -> None:
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._page = BrowserFlow()
        url = await self._stack.enter_async_context(self._served())
        await self._stack.enter_async_context(_browser(url))

    @asynccontextmanager
    async def _served(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/", self._index)
        app.router.add_post("/offer", self._offered)
        app.router.add_post("/next", self._next)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()

    async def signalled(self, line: str) -> None:
        self._answer.set_result(json.loads(line)["sdp"])

    async def _index(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _offered(self, request: web.Request) -> web.Response:
        offer = json.loads(await request.text())["sdp"]
        await self._signal(json.dumps({"sdp": offer, "type": "offer"}))
        return web.json_response({"sdp": await self._answer})

    async def _next(self, request: web.Request) -> web.Response:
        """The page is free: with the result of its last order, if it had one."""
        said = json.loads(await request.text())
        if "did" in said:
            self._page.done.put_nowait(said["did"])
        self._opened(self._page)
        return web.json_response(await self._page.orders.get())


@asynccontextmanager
async def _browser(url: str) -> AsyncIterator[None]:
    assert BROWSER is not None, "Chromium is not installed"
    with tempfile.TemporaryDirectory(prefix="farsite-chromium-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", f"--user-data-dir={folder}", url,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            await process.wait()
