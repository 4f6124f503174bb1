"""`--nat hard`: edge host and client behind symmetric NATs of their own, cloud and relay between them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from farsite_client.demo.place import Place
from farsite_client.lab import CLOUD_ADDRESS, TURN_ADDRESS, Lab, Nat, Site

CLOUD_PORT = 8080


@dataclass(frozen=True)
class NattedPlace(Place):
    """Namespaces that no link joins to this machine's network, so plain HTTP to the cloud stays among us."""

    lab: Lab
    site: Site
    away: Site

    def prefix(self, title: str) -> list[str]:
        namespace = self.lab.internet if title == "cloud" else self.site.host
        return namespace.command()

    @contextlib.contextmanager
    def as_client(self) -> Iterator[None]:
        with self.away.host.entered():
            yield

    def client_command(self, arguments: str) -> str:
        return f"sudo ip netns exec {self.away.host.name} {super().client_command(arguments)}"

    def cloud_environment(self) -> dict[str, str]:
        return super().cloud_environment() | {
            "FARSITE_BIND": CLOUD_ADDRESS,
            "FARSITE_PORT": str(CLOUD_PORT),
            "FARSITE_TURN_HOST": TURN_ADDRESS,
            "FARSITE_TURN_LISTENING_IP": TURN_ADDRESS,
            "FARSITE_TURN_PORT": "3478",
            "FARSITE_TURN_TLS_PORT": "5349",
        }

    def edge_environment(self) -> dict[str, str]:
        return super().edge_environment() | {"FARSITE_EDGE_ALLOW_HTTP_CLOUD": "true"}


@asynccontextmanager
async def behind_nats(folder: Path, cameras: int) -> AsyncIterator[Place]:
    """Raises `FarsiteError` (`unavailable`) saying what is missing: Linux, root, a program."""
    async with Lab() as lab:
        yield NattedPlace(folder, cameras, lab, await lab.site(Nat.HARD), await lab.site(Nat.HARD))
