"""A real cloud on a free port, people of several roles and organizations, and peers that connect to its hub."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel

from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.service import create_account, find_account
from farsite_cloud.accounts.tokens import issue
from farsite_cloud.database import Scope, kept
from farsite_cloud.mail.queue import Kept, outbox
from farsite_cloud.organizations.service import create_organization
from farsite_cloud.testing import OWNER_EMAIL, RunningCloud, run_cloud
from farsite_cloud.users.service import Users
from farsite_signaling.identity import Identity, generate_key, make_request
from farsite_signaling.wire.hub import (
    HUB_CONTEXT,
    Bye,
    Challenge,
    Hello,
    Ping,
    Pong,
    Proof,
    SessionEnded,
    Welcome,
    dump,
    parse_hub_message,
)
from farsite_signaling.wire.rights import EVERY_FOLDER, Role
from farsite_signaling.wire.version import supported_versions
from tests.cloud.mail_server import MailServer, mail_server


@pytest.fixture(autouse=True)
def shapes_are_checked(monkeypatch):
    """Each time that a kept statement is used again it must be the one that would be made now: a shape that leaves
    something out would have it used for something else."""
    of_shape = kept._of_shape

    def checked(connection, shape, make):
        found, made = of_shape(connection, shape, make), kept._Kept(make(), connection.dialect)
        assert (found.text, found.fixed) == (made.text, made.fixed), shape
        return found

    monkeypatch.setattr(kept, "_of_shape", checked)


class MovableClock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@dataclass
class Reply:
    status: int
    headers: Any
    text: str
    body: Any

    @property
    def code(self) -> str | None:
        return self.body.get("code") if isinstance(self.body, dict) else None


@dataclass
class Person:
    """Talks to the API with one token (or none), about one organization."""

    http: aiohttp.ClientSession
    url: str
    org: str = ""
    token: str | None = None
    account_id: str = ""

    async def __call__(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> Reply:
        """`~` stands for the own organization's path."""
        path = path.replace("~", f"/organizations/{self.org}")
        given = dict(headers or {})
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        data = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.http.request(method, f"{self.url}/api/v1{path}", headers=given, **data) as response:
            text = await response.text()
            is_json = response.content_type.endswith(("/json", "+json"))
            parsed = await response.json(content_type=None) if text and is_json else None
            return Reply(response.status, response.headers, text, parsed)

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        reply = await self(method, path, body)
        assert reply.status < 300, reply.text
        return reply.body


@dataclass
class Peer:
    """An edge host or client connected to the hub."""

    socket: aiohttp.ClientWebSocketResponse
    identity: Identity
    seen: list[BaseModel] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)

    async def send(self, message: BaseModel) -> None:
        await self.socket.send_str(dump(message))

    async def receive(self) -> BaseModel | None:
        """The next message that is no heartbeat; None once closed. Ends of sessions may be told twice."""
        while True:
            frame = await self.socket.receive(timeout=10)
            if frame.type is not aiohttp.WSMsgType.TEXT:
                return None
            message = parse_hub_message(frame.data)
            if isinstance(message, Ping):
                await self.send(Pong(token=message.token))
            elif not isinstance(message, Pong) and not self._told_before(message):
                return message

    def _told_before(self, message: BaseModel) -> bool:
        if not isinstance(message, SessionEnded):
            return False
        before = message.session in self.ended
        self.ended.add(message.session)
        return before

    async def expect(self, kind: type[BaseModel]) -> Any:
        message = await self.receive()
        assert isinstance(message, kind), message
        return message


class World:
    """One cloud with everything tests need around it."""

    def __init__(self, running: RunningCloud, clock: MovableClock, http: aiohttp.ClientSession) -> None:
        self.running = running
        self.clock = clock
        self.http = http
        self.stranger = Person(http, running.url)
        self.owner = Person(http, running.url)
        self.peers: list[Peer] = []
        self.names: Counter[tuple[str, str]] = Counter()

    @property
    def services(self) -> Any:
        return self.running.cloud.services

    async def prepare(self) -> None:
        self.owner = await self.signed_in(OWNER_EMAIL)
        self.owner.org = (await self.owner.ok("GET", "/organizations"))["organizations"][0]["id"]

    async def signed_in(self, email: str, org: str = "") -> Person:
        """Without the cost of a password hash."""
        async with self.services.database.writing() as session:
            account = await find_account(session, email)
            assert account is not None
            token, _ = await issue(session, account, self.clock())
        return Person(self.http, self.running.url, org, token, account.id)

    async def folder(self, name: str, owner: Person | None = None, parent: str | None = None) -> str:
        body = {"name": name, "parent_id": parent}
        return str((await (owner or self.owner).ok("POST", "~/folders", body))["id"])

    async def account(self, email: str, password: str | None = None) -> Person:
        """Somebody with an account, in no organization; with a password that costs its hash."""
        hashed = await self.services.passwords.hash(password) if password else "unusable"
        async with self.services.database.writing() as session:
            create_account(session, email, hashed, self.clock())
        return await self.signed_in(email)

    async def mails(self, recipient: str | None = None) -> list[Kept]:
        """Oldest first."""
        async with self.services.database.reading() as session:
            found = await outbox(session, self.services.vault, 1000)
        return [mail for mail in reversed(found) if recipient in (None, mail.recipient)]

    async def mailed_code(self, recipient: str) -> str:
        """Of the newest mail to somebody."""
        text = (await self.mails(recipient))[-1].content.text
        match = re.search(r"^    (\w{5}(-\w{5}){3})$", text, re.MULTILINE)
        assert match is not None, text
        return match[1]

    async def member(
        self,
        role: Role,
        org: str | None = None,
        email: str | None = None,
        folders: list[str] | None = None,
    ) -> Person:
        """`folders` None: all of them."""
        org = org or self.owner.org
        email = email or f"{role}-{org[-6:]}@example.com"
        async with self.services.database.writing() as session:
            account: Account = create_account(session, email, "unusable", self.clock())
            await session.flush()
            users = Users(Scope(session, org))
            everything = folders is None
            await users.add(account.id, role, folders or [], all_folders=everything, now=self.clock())
        return await self.signed_in(email, org)

    async def supporter(
        self, role: Role, folders: list[str] | None = None, owner: Person | None = None, **lasting: float
    ) -> Person:
        """Somebody let in as support, for an hour unless it is said how long; `folders` None: all of them."""
        owner = owner or self.owner
        email = f"support-{role}-{owner.org[-6:]}@example.com"
        person = await self.account(email)
        until = self.clock() + timedelta(**(lasting or {"hours": 1}))
        body = {"email": email, "role": role, "until": until.isoformat()}
        body |= _choice(role, folders)
        await owner.ok("POST", "~/support-access", body)
        return Person(self.http, self.running.url, owner.org, person.token, person.account_id)

    async def service(
        self, role: Role, folders: list[str] | None = None, owner: Person | None = None, **token: Any
    ) -> Person:
        """A service account with a token; `folders` None: all of them."""
        owner = owner or self.owner
        body = {"name": f"program {role}", "role": role} | _choice(role, folders)
        account = await owner.ok("POST", "~/service-accounts", body)
        path = f"~/service-accounts/{account['id']}/tokens"
        made = await owner.ok("POST", path, {"name": "script"} | token)
        return Person(self.http, self.running.url, owner.org, made["token"], account["id"])

    async def other_organization(self) -> Person:
        """The owner of another organization on the same cloud."""
        async with self.services.database.writing() as session:
            account = create_account(session, "other@example.com", "unusable", self.clock())
            await session.flush()
            organization = await create_organization(
                session, "Other", account.id, self.services.vault, self.clock()
            )
        return await self.signed_in("other@example.com", organization.id)

    async def setup_code(
        self, owner: Person | None = None, name: str | None = None, folder: str | None = None
    ) -> str:
        """Without a name one that nothing else has."""
        owner = owner or self.owner
        body = {"name": name or self._name(owner, "Spare"), "folder_id": folder}
        return str((await owner.ok("POST", "~/setup-codes", body))["code"])

    def _name(self, owner: Person, wanted: str) -> str:
        """`wanted` for the first in the organization, then with a number."""
        self.names[owner.org, wanted] += 1
        number = self.names[owner.org, wanted]
        return wanted if number == 1 else f"{wanted} {number}"

    async def edge(
        self, owner: Person | None = None, name: str = "Site", folder: str | None = None
    ) -> tuple[str, Identity]:
        """A claimed edge host: its id and identity."""
        name = self._name(owner or self.owner, name)
        key = generate_key()
        claim = {"code": await self.setup_code(owner, name, folder), "csr": make_request(key, "edge")}
        result = await self.stranger.ok("POST", "/claims", claim)
        return result["edge_id"], Identity.from_pem(key, result["certificate"])

    async def client(self, person: Person | None = None) -> Identity:
        key = generate_key()
        body = {"csr": make_request(key, "client"), "name": "laptop"}
        result = await (person or self.owner).ok("POST", "~/client-certificates", body)
        return Identity.from_pem(key, result["certificate"])

    async def connect(self, identity: Identity, name: str | None = None) -> Peer:
        """Connected and welcomed; a refusal is the last message in `seen`."""
        socket = await self.http.ws_connect(self.running.hub_url)
        peer = Peer(socket, identity)
        # Kept: a socket nobody holds any more is closed.
        self.peers.append(peer)
        name = name or identity.urn
        hello = Hello(versions=supported_versions(), name=name, certificate=identity.certificate_pem)
        await peer.send(hello)
        first = await peer.receive()
        if isinstance(first, Challenge):
            signed = HUB_CONTEXT + first.nonce.encode() + name.encode()
            await peer.send(Proof(signature=identity.sign(signed)))
            first = await peer.receive()
        assert isinstance(first, Welcome | Bye), first
        peer.seen.append(first)
        return peer

    async def audit(self, action: str | None = None, person: Person | None = None) -> list[dict[str, Any]]:
        rows = (await (person or self.owner).ok("GET", "~/audit"))["rows"]
        return [row for row in rows if action is None or row["action"] == action]


def _choice(role: Role, folders: list[str] | None) -> dict[str, Any]:
    if role in EVERY_FOLDER:
        return {}
    return {"all_folders": True} if folders is None else {"folder_ids": folders}


MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Modules marked `both_databases` run on PostgreSQL as well."""
    if "database_kind" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("both_databases") is not None
        kinds = ["sqlite", "postgresql"] if both else ["sqlite"]
        metafunc.parametrize("database_kind", kinds, indirect=True)


@pytest.fixture
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Storage = Callable[[Path | None], Awaitable[dict[str, Any]]]


@pytest.fixture
async def storage(
    database_kind: str, new_database: Callable[[], AbstractAsyncContextManager[str]]
) -> AsyncIterator[Storage]:
    """Settings of the database that belongs to a data folder."""
    async with AsyncExitStack() as stack:
        urls: dict[Path, str] = {}

        async def settings(folder: Path | None) -> dict[str, Any]:
            if database_kind == "sqlite":
                return {}
            if folder in urls:
                return {"database": urls[folder], "database_timeout": 10}
            url = await stack.enter_async_context(new_database())
            if folder is not None:
                urls[folder] = url
            return {"database": url, "database_timeout": 10}

        yield settings


@pytest.fixture
async def world_in(clock: MovableClock, storage: Storage) -> AsyncIterator[MakeWorld]:
    """Makes a world whose data is in the given folder."""
    async with AsyncExitStack() as stack:

        async def make(folder: Path | None, **settings: Any) -> World:
            settings = await storage(folder) | settings
            running = await stack.enter_async_context(run_cloud(folder, clock=clock, **settings))
            # Where it listens, whatever it tells others.
            scheme = running.url.partition(":")[0] if running.cloud.settings.tls else "http"
            running.url = f"{scheme}://127.0.0.1:{running.cloud.port}"
            connector = aiohttp.TCPConnector(limit=0)
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            world = World(running, clock, http)
            await world.prepare()
            return world

        yield make


@pytest.fixture
async def smtp() -> AsyncIterator[tuple[MailServer, dict[str, Any]]]:
    async with mail_server() as made:
        yield made


@pytest.fixture
async def world(world_in: MakeWorld) -> World:
    return await world_in(None)
