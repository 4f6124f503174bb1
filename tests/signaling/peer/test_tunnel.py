from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from farsite_signaling.peer.stream import StreamResetError
from farsite_signaling.peer.testing import MemoryLink, memory_links
from farsite_signaling.peer.tunnel import Tunnel, TunnelState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.path import Path
from farsite_signaling.wire.stream import ApiTarget, DeviceTarget, OpenRequest, Priority
from tests.signaling.skipping import SkippingLoop


class Acceptor:
    """Serves every stream with a function over a reader and a writer."""

    def __init__(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]) -> None:
        self._serve = serve
        self.requests: list[OpenRequest] = []
        self.refusal: FarsiteError | Exception | None = None
        self.gate: asyncio.Event | None = None

    async def accept(self, tunnel: Tunnel, request: OpenRequest) -> Callable[[], asyncio.BaseProtocol]:
        self.requests.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        return lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._serve)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionResetError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def tunnels(
    acceptor: Acceptor, links: tuple[MemoryLink, MemoryLink], **options: float
) -> tuple[Tunnel, Tunnel]:
    near = Tunnel(links[0], session="s1", remote="urn:farsite:o:edge:e", initiator=True, **options)  # type: ignore[arg-type]
    far = Tunnel(
        links[1],
        session="s1",
        remote="urn:farsite:o:user:u:device:d",
        initiator=False,
        acceptor=acceptor,
        **options,  # type: ignore[arg-type]
    )
    return near, far


@pytest.fixture
def acceptor() -> Acceptor:
    return Acceptor(echo)


@pytest.fixture
def links() -> tuple[MemoryLink, MemoryLink]:
    return memory_links()


@pytest.fixture
async def pair(
    acceptor: Acceptor, links: tuple[MemoryLink, MemoryLink]
) -> AsyncIterator[tuple[Tunnel, Tunnel]]:
    near, far = tunnels(acceptor, links)
    async with far, near:
        yield near, far


async def test_a_stream_carries_bytes_both_ways(pair: tuple[Tunnel, Tunnel], acceptor: Acceptor) -> None:
    target = DeviceTarget(device="cam1")
    reader, writer = await pair[0].open_stream(target, priority=Priority.BULK)
    writer.write(b"hello")
    writer.write_eof()
    assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()
    assert acceptor.requests == [OpenRequest(target=target, priority=Priority.BULK)]
    assert writer.get_extra_info("tunnel") is pair[0]
    assert writer.get_extra_info("stream_target") == target


async def test_a_refusal_reaches_the_opener(pair: tuple[Tunnel, Tunnel], acceptor: Acceptor) -> None:
    acceptor.refusal = FarsiteError(ErrorCode.FORBIDDEN, "Viewers may not open device pages.")
    with pytest.raises(FarsiteError) as caught:
        await pair[0].open_stream(ApiTarget())
    assert caught.value.code is ErrorCode.FORBIDDEN
    assert caught.value.detail == "Viewers may not open device pages."


async def test_a_broken_acceptor_says_nothing_of_itself(
    pair: tuple[Tunnel, Tunnel], acceptor: Acceptor
) -> None:
    acceptor.refusal = ValueError("secret path")
    with pytest.raises(FarsiteError) as caught:
        await pair[0].open_stream(ApiTarget())
    assert caught.value.code is ErrorCode.INTERNAL
    assert "secret" not in caught.value.detail


async def test_without_an_acceptor_streams_are_refused(pair: tuple[Tunnel, Tunnel]) -> None:
    with pytest.raises(FarsiteError) as caught:
        await pair[1].open_stream(ApiTarget())
    assert caught.value.code is ErrorCode.STREAM_REFUSED


async def test_many_streams_open_at_once(pair: tuple[Tunnel, Tunnel]) -> None:
    async def talk(number: int) -> bytes:
        reader, writer = await pair[0].open_stream(ApiTarget())
        writer.write(b"%d" % number)
        writer.write_eof()
        data = await reader.read()
        writer.close()
        return data

    answers = await asyncio.gather(*(talk(number) for number in range(200)))
    assert answers == [b"%d" % number for number in range(200)]


async def test_giving_up_an_open_cancels_the_other_side(
    pair: tuple[Tunnel, Tunnel], acceptor: Acceptor
) -> None:
    acceptor.gate = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pair[0].open_stream(ApiTarget())
    acceptor.gate = None
    _, writer = await pair[0].open_stream(ApiTarget())
    assert pair[0].status().streams == pair[1].status().streams == 1
    writer.close()


async def test_closing_tells_the_other_side_why(pair: tuple[Tunnel, Tunnel]) -> None:
    near, far = pair
    reader, _writer = await near.open_stream(ApiTarget())
    await far.close(ErrorCode.SESSION_ENDED, "The session was revoked.")
    error = await near.wait_closed()
    assert error is not None and error.code is ErrorCode.SESSION_ENDED
    assert error.detail == "The session was revoked."
    with pytest.raises(StreamResetError) as caught:
        await reader.read()
    assert caught.value.code is ErrorCode.SESSION_ENDED
    with pytest.raises(FarsiteError) as refused:
        await near.open_stream(ApiTarget())
    assert refused.value.code is ErrorCode.SESSION_ENDED
    assert "session_ended" in (near.status().last_error or "")


async def test_an_orderly_close_is_no_error(pair: tuple[Tunnel, Tunnel]) -> None:
    await pair[0].close()
    await pair[0].close()
    assert await pair[1].wait_closed() is None
    assert await pair[0].wait_closed() is None


async def test_what_was_written_before_an_orderly_close_arrives(links: tuple[MemoryLink, MemoryLink]) -> None:
    received = asyncio.get_running_loop().create_future()

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await reader.read())
        writer.close()

    near, far = tunnels(Acceptor(collect), links)
    async with far:
        async with near:
            _, writer = await near.open_stream(ApiTarget())
            writer.write(bytes(200_000))
            writer.close()
        assert len(await received) == 200_000


async def test_a_lost_link_ends_the_tunnel(
    pair: tuple[Tunnel, Tunnel], links: tuple[MemoryLink, MemoryLink]
) -> None:
    reader, _writer = await pair[0].open_stream(ApiTarget())
    links[0].cut()
    for tunnel in pair:
        error = await tunnel.wait_closed()
        assert error is not None and error.code is ErrorCode.PEER_UNREACHABLE
        assert tunnel.status().path is Path.NONE
    with pytest.raises(ConnectionResetError):
        await reader.read()


async def test_a_tunnel_that_was_never_used_closes(links: tuple[MemoryLink, MemoryLink]) -> None:
    near, _ = tunnels(Acceptor(echo), links)
    await near.close()
    assert near.state is TunnelState.CLOSED and links[0].closed


async def test_status_counts(pair: tuple[Tunnel, Tunnel]) -> None:
    reader, writer = await pair[0].open_stream(ApiTarget())
    writer.write(bytes(10_000))
    await reader.readexactly(10_000)
    status = pair[0].status()
    assert (status.path, status.reason, status.streams) == (Path.LAN, "in memory", 1)
    assert status.bytes_sent >= 10_000 and status.bytes_received >= 10_000
    assert status.since is not None and status.last_error is None
    assert status.rtt_ms is not None and status.rtt_ms < 1000
    writer.close()


async def test_streams_move_to_another_link_without_a_byte_lost(acceptor: Acceptor) -> None:
    links = memory_links(step_bytes=64 * 1024)
    near, far = tunnels(acceptor, links, resume_timeout=5.0)
    data = bytes(range(256)) * 8192
    async with far, near, asyncio.TaskGroup() as group:
        reader, writer = await near.open_stream(ApiTarget())
        writer.write(data)
        back = group.create_task(reader.readexactly(len(data)), name="read")
        for _ in range(5):
            while near.status().bytes_received < 100_000:
                await asyncio.sleep(0)
            links[0].cut()
            while TunnelState.OPEN in (near.state, far.state):
                await asyncio.sleep(0)
            links = memory_links(step_bytes=64 * 1024)
            far.attach(links[1])
            near.attach(links[0])
            for _ in range(30):
                await asyncio.sleep(0)
        assert await back == data
        writer.close()


async def test_moving_while_the_old_link_still_works(acceptor: Acceptor) -> None:
    old, new = memory_links(step_bytes=16 * 1024), memory_links()
    near, far = tunnels(acceptor, old)
    data = bytes(range(256)) * 4096
    async with far, near, asyncio.TaskGroup() as group:
        reader, writer = await near.open_stream(ApiTarget())
        writer.write(data)
        back = group.create_task(reader.readexactly(len(data)), name="read")
        for _ in range(20):
            await asyncio.sleep(0)
        far.attach(new[1])
        near.attach(new[0])
        assert await back == data
        assert near.status().last_error is None and near.status().moves == 1
        writer.close()
    assert old[0].closed and old[1].closed


async def test_without_another_link_in_time_the_tunnel_ends(acceptor: Acceptor) -> None:
    links = memory_links()
    near, far = tunnels(acceptor, links, resume_timeout=0.05)
    async with far, near:
        links[0].cut()
        error = await near.wait_closed()
        assert error is not None and error.code is ErrorCode.PEER_UNREACHABLE


async def test_no_tasks_are_left(acceptor: Acceptor) -> None:
    before = asyncio.all_tasks()
    near, far = tunnels(acceptor, memory_links())
    async with far, near:
        _, writer = await near.open_stream(ApiTarget())
        writer.write(b"x")
        names = {task.get_name() for task in asyncio.all_tasks() - before}
        assert all(not name.startswith("Task-") or "echo" not in name for name in names)
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


def test_a_silent_peer_is_noticed_within_six_seconds() -> None:
    async def run() -> None:
        links = memory_links()
        near, far = tunnels(Acceptor(echo), links)
        loop = asyncio.get_running_loop()
        async with far, near:
            _, writer = await near.open_stream(ApiTarget())
            await asyncio.sleep(60)
            assert near.state is TunnelState.OPEN
            links[0].silence()
            start = loop.time()
            errors = await asyncio.gather(near.wait_closed(), far.wait_closed())
            assert loop.time() - start <= 6.1
            assert [error and error.code for error in errors] == [ErrorCode.PEER_TIMEOUT] * 2
            assert writer.is_closing()

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(run())


async def test_garbage_on_a_channel_hurts_that_stream_alone(
    pair: tuple[Tunnel, Tunnel], links: tuple[MemoryLink, MemoryLink]
) -> None:
    reader, writer = await pair[0].open_stream(ApiTarget())
    channel = links[0].open_channel("s")
    for message in (b"\xff" * 100, b"\x03junk", b""):
        links[0].send(channel, message)
    writer.write(b"fine")
    assert await reader.readexactly(4) == b"fine"
    assert pair[1].state is TunnelState.OPEN
    writer.close()
