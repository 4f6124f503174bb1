"""The listening end of a bench: `python -m tests.bench.edge_process FOLDER [portable] [workers]`.

With `workers` each session has a process of its own, as an edge host runs them; without, this process does it all.

Streams take one line: `PUT n` (n bytes follow, answered by a line), `GET n` (n bytes come back), `CPU 0`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.reach import ApiAccess
from farsite_edge.workers.listener import WorkerListener
from farsite_signaling.identity import Identity, OrganizationTrust, load_public_key
from farsite_signaling.peer.listener import TunnelListener
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.hub import EnvelopeMessage, Undeliverable, dump, parse_hub_message
from farsite_signaling.wire.stream import OpenRequest
from tests.bench.harness import loop_factory
from tests.bench.rig import LINE_LIMIT, OPTIONS, cpu_seconds, without_offload

BLOCK = bytes(64 * 1024)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        line = await reader.readline()
        if not line:
            return
        verb, number = line.decode().split()
        if verb == "PUT":
            await take(reader, int(number))
            writer.write(b"done\n")
        elif verb == "GET":
            await give(writer, int(number))
        else:
            writer.write(f"{cpu_seconds()}\n".encode())
        await writer.drain()
        writer.write_eof()
        await reader.read()
    except ConnectionError:
        pass  # the client is gone, which is its business
    finally:
        writer.close()


async def take(reader: asyncio.StreamReader, size: int) -> None:
    while size > 0:
        data = await reader.read(len(BLOCK))
        if not data:
            raise ConnectionError("the stream ended early")
        size -= len(data)


async def give(writer: asyncio.StreamWriter, size: int) -> None:
    while size > 0:
        writer.write(BLOCK[:size])
        size -= min(size, len(BLOCK))
        await writer.drain()


class Acceptor:
    async def accept(self, tunnel: Tunnel, request: OpenRequest) -> Callable[[], asyncio.BaseProtocol]:
        return lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)


class EverythingAllowed:
    """In place of the edge host's `StreamJudge`."""

    async def judge(self, *_: object) -> ApiAccess:
        return ApiAccess()


async def lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def send(message: EnvelopeMessage) -> None:
    say(dump(message))


def listener_of(router: EnvelopeRouter, folder: Path, *, workers: bool) -> TunnelListener | WorkerListener:
    parts: dict[str, Any] = {
        "identity": Identity.load(folder / "edge"),
        "trust": OrganizationTrust((folder / "ca.pem").read_text()),
        "grant_key": load_public_key((folder / "grant.pem").read_text()),
        "admit": lambda grant: None,
        "options": OPTIONS,
        "router": router,
    }
    if not workers:
        return TunnelListener(**parts, acceptor=Acceptor())
    judge: Any = EverythingAllowed()
    protocol = lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)  # noqa: E731
    return WorkerListener(**parts, acceptor=EdgeAcceptor(judge, protocol, timeout=10.0))


async def main(folder: Path, *, workers: bool) -> None:
    import aiortc  # noqa: F401 - before anybody measures how fast a session opens

    router = EnvelopeRouter(send)
    listener = listener_of(router, folder, workers=workers)
    reader = await lines()
    async with listener:
        listener.prepare()
        say("ready")
        while line := await reader.readline():
            message = parse_hub_message(line)
            if isinstance(message, EnvelopeMessage | Undeliverable):
                router.receive(message)


if __name__ == "__main__":
    if "portable" in sys.argv:
        without_offload()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(Path(sys.argv[1]), workers="workers" in sys.argv))
