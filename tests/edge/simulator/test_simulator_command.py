"""`farsite simulator` as a process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import aiohttp

RUN = [sys.executable, "-c", "from farsite_edge.simulator.command import simulator; simulator()"]


async def start(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*RUN, *arguments, stdout=pipe, stderr=pipe)


async def test_it_announces_its_devices_and_stops_cleanly() -> None:
    process = await start("--count", "3", "--factory-default", "1", "--no-multicast", "--json")
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    assert ready["event"] == "ready"
    assert [device["setup_required"] for device in ready["devices"]] == [False, False, True]
    async with aiohttp.ClientSession() as session, session.get(ready["devices"][0]["url"]) as response:
        assert response.status == 401
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_an_unknown_model_is_an_error_without_a_traceback() -> None:
    process = await start("--models", "P3265")
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.startswith(b"error: No simulated model is called 'P3265'. Did you mean P3265-V?")
    assert b"Traceback" not in errors


async def test_errors_as_json() -> None:
    process = await start("--models", "P3265", "--json")
    output, _ = await process.communicate()
    assert json.loads(output)["code"] == "not_found"
