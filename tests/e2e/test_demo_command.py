"""`farsite demo` as a user runs it: real processes, their ports, their output."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(180)


async def demo(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "farsite_client",
        "demo",
        "--folder",
        str(folder),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_once_with_json_does_the_main_job(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "farsite_client", "demo", "--once", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    result: dict[str, Any] = json.loads(out)
    assert result["ok"] is True
    assert result["path"] in ("lan", "direct")
    names = [step["name"] for step in result["steps"]]
    assert names[-2:] == ["upload 32 MiB", "download 32 MiB"]
    assert "read it back from the device itself" in names
    assert all(step["ms"] >= 0 for step in result["steps"])
    assert result["throughput_mbit"]["up"] > 0 and result["throughput_mbit"]["down"] > 0
    # Of the temporary folder only the snapshot stays.
    (folder,) = tmp_path.glob("farsite-demo-*")
    (picture,) = folder.iterdir()
    assert picture.match("snapshot-*.jpg")
    assert picture.read_bytes().startswith(b"\xff\xd8")


async def test_stays_up_until_interrupted_and_leaves_nothing_running(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "farsite_client",
        "demo",
        "--folder",
        str(tmp_path),
        "--mib",
        "1",
        "--cameras",
        "2",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    shown = ""
    async for line in process.stdout:
        shown += line.decode()
        if "Ctrl+C" in shown:
            break
    assert f" --home {tmp_path / 'client'} open 'Demo site/" in shown, shown
    url = next(word for word in shown.split() if word.startswith("http://"))
    process.send_signal(signal.SIGINT)
    rest, _ = await process.communicate()
    assert process.returncode == 0, shown + rest.decode()
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    with pytest.raises(OSError):
        await asyncio.open_connection(host, int(port))


async def test_nat_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    code, out, err = await demo(tmp_path, "--once", "--nat", "soft")
    assert code == 2
    assert "none" in err and "hard" in err
    assert "Traceback" not in out + err


async def test_killed_it_leaves_no_process(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "farsite_client",
        "demo",
        "--folder",
        str(tmp_path),
        "--cameras",
        "1",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if b"sign in as the owner" in line:
            break
    parts = await children(process.pid)
    parts += [child for part in parts for child in await children(part)]
    assert len(parts) >= 3
    process.kill()
    await process.wait()
    async with asyncio.timeout(20):
        while any(Path(f"/proc/{part}").exists() for part in parts):
            await asyncio.sleep(0.1)


async def children(process: int) -> list[int]:
    listing = await asyncio.create_subprocess_exec(
        "pgrep", "-P", str(process), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await listing.communicate()
    return [int(line) for line in out.split()]


async def test_another_demos_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cloud").mkdir()
    code, out, err = await demo(tmp_path, "--once", "--json")
    assert (code, json.loads(out)["code"]) == (1, "conflict"), err
