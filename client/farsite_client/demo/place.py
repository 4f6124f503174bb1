"""Where the demo's parts run: all on this machine, on ports nobody else uses, data in one folder."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from farsite_client.demo.processes import Part

LOOPBACK = "127.0.0.1"
OWNER = "owner@demo.farsite"
PASSWORD = "see-farsite-work"


@dataclass(frozen=True)
class Place:
    """Everything on loopback. Another place overrides where a part runs and what it listens on."""

    folder: Path
    cameras: int

    def cloud(self) -> Part:
        return self.part("cloud", ["up"], self.cloud_environment())

    def site_cameras(self) -> Part:
        arguments = ["simulator", "--count", str(self.cameras), "--bind", self.camera_address()]
        # Serial numbers of its own: a second demo on this machine is another site.
        arguments += ["--site", self.folder.name]
        return self.part("cameras", [*arguments, "--interface", self.camera_address()])

    def edge_host(self) -> Part:
        return self.part("edge host", ["edge", "run"], self.edge_environment())

    def edge_command(self, *arguments: str) -> Part:
        return self.part(f"edge {arguments[0]}", ["edge", *arguments], self.edge_environment())

    def part(self, title: str, arguments: Sequence[str], environment: dict[str, str] | None = None) -> Part:
        return Part(title, arguments, environment=environment, prefix=self.prefix(title))

    def prefix(self, title: str) -> list[str]:
        """Command that runs another one where this part belongs."""
        del title
        return []

    @contextlib.contextmanager
    def as_client(self) -> Iterator[None]:
        """What runs inside sees the network as the client does."""
        yield

    def camera_address(self) -> str:
        return LOOPBACK

    @property
    def client_home(self) -> Path:
        return self.folder / "client"

    def client_command(self, arguments: str) -> str:
        return f"{farsite_command()} --home {shlex.quote(str(self.client_home))} {arguments}"

    def cloud_environment(self) -> dict[str, str]:
        turn, turn_tls = free_port(), free_port()
        return {
            "FARSITE_DATA_DIR": str(self.folder / "cloud"),
            "FARSITE_PORT": "0",
            "FARSITE_OWNER_EMAIL": OWNER,
            "FARSITE_OWNER_PASSWORD": PASSWORD,
            "FARSITE_ORGANIZATION": "Demo organization",
            "FARSITE_TURN_PORT": str(turn),
            "FARSITE_TURN_TLS_PORT": str(turn_tls),
        }

    def edge_environment(self) -> dict[str, str]:
        return {
            "FARSITE_EDGE_DATA_DIR": str(self.folder / "edge"),
            "FARSITE_EDGE_NAME": "Demo site",
            "FARSITE_EDGE_BIND": LOOPBACK,
            "FARSITE_EDGE_HTTP_PORT": "0",
            "FARSITE_EDGE_HTTPS_PORT": "0",
            "FARSITE_EDGE_MULTICAST": "false",
            "FARSITE_EDGE_DISCOVERY_INTERFACES": LOOPBACK,
            "FARSITE_EDGE_ALLOW_LOOPBACK_DEVICES": "true",
        }


def farsite_command() -> str:
    """What to type in another terminal to run this very `farsite`: the short name only if it leads here."""
    here = Path(sys.argv[0])
    if here.name.removesuffix(".exe") != "farsite":
        return f"{shlex.quote(sys.executable)} -m farsite_client"
    known = shutil.which("farsite")
    if known is not None and Path(known).resolve() == here.resolve():
        return "farsite"
    return shlex.quote(str(here.absolute()))


def free_port() -> int:
    """A TCP and UDP port that is free right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
