"""What `farsite status` shows of running sessions."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from farsite_client import runtime
from farsite_client.cli.status import describe
from farsite_client.runtime import (
    ErrorState,
    LocalPortState,
    SessionState,
    live_sessions,
    published,
    write_state,
)
from farsite_client.testing import Site, memory_session
from farsite_signaling.wire.path import TunnelStatus


def state(pid: int | None = None, tunnel: TunnelStatus | None = None, **more: Any) -> SessionState:
    now = datetime.now(UTC)
    values: dict[str, Any] = {"started": now, "updated": now, "state": "online", "tunnel": tunnel}
    return SessionState(
        pid=pid or os.getpid(),
        command="open",
        edge="Shop",
        edge_id="edge1",
        organization="Acme",
        **(values | more),
    )


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


async def test_a_running_session_is_shown_and_goes_with_its_command(tmp_path: Path) -> None:
    async with memory_session(Site()) as (session, _):
        port = LocalPortState(address="127.0.0.1", port=4711, target="Shop/00408C123456", connections=2)
        error = ErrorState(code="edge_offline", detail="It was away.", at=datetime.now(UTC))
        async with published(
            tmp_path, lambda: state(tunnel=session.status(), ports=[port], last_error=error)
        ):
            [shown] = live_sessions(tmp_path)
            assert shown.tunnel is not None and shown.tunnel.path == "lan"
            assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
            text = "\n".join(describe(shown))
            for words in (
                "lan – in memory",
                "127.0.0.1:4711",
                "It was away. [edge_offline]",
                "2 connections",
            ):
                assert words in text
    assert list(tmp_path.iterdir()) == []


async def test_the_file_is_rewritten_whole(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(runtime, "INTERVAL", 0.001)
    long = {"last_error": ErrorState(code="closed", detail="x" * 2000)}
    turns = 0

    def alternating() -> SessionState:
        nonlocal turns
        turns += 1
        return state(**(long if turns % 2 else {}))

    async with published(tmp_path, alternating):
        while turns < 50:
            assert len(live_sessions(tmp_path)) == 1
            await asyncio.sleep(0)


def test_dead_stale_and_damaged_files_are_removed(tmp_path: Path) -> None:
    write_state(tmp_path / "dead.json", state(pid=ended_pid()))
    write_state(tmp_path / "stale.json", state(updated=datetime.now(UTC) - timedelta(minutes=5)))
    (tmp_path / "damaged.json").write_bytes(b"{" * 100_000)
    write_state(tmp_path / "live.json", state())
    assert len(live_sessions(tmp_path)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["live.json"]


async def test_the_command_prints_them(cli: Callable[..., Awaitable[Any]], tmp_path: Path) -> None:
    assert json.loads((await cli("status", "--json")).out) == []
    folder = tmp_path / "home" / "run"
    folder.mkdir(parents=True)
    write_state(folder / "1.json", state())
    [row] = json.loads((await cli("status", "--json")).out)
    assert (row["edge"], row["pid"], row["tunnel"]) == ("Shop", os.getpid(), None)
    assert "Shop (Acme): online" in (await cli("status")).out
