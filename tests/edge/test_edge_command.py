"""`farsite edge …` as processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.edge.conftest import SmallCloud

# Several processes one after another, each of which imports half the world.
pytestmark = pytest.mark.timeout(240)

MAIN = "from farsite_edge.cli import edge; edge()"


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FARSITE")}
    return kept | {
        "FARSITE_EDGE_DATA_DIR": str(folder),
        "FARSITE_EDGE_BIND": "127.0.0.1",
        "FARSITE_EDGE_HTTP_PORT": "0",
        "FARSITE_EDGE_HTTPS_PORT": "0",
        "FARSITE_EDGE_MULTICAST": "false",
        "FARSITE_EDGE_DISCOVERY_MULTICAST": "false",
    }


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, *arguments, env=environment(folder), stdout=pipe, stderr=pipe
    )


async def ran(folder: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await start(folder, *arguments)
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def event(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(120):
        while line := await process.stdout.readline():
            told: dict[str, Any] = json.loads(line)
            if told["event"] == name:
                return told
    assert process.stderr is not None
    raise AssertionError((await process.stderr.read()).decode())


async def test_run_claim_and_stop(small_cloud: SmallCloud, tmp_path: Path) -> None:
    process = await start(tmp_path, "run", "--json")
    ready = await event(process, "ready")
    assert ready["state"] == "unclaimed"
    code, _, err = await ran(tmp_path, "claim", "WRONG", "--cloud", small_cloud.url)
    assert (code, "[setup_code_invalid]" in err) == (1, True)
    code, out, _ = await ran(tmp_path, "claim", "GOOD-CODE", "--cloud", small_cloud.url, "--json")
    assert (code, json.loads(out)["state"]) == (0, "claimed")
    assert (await event(process, "claimed"))["organization"] == "Test"
    _, out, _ = await ran(tmp_path, "settings", "--remote-access", "on", "--json")
    assert json.loads(out)["remote_access"] is True
    assert (await event(process, "remote_access"))["state"] == "connecting"
    _, out, _ = await ran(tmp_path, "status")
    assert "remote access" in out
    process.send_signal(signal.SIGTERM)
    _, err_bytes = await process.communicate()
    assert process.returncode == 0, err_bytes.decode()
    assert b"Traceback" not in err_bytes


async def test_messages_for_people(tmp_path: Path) -> None:
    code, _, err = await ran(tmp_path, "status")
    assert (code, "farsite edge run" in err) == (1, True)
    code, out, _ = await ran(tmp_path, "status", "--json")
    assert (code, json.loads(out)["code"]) == (1, "unavailable")


async def test_mistakes_are_told_in_words(tmp_path: Path) -> None:
    code, _, err = await ran(tmp_path, "run", "--set", "htps_port=1")
    assert (code, "https_port" in err, "[setting_unknown]" in err) == (1, True, True)
    code, _, _ = await ran(tmp_path, "settings", "--remote-access", "maybe")
    assert code == 2
