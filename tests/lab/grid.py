"""A cloud on the lab's internet, an edge host and a client behind each kind of NAT: all real processes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from farsite_client.demo.processes import Part
from farsite_client.lab import CLOUD_ADDRESS, TURN_ADDRESS, Lab, Namespace, Nat, Site
from farsite_client.lab.namespaces import which
from farsite_cloud.turn.certificate import ensure_certificate
from farsite_cloud.turn.config import TurnSettings, render

URL = f"https://{CLOUD_ADDRESS}"
OWNER, PASSWORD = "owner@lab.example", "see-the-lab-work"
SECOND_TURN = "5.9.0.21"
TURN_SECRET = "the-secret-of-the-lab-s-relays"
PROXY_PASSWORD = "open: sesame/1"
SAME_LAN = "same-lan"
WRONG_PASSWORD = "proxy-only, wrong password"
ANSWER_SECONDS = 90.0
ROOT = Path(__file__).parents[2]


class Client:
    """A `client_main.py` in a namespace."""

    def __init__(self, host: Namespace, home: Path, ca_file: Path, proxy: str = "") -> None:
        module = "tests.lab.client_main"
        self._command = host.command(sys.executable, "-m", module, str(home), str(ca_file), proxy)
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Client:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, cwd=ROOT
        )
        await self._read()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            await asyncio.wait_for(self._process.communicate(b""), 10)

    async def _read(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), ANSWER_SECONDS)
        assert line, "the client process ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask(self, do: str, **arguments: str | float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdin is not None
        async with self._turn:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            return await self._read()

    async def sign_in(self) -> dict[str, Any]:
        return await self.ask("sign_in", url=URL, email=OWNER, password=PASSWORD)


class Grid:
    """`edges`, `clients`: the kinds of site that get an edge host, a client. All, and some more, by default.

    `two_relays`: the cloud tells of a second one, which does not run before `second_relay`.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        edges: Sequence[Nat] = tuple(Nat),
        clients: Sequence[Nat] | None = None,
        two_relays: bool = False,
    ) -> None:
        self.lab = lab
        self._edge_kinds = edges
        self._client_kinds = tuple(Nat) if clients is None else clients
        self._extras = clients is None
        self._two_relays = two_relays
        self.folder = lab.directory
        self.clients: dict[str, Client] = {}
        self.sites: dict[str, Site] = {}
        """Of edge hosts."""
        self.client_sites: dict[str, Site] = {}
        self.edges: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self._stack = AsyncExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Grid]:
        async with self._stack:
            self.ca_file = self._certificate()
            await self._start_cloud()
            await self._start_clients()
            await self._start_edges()
            self.edges = [str(nat) for nat in self._edge_kinds]
            yield self

    def _certificate(self) -> Path:
        self._tls = ensure_certificate(self.folder / "tls", CLOUD_ADDRESS)
        return self.folder / "tls" / "ca.pem"

    async def _start_cloud(self) -> None:
        environment = {
            "FARSITE_DATA_DIR": str(self.folder / "cloud"),
            "FARSITE_BIND": CLOUD_ADDRESS,
            "FARSITE_PORT": "443",
            "FARSITE_PUBLIC_URL": URL,
            "FARSITE_TLS_CERTIFICATE": str(self._tls.certificate),
            "FARSITE_TLS_KEY": str(self._tls.key),
            "FARSITE_OWNER_EMAIL": OWNER,
            "FARSITE_OWNER_PASSWORD": PASSWORD,
            "FARSITE_TURN_HOST": TURN_ADDRESS,
            "FARSITE_TURN_LISTENING_IP": TURN_ADDRESS,
            "FARSITE_TURN_ALT_TLS_PORT": "443",
            "FARSITE_TURN_SECRET": TURN_SECRET,
        }
        if self._two_relays:
            environment["FARSITE_TURN_MORE_HOSTS"] = SECOND_TURN
        part = Part("cloud", ["up"], environment=environment, prefix=self.lab.internet.command())
        ready = await (await self._stack.enter_async_context(part)).event("ready")
        assert ready["turn"]["running"], ready["turn"]["warning"]

    async def _start_clients(self) -> None:
        places: dict[str, tuple[Namespace, str]] = {}
        for nat in self._client_kinds:
            site = await self.lab.site(nat, password=PROXY_PASSWORD)
            self.client_sites[nat] = site
            places[nat] = (site.host, site.proxy.url() if site.proxy else "")
            if site.proxy and self._extras:
                places[WRONG_PASSWORD] = (site.host, site.proxy.url("guess"))
        self.sites = {nat: await self.lab.site(nat, password=PROXY_PASSWORD) for nat in self._edge_kinds}
        if self._extras:
            places[SAME_LAN] = (await self.lab.add_host(self.sites[Nat.EASY]), "")
        for name, (host, proxy) in places.items():
            client = Client(host, self.folder / f"client {name}", self.ca_file, proxy)
            self.clients[name] = await self._stack.enter_async_context(client)
            if name != WRONG_PASSWORD:
                answer = await self.clients[name].sign_in()
                assert answer["ok"], answer

    @asynccontextmanager
    async def second_relay(self) -> AsyncIterator[None]:
        """The one that the cloud has told of all along."""
        await self.lab.internet.run("ip", "addr", "add", f"{SECOND_TURN}/16", "dev", "wan")
        folder = self.folder / "second relay"
        folder.mkdir()
        settings = TurnSettings(
            host=SECOND_TURN,
            secrets=(TURN_SECRET,),
            listening_ips=(SECOND_TURN,),
            tls_port=None,
            alt_tls_port=None,
            data_dir=folder,
        )
        (folder / "turnserver.conf").write_text(render(settings))
        command = self.lab.internet.command(
            which("turnserver") or "turnserver", "-c", str(folder / "turnserver.conf")
        )
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            await process.wait()

    def first_relay(self) -> int:
        """Its process."""
        return int((self.folder / "cloud" / "turn" / "turnserver.pid").read_text())

    def edge_environment(self, nat: Nat, folder: str) -> dict[str, str]:
        return {
            "FARSITE_EDGE_DATA_DIR": str(self.folder / folder),
            "FARSITE_EDGE_CLOUD_CA": str(self.ca_file),
            "FARSITE_EDGE_MULTICAST": "false",
            "FARSITE_EDGE_DISCOVERY_MULTICAST": "false",
            "FARSITE_EDGE_NAME": str(nat),
        }

    async def claim(self, nat: Nat, folder: str, proxy: str | None) -> tuple[int, str]:
        """`farsite edge claim` in the site of this kind; exit status and output."""
        code = (await self.clients[self._client_kinds[0]].ask("setup_code", name=str(nat)))["code"]
        arguments = ["edge", "claim", code, "--cloud", URL, "--remote-access", "--json"]
        arguments += ["--proxy", proxy] if proxy else []
        process = await asyncio.create_subprocess_exec(
            *self.sites[nat].host.command("env", *_assignments(self.edge_environment(nat, folder))),
            *[sys.executable, "-m", "farsite_client", *arguments],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), ANSWER_SECONDS)
        assert process.returncode is not None
        return process.returncode, output.decode(errors="replace")

    async def _start_edges(self) -> None:
        # Two at a time: starting is work for the processor.
        gate = asyncio.Semaphore(2)
        await asyncio.gather(*(self._claim(nat, gate) for nat in self._edge_kinds))
        parts = [await self._stack.enter_async_context(self._edge(nat)) for nat in self._edge_kinds]
        await asyncio.gather(*(part.event("cloud_online") for part in parts))

    async def _claim(self, nat: Nat, gate: asyncio.Semaphore) -> None:
        proxy = self.sites[nat].proxy
        async with gate:
            status, output = await self.claim(nat, f"edge {nat}", proxy.url() if proxy else None)
        assert status == 0, output

    def _edge(self, nat: Nat) -> Part:
        environment = self.edge_environment(nat, f"edge {nat}")
        prefix = self.sites[nat].host.command()
        return Part(f"edge host {nat}", ["edge", "run"], environment=environment, prefix=prefix)

    async def open(self, edge: str, client: str, expected: str) -> dict[str, Any]:
        """One cell, recorded."""
        settle = "" if expected.startswith("relay") else "direct"
        answer = await self.clients[client].ask("open", edge=edge, settle=settle)
        row = {
            "edge": edge,
            "client": client,
            "connected": answer["ok"],
            "path": answer.get("path", "none"),
            "first": answer.get("first", "none"),
            "expected": expected,
            "open_ms": answer.get("open_ms"),
            "reason": answer.get("reason") or f"{answer.get('detail')} [{answer.get('code')}]",
        }
        self.rows.append(row)
        return row


def _assignments(environment: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]


def expected_path(edge: str, client: str) -> str:
    """How the client should say it reaches the edge host."""
    if client == SAME_LAN:
        return "lan"
    if client == Nat.PROXY_ONLY:
        return "relay-tls"
    if client == Nat.UDP_BLOCKED:
        return "relay-tcp"
    if edge in (Nat.UDP_BLOCKED, Nat.PROXY_ONLY):
        return "relay-udp"
    return "relay-udp" if {edge, client} in ({Nat.HARD}, {Nat.EASY, Nat.HARD}) else "direct"


def write_results(rows: list[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nat.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "nat.md").write_text(_table(rows))


def _table(rows: list[dict[str, Any]]) -> str:
    edges = list(dict.fromkeys(row["edge"] for row in rows))
    clients = list(dict.fromkeys(row["client"] for row in rows))
    cells = {(row["edge"], row["client"]): _cell(row) for row in rows}
    lines = [
        "# NAT grid",
        "",
        "How a client (rows) reached an edge host (columns), and the time from the wish to the open tunnel.",
        "",
        f"| client \\ edge host | {' | '.join(edges)} |",
        f"|---|{'---|' * len(edges)}",
    ]
    lines += [
        f"| {client} | {' | '.join(cells.get((edge, client), '') for edge in edges)} |" for client in clients
    ]
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any]) -> str:
    if not row["connected"]:
        return row["expected"] if row["path"] == row["expected"] else "**no connection**"
    first = row.get("first", row["path"])
    by_way_of = "" if first == row["path"] else f" ({first} first)"
    text = f"{row['path']} {row['open_ms']} ms{by_way_of}"
    return text if row["path"] == row["expected"] else f"**{text}** (expected {row['expected']})"
