"""Sessions in real processes of their own: what happens to one does not happen to another."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio

from farsite_edge.workers.pool import supported
from farsite_edge.workers.session import WorkerLimits
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import EnvelopeMessage, SessionEnded
from farsite_signaling.wire.rights import Role, rights_of
from farsite_signaling.wire.stream import ApiTarget, DeviceTarget
from tests.bench.rig import Rig

from .conftest import DEVICE, Site, alive, children, descriptors, site, until

BUSY = 3.0
"""What a busy machine may add to a bound, seconds."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not supported(), reason="sessions have no processes of their own on this system"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def busy() -> AsyncIterator[Site]:
    """One for all: each test opens sessions of its own."""
    async with site(limits=WorkerLimits(patience=3.0)) as running:
        yield running


class Echoing:
    """Bytes to the echoing API and back, all the time."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self.blocks = 0

    async def run(self) -> None:
        reader, writer = await self._tunnel.open_stream(ApiTarget())
        while True:
            block = os.urandom(32 * 1024)
            writer.write(block)
            assert await reader.readexactly(len(block)) == block
            self.blocks += 1

    async def goes_on(self) -> None:
        now = self.blocks
        await until(lambda: self.blocks > now + 5)


async def test_api_and_device_through_a_process(busy: Site) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"camera " + await reader.readline())
        await writer.drain()
        writer.close()

    async with await busy.dial() as tunnel, busy.device(serve):
        assert await busy.pid(tunnel) != os.getpid()
        reader, writer = await tunnel.open_stream(ApiTarget())
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        writer.close()
        reader, writer = await tunnel.open_stream(DeviceTarget(device=DEVICE))
        writer.write(b"one\n")
        assert await reader.read() == b"camera one\n"
        writer.close()
        with pytest.raises(FarsiteError) as refused:
            await tunnel.open_stream(DeviceTarget(device="ACCC8E0000FF"))
        assert refused.value.code is ErrorCode.DEVICE_UNKNOWN
    assert await busy.end_of(tunnel.session) is None
    [(device, used)] = busy.acceptor.usage.end(tunnel.session)
    assert (device, used["streams"], used["bytes_sent"], used["bytes_received"]) == (DEVICE, 1, 11, 4)
    assert [row for row, _ in busy.devices.rows] == ["device.web", "stream.open"]


async def test_the_rights_of_each_session_are_its_own(busy: Site) -> None:
    async with await busy.dial(role=Role.VIEWER, rights=rights_of(Role.VIEWER)) as viewer:
        with pytest.raises(FarsiteError) as refused:
            await viewer.open_stream(DeviceTarget(device=DEVICE))
        assert (refused.value.code, refused.value.right) == (ErrorCode.FORBIDDEN, None)


async def test_one_that_is_killed_takes_nobody_along(busy: Site) -> None:
    async with await busy.dial() as victim, await busy.dial() as other, asyncio.TaskGroup() as group:
        echoing = Echoing(other)
        task = group.create_task(echoing.run())
        _, writer = await victim.open_stream(ApiTarget())
        await echoing.goes_on()
        os.kill(await busy.pid(victim), signal.SIGKILL)
        error = await busy.end_of(victim.session)
        assert error is not None and "signal 9" in error.detail
        await echoing.goes_on()
        # Its client looks for another link and hears that the tunnel is no more.
        async with asyncio.timeout(20):
            lost = await victim.wait_closed()
        assert lost is not None and lost.code is ErrorCode.SESSION_ENDED
        writer.close()
        await echoing.goes_on()
        task.cancel()
        async with await busy.dial() as again:
            _, writer = await again.open_stream(ApiTarget())
            writer.close()


async def test_one_that_hangs_is_ended_and_others_do_not_wait(busy: Site) -> None:
    async with await busy.dial() as victim, await busy.dial() as other, asyncio.TaskGroup() as group:
        echoing = Echoing(other)
        task = group.create_task(echoing.run())
        pid = await busy.pid(victim)
        os.kill(pid, signal.SIGSTOP)
        await echoing.goes_on()
        error = await busy.end_of(victim.session)
        assert error is not None and "no sign of life for 3 s" in error.detail
        assert not alive(pid)
        await echoing.goes_on()
        task.cancel()


async def test_a_session_that_is_taken_back_ends_within_five_seconds_hung_or_not(busy: Site) -> None:
    async with await busy.dial() as tunnel, await busy.dial() as hung:
        os.kill(await busy.pid(hung), signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for session in (tunnel.session, hung.session):
            await busy.listener.ended(
                SessionEnded(session=session, code="session_ended", detail="Role changed.")
            )
        assert loop.time() - began < 2.5, "nobody waits for a process that hangs"
        async with asyncio.timeout(5 + BUSY):
            error = await tunnel.wait_closed()
        assert error is not None and (error.code, error.detail) == (ErrorCode.SESSION_ENDED, "Role changed.")
        errors = [await busy.end_of(session, 5 + BUSY) for session in (tunnel.session, hung.session)]
        assert [error.code for error in errors if error] == [ErrorCode.SESSION_ENDED] * 2
    with pytest.raises(FarsiteError) as refused:
        await busy.dial(tunnel.session)
    assert refused.value.code is ErrorCode.SESSION_ENDED


async def test_a_lost_link_is_replaced_in_the_same_process(busy: Site) -> None:
    async with await busy.dial() as tunnel:
        reader, writer = await tunnel.open_stream(ApiTarget())
        pid = await busy.pid(tunnel)
        link: Any = tunnel._link
        link.fail(FarsiteError(ErrorCode.PEER_UNREACHABLE, "Cut by the test."))
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        assert (tunnel.status().moves, await busy.pid(tunnel)) == (1, pid)
        session = await busy.other_end(tunnel)
        await session.report(5)
        status = session.status()
        assert (status.moves, status.session, status.remote) == (
            1,
            tunnel.session,
            busy.organization.client.urn,
        )
        writer.close()


async def test_offers_that_are_not_good_start_no_process(busy: Site) -> None:
    before = {worker.number for worker in busy.listener.pool.workers}

    def tampered(message: EnvelopeMessage) -> EnvelopeMessage:
        return message.model_copy(
            update={"envelope": message.envelope.model_copy(update={"signature": "A" * 86})}
        )

    busy.refused.clear()
    for claims in ({"until": 1}, {"aud": "urn:farsite:acme:edge:other"}):
        with pytest.raises(FarsiteError):
            await busy.dial(**claims)
    busy.denial = FarsiteError(ErrorCode.REMOTE_ACCESS_OFF, "Off.")
    with pytest.raises(FarsiteError):
        await busy.dial()
    busy.denial = None
    busy.wire.to_edge = tampered
    with pytest.raises(FarsiteError):
        await busy.dial()
    busy.wire.to_edge = lambda message: message
    assert len(busy.refused) == 4
    assert {worker.number for worker in busy.listener.pool.workers} <= before


async def test_twenty_sessions_leave_nothing_behind(busy: Site) -> None:
    async def once() -> int:
        async with await busy.dial() as tunnel:
            pid = await busy.pid(tunnel)
            _, writer = await tunnel.open_stream(ApiTarget())
            writer.close()
        await busy.end_of(tunnel.session)
        return pid

    await once()
    await until(lambda: len(busy.listener.pool.workers) == 1)
    before = descriptors()
    pids = [await once() for _ in range(20)]
    assert len(set(pids)) == 20
    await until(lambda: not any(alive(pid) for pid in pids) and len(busy.listener.pool.workers) == 1)
    await until(lambda: descriptors() <= before)
    assert busy.listener.tunnels == []


async def test_the_limit_is_said_clearly() -> None:
    async with site(max_sessions=1) as full, await full.dial():
        with pytest.raises(FarsiteError) as refused:
            await full.dial()
        assert refused.value.code is ErrorCode.UNAVAILABLE
        assert "1 sessions open" in refused.value.detail


async def test_a_session_whose_client_is_away_gives_its_place() -> None:
    async with site(max_sessions=1) as full, await full.dial() as away:
        there = await full.other_end(away)
        keeping, link = away._keeping, away._link
        assert keeping is not None and link is not None
        keeping.cancel()  # it does not come back by itself
        await link.close()
        await until(lambda: there.detached_at is not None)
        async with await full.dial() as next_one:
            await full.other_end(next_one)
            error = await full.end_of(away.session)
            assert error is not None and "Its place was needed" in error.detail


async def test_one_that_takes_too_much_memory_is_ended() -> None:
    async with site(limits=WorkerLimits(memory=1024 * 1024)) as small:
        with suppress(FarsiteError):  # on a busy machine it is ended before the tunnel stands
            async with await small.dial("large"):
                await until(lambda: not small.closed.empty())
        error = await small.end_of("large")
        assert error is not None and "more than 1 MiB of memory" in error.detail


async def test_when_the_zygote_dies_its_sessions_end_and_new_ones_come() -> None:
    async with site() as running:
        async with await running.dial() as tunnel:
            zygote = running.listener.pool.zygote
            assert zygote is not None
            pid = await running.pid(tunnel)
            os.kill(zygote, signal.SIGKILL)
            assert await running.end_of(tunnel.session) is not None
            await until(lambda: not alive(pid))
        async with await running.dial() as tunnel:
            assert running.listener.pool.zygote != zygote
        await running.end_of(tunnel.session)


async def test_nothing_outlives_the_edge_host() -> None:
    """Killed, with a session that hangs."""
    try:
        async with Rig(workers=True) as rig:
            main = rig._child._process
            tunnel = await rig.dial()
            async with tunnel:
                _, writer = await tunnel.open_stream(ApiTarget())
                processes = children(main.pid)
                assert len(processes) >= 2
                for pid in processes:
                    if not children(pid):
                        os.kill(pid, signal.SIGSTOP)
                main.kill()
                await until(lambda: not any(alive(pid) for pid in processes), 5)
                writer.close()
                tunnel.fail(FarsiteError(ErrorCode.CLOSED, "The test is over."))
    except* EOFError:
        pass  # what the killed one's other end raises
