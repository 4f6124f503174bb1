from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from farsite_signaling.peer.stream import StreamResetError, StreamTransport
from farsite_signaling.peer.testing import memory_links
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import ApiTarget, OpenRequest

MIB = 1024 * 1024
Ends = tuple[StreamTransport, "Recorder", StreamTransport, "Recorder"]


class Recorder(asyncio.Protocol):
    """Keeps all that its transport tells it."""

    def __init__(self) -> None:
        self.transport: StreamTransport
        self.data = bytearray()
        self.lost: list[Exception | None] = []
        self.gone = asyncio.Event()
        self.ended = asyncio.Event()
        self.writable = asyncio.Event()
        self.arrived = asyncio.Event()
        self.writable.set()
        self.keep_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, StreamTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        self.arrived.set()

    def eof_received(self) -> bool:
        self.ended.set()
        return self.keep_open

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)
        self.gone.set()
        self.writable.set()


class Factory:
    """An acceptor whose streams all get what a factory makes."""

    def __init__(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self.factory = factory

    async def accept(self, tunnel: Tunnel, request: OpenRequest) -> Callable[[], asyncio.BaseProtocol]:
        return self.factory


async def connected(factory: Callable[[], asyncio.BaseProtocol]) -> AsyncIterator[Tunnel]:
    first, second = memory_links()
    far = Tunnel(second, session="s", remote="client", initiator=False, acceptor=Factory(factory))
    near = Tunnel(first, session="s", remote="edge", initiator=True)
    async with far, near:
        yield near


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    served = Recorder()
    async for tunnel in connected(lambda: served):
        transport, ours = await tunnel.create_connection(Recorder, ApiTarget())
        yield transport, ours, served.transport, served


async def test_half_close_each_way(ends: Ends) -> None:
    transport, ours, other, theirs = ends
    transport.write(b"question")
    transport.write_eof()
    await theirs.ended.wait()
    assert theirs.data == b"question"
    with pytest.raises(RuntimeError):
        transport.write(b"more")
    other.write(b"late answer")
    other.write_eof()
    await ours.ended.wait()
    assert ours.data == b"late answer"
    assert not ours.lost and not theirs.lost
    transport.close()
    other.close()
    await asyncio.gather(ours.gone.wait(), theirs.gone.wait())
    assert ours.lost == theirs.lost == [None]


async def test_a_paused_reader_pauses_the_writer(ends: Ends) -> None:
    transport, ours, other, theirs = ends
    other.pause_reading()
    assert not other.is_reading()
    for _ in range(100):
        transport.write(bytes(16 * 1024))
        await asyncio.sleep(0)
    assert not ours.writable.is_set()
    assert transport.get_write_buffer_size() > transport.get_write_buffer_limits()[1]
    assert theirs.data == b""
    other.resume_reading()
    await ours.writable.wait()
    transport.close()
    await theirs.ended.wait()
    assert len(theirs.data) == 100 * 16 * 1024


async def test_close_sends_what_waits(ends: Ends) -> None:
    transport, ours, other, theirs = ends
    theirs.keep_open = False
    transport.write(bytes(3 * MIB))
    transport.close()
    assert transport.is_closing()
    await asyncio.gather(ours.gone.wait(), theirs.gone.wait())
    assert len(theirs.data) == 3 * MIB
    assert ours.lost == theirs.lost == [None]
    assert other.is_closing()


async def test_abort_resets_with_a_code(ends: Ends) -> None:
    transport, ours, _, theirs = ends
    transport.abort()
    transport.abort()
    await asyncio.gather(ours.gone.wait(), theirs.gone.wait())
    (error,) = theirs.lost
    assert isinstance(error, ConnectionResetError) and isinstance(error, FarsiteError)
    assert error.code is ErrorCode.CLOSED and "[closed]" in str(error)
    assert ours.lost == [None]


async def test_closing_inside_data_received(ends: Ends) -> None:
    transport, ours, other, theirs = ends

    class Closing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            other.write(b"bye")
            other.close()

    closing = Closing()
    other.set_protocol(closing)
    transport.write(bytes(100_000))
    transport.write(b"more")
    await ours.ended.wait()
    await closing.gone.wait()
    assert ours.data == b"bye"
    assert closing.lost == [None]
    assert len(closing.data) <= 16 * 1024
    assert not theirs.lost


async def test_a_protocol_that_raises_loses_its_stream_alone(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    transport, ours, other, _ = ends

    class Broken(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ValueError("broken")

    broken = Broken()
    other.set_protocol(broken)
    transport.write(b"x")
    await asyncio.gather(ours.gone.wait(), broken.gone.wait())
    assert isinstance(broken.lost[0], ValueError)
    assert isinstance(ours.lost[0], StreamResetError)
    assert ours.lost[0].code is ErrorCode.INTERNAL
    assert "A protocol failed" in caplog.text


async def test_buffered_protocols(ends: Ends) -> None:
    transport, _, other, _ = ends
    got = bytearray()
    done = asyncio.Event()

    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(1000)

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            got.extend(self.buffer[:nbytes])

        def eof_received(self) -> None:
            done.set()

    other.set_protocol(Buffered())
    data = bytes(range(256)) * 100
    transport.writelines([data[:100], memoryview(data)[100:200], bytearray(data[200:])])
    transport.write_eof()
    await done.wait()
    assert got == data


async def test_writes_keep_what_was_given_even_if_it_changes(ends: Ends) -> None:
    transport, _, _, theirs = ends
    theirs.transport.pause_reading()
    data = bytearray(b"a" * 5000)
    transport.write(data)
    data[:] = b"b" * 5000
    transport.write_eof()
    theirs.transport.resume_reading()
    await theirs.ended.wait()
    assert theirs.data == b"a" * 5000


async def test_write_buffer_limits(ends: Ends) -> None:
    transport = ends[0]
    transport.set_write_buffer_limits(high=1000)
    assert transport.get_write_buffer_limits() == (250, 1000)
    with pytest.raises(ValueError):
        transport.set_write_buffer_limits(high=1, low=2)
    with pytest.raises(TypeError):
        transport.write("text")  # type: ignore[arg-type]


class TunnelConnector(aiohttp.TCPConnector):
    """aiohttp's client over streams."""

    def __init__(self, tunnel: Tunnel) -> None:
        super().__init__()
        self._tunnel = tunnel
        self.made = 0

    async def _create_connection(self, req, traces, timeout):  # type: ignore[no-untyped-def]
        self.made += 1
        _, protocol = await self._tunnel.create_connection(self._factory, ApiTarget())
        return protocol


async def upload(request: web.Request) -> web.Response:
    digest = hashlib.sha256()
    async for chunk in request.content.iter_any():
        digest.update(chunk)
    return web.json_response({"sha256": digest.hexdigest(), "remote": request.remote})


async def download(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for number in range(32):
        await response.write(bytes([number]) * MIB)
    await response.write_eof()
    return response


async def socket(request: web.Request) -> web.WebSocketResponse:
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    async for message in answer:
        await answer.send_str(message.data.upper())
    return answer


async def file(request: web.Request) -> web.FileResponse:
    return web.FileResponse(Path(__file__))


@pytest.fixture
async def http() -> AsyncIterator[tuple[aiohttp.ClientSession, TunnelConnector]]:
    app = web.Application(client_max_size=0)
    app.add_routes([web.post("/upload", upload), web.get("/download", download)])
    app.add_routes([web.get("/socket", socket), web.get("/file", file)])
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    async for tunnel in connected(runner.server):
        connector = TunnelConnector(tunnel)
        async with aiohttp.ClientSession("http://edge", connector=connector) as session:
            yield session, connector
    await runner.cleanup()


async def test_http_uploads_and_downloads_on_kept_streams(
    http: tuple[aiohttp.ClientSession, TunnelConnector],
) -> None:
    session, connector = http
    data = b"".join(bytes([number]) * MIB for number in range(32))
    expected = hashlib.sha256(data).hexdigest()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    async with session.post("/upload", data=chunks()) as response:
        assert await response.json() == {"sha256": expected, "remote": "client"}
    async with session.get("/download") as response:
        digest = hashlib.sha256()
        async for chunk in response.content.iter_any():
            digest.update(chunk)
    assert digest.hexdigest() == expected
    # aiohttp gives a connection back once its upload task is done, maybe after the answer: GETs have none.
    made = connector.made
    async with session.get("/file") as response:
        assert await response.read()
    assert connector.made == made <= 2


async def test_http_websocket(http: tuple[aiohttp.ClientSession, TunnelConnector]) -> None:
    async with http[0].ws_connect("/socket") as ws:
        for word in ("one", "two"):
            await ws.send_str(word)
            assert await ws.receive_str() == word.upper()


async def test_http_files(http: tuple[aiohttp.ClientSession, TunnelConnector]) -> None:
    async with http[0].get("/file") as response:
        assert await response.read() == Path(__file__).read_bytes()
