"""Real servers for tests and benchmarks: PostgreSQL and Redis with data of their own, stopped, halted and started anew.

They come from the system's packages; one that is missing is an error and never a test left out.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

_STARTED_WITHIN = 30.0
_DEBIAN = Path("/usr/lib/postgresql")
# Commits are written before they are told: a server that is stopped at once loses none of them.
_FAST = ("fsync=off", "full_page_writes=off", "max_connections=200")


class Server:
    """A process with its own folder. `halt` freezes it: it takes connections and answers nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, **_unprivileged())  # noqa: S603
        log.close()
        deadline = time.monotonic() + _STARTED_WITHIN
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command()[0]}: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """At once, as a crash would. Idempotent."""
        if self._process is None:
            return
        self.go_on()
        self._process.send_signal(self._quit_signal)
        self._process.wait(timeout=20)
        self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def halt(self) -> None:
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        for pid in self._family():
            os.kill(pid, signal.SIGCONT)

    def _family(self) -> list[int]:
        if self._process is None:
            return []
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [self._process.pid, *map(int, children)]

    _quit_signal = signal.SIGKILL

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class PostgresServer(Server):
    """Reached through a socket in its folder alone, as the user `farsite`, without a password."""

    # An immediate shutdown: backends end too, nothing is written (PostgreSQL manual, 19.5).
    _quit_signal = signal.SIGQUIT

    def prepare(self) -> None:
        initdb = [_postgres("initdb"), "-D", str(self.folder / "data"), "-U", "farsite", "-A", "trust"]
        options = ["--no-sync", "--locale=C", "--encoding=UTF8"]
        subprocess.run([*initdb, *options], check=True, capture_output=True, **_unprivileged())  # noqa: S603

    def url(self, name: str) -> str:
        return f"postgresql:///{name}?host={self.folder}&user=farsite"

    async def create(self, name: str, template: str = "template1") -> str:
        """The URL of a new database."""
        await self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return self.url(name)

    async def drop(self, name: str) -> None:
        await self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def execute(self, statement: str, name: str = "postgres") -> None:
        connection = await asyncpg.connect(self.url(name))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _command(self) -> list[str]:
        options = [f"unix_socket_directories={self.folder}", "listen_addresses=", *_FAST]
        given = [part for option in options for part in ("-c", option)]
        return [_postgres("postgres"), "-D", str(self.folder / "data"), *given]

    def _answers(self) -> bool:
        ready = [_postgres("pg_isready"), "-q", "-h", str(self.folder), "-d", "postgres", "-U", "farsite"]
        return subprocess.run(ready, check=False).returncode == 0  # noqa: S603


class RedisServer(Server):
    """Keeps nothing when stopped."""

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock"

    def cli(self, *words: str) -> str:
        command = [_found("redis-cli"), "-s", str(self.folder / "redis.sock"), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603

    def _command(self) -> list[str]:
        options = ["--port", "0", "--unixsocket", str(self.folder / "redis.sock"), "--save", ""]
        return [_found("redis-server"), *options, "--dir", str(self.folder)]

    def _answers(self) -> bool:
        try:
            return self.cli("ping") == "PONG"
        except subprocess.CalledProcessError:
            return False


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    with _folder("farsite-postgres-") as folder:
        server = PostgresServer(folder)
        server.prepare()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    with _folder("farsite-redis-") as folder:
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@asynccontextmanager
async def fresh_database(server: PostgresServer, template: str = "template1") -> AsyncIterator[str]:
    """The URL of a database that is dropped afterwards."""
    name = f"farsite_{os.urandom(6).hex()}"
    yield await server.create(name, template)
    await asyncio.shield(server.drop(name))


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    """Short, because the path of a socket is; and the server's own, whoever runs the tests."""
    # Outside the tests' own folders, into which the server's account cannot look.
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if (user := _unprivileged().get("user")) is not None:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def _postgres(program: str) -> str:
    found = sorted(_DEBIAN.glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else _found(program)


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise RuntimeError(f"tests need {program}: run `make packages`")
    return path
