"""A member who sends slowly keeps nobody else from writing."""

from __future__ import annotations

import asyncio

from farsite_signaling.wire.rights import Role


async def test_a_slow_body_does_not_hold_the_database(world):
    viewer = await world.member(Role.ADMIN)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.running.cloud.port)
    writer.write(
        f"POST /api/v1/organizations/{viewer.org}/setup-codes HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {viewer.token}\r\nContent-Length: 15\r\n\r\n".encode()
    )
    await writer.drain()
    async with asyncio.timeout(5):
        # Enough turns that the slow request is where it waits.
        for _ in range(3):
            await world.owner.ok("GET", "/me")
        await world.setup_code()
        writer.write(b'{"name":"slow"}')
        assert b"201" in await reader.readline()
    writer.close()


async def test_a_body_that_breaks_off_is_no_fault_of_ours(world, caplog):
    reader, writer = await asyncio.open_connection("127.0.0.1", world.running.cloud.port)
    writer.write(b"POST /api/v1/claims HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
    await writer.drain()
    await world.owner.ok("GET", "/me")
    writer.close()
    await writer.wait_closed()
    await world.setup_code()
    assert "unhandled" not in caplog.text and "Traceback" not in caplog.text
    assert await reader.read() == b""
