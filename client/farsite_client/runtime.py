"""What runs on this machine for this user: one small file per running command, rewritten every second."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.path import TunnelStatus

INTERVAL = 1.0
STALE_SECONDS = 30.0
MAX_FILE = 64 * 1024


class LocalPortState(BaseModel):
    address: str
    port: int
    target: str
    url: str | None = None
    connections: int = 0


class ErrorState(BaseModel):
    code: ErrorCode | str
    detail: str
    at: datetime | None = None


class SessionState(BaseModel):
    """One line of `farsite status`. `tunnel` is None while there is none."""

    pid: int
    command: str
    edge: str
    edge_id: str
    organization: str
    state: str
    started: datetime
    updated: datetime
    tunnel: TunnelStatus | None = None
    ports: list[LocalPortState] = Field(default_factory=list)
    reconnects: int = 0
    last_error: ErrorState | None = None


def way(status: TunnelStatus) -> str:
    """The path and why it was taken, for people."""
    return f"{status.path} – {status.reason.removeprefix(f'{status.path}: ')}"


def process_lives(pid: int) -> bool:
    if sys.platform == "win32":
        # Signal 0 would end the process there; the file's age decides alone.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_state(file: Path, state: SessionState) -> None:
    """Whole or not at all, readable by its owner. Not flushed to the disk: it means nothing after a crash."""
    temporary = file.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(state.model_dump_json().encode())
    temporary.replace(file)


@asynccontextmanager
async def published(folder: Path, state: Callable[[], SessionState]) -> AsyncIterator[None]:
    """Keep a state file while the body runs."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
    write_state(file, state())
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_rewrite(file, state), name="state file")
            try:
                yield
            finally:
                task.cancel()
    finally:
        file.unlink(missing_ok=True)
        file.with_suffix(".new").unlink(missing_ok=True)


async def _rewrite(file: Path, state: Callable[[], SessionState]) -> None:
    while True:
        await asyncio.sleep(INTERVAL)
        with suppress(OSError):  # a full disk must not end the session it describes
            write_state(file, state())


def live_sessions(folder: Path, now: datetime | None = None) -> list[SessionState]:
    """All running sessions, oldest first; files of processes that are gone are removed."""
    now = now or datetime.now(UTC)
    found = []
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        state = _read(file)
        if state is None or _is_stale(state, now):
            file.unlink(missing_ok=True)
        else:
            found.append(state)
    return sorted(found, key=lambda state: state.started)


def _read(file: Path) -> SessionState | None:
    try:
        data = file.read_bytes()[:MAX_FILE]
        return SessionState.model_validate_json(data)
    except (OSError, ValidationError):
        return None


def _is_stale(state: SessionState, now: datetime) -> bool:
    # A number can be another process's by now, hence the age; a sleeping machine's files are written again at once.
    return not process_lives(state.pid) or (now - state.updated).total_seconds() > STALE_SECONDS
