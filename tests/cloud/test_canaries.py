"""Security row S13: every kind of secret is planted, used rightly and wrongly, and then looked for wherever data ends up.

The database (file and its log, or every row of every table), logs at debug level, metrics, answers to what is refused
or fails, what a crash leaves in the log, the organization's export, and the command line's words when it fails.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
import zipfile
from typing import Any

import pyotp
import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy import text

from farsite_cloud.database.base import Base
from farsite_cloud.logs import quiet_libraries
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.identity import generate_key, make_request
from tests.cloud.test_providers import SECRET as CLIENT_SECRET
from tests.cloud.test_providers import Idp

WRONG_PASSWORD, TURN_SECRET, NEW_PASSWORD = (
    "canary-wrong-password",
    "canary-turn-secret",
    "canary-new-password",
)
SETTINGS = {
    "turn": "external",
    "turn_host": "turn.example.com",
    "turn_secret": TURN_SECRET,
    "outbound_allowed": ["127.0.0.0/8"],
}
CREDENTIALS = {"email": OWNER_EMAIL, "password": OWNER_PASSWORD}
pytestmark = pytest.mark.both_databases


class Planted:
    """Secrets by what they are, and everything that was answered to them since they were known."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.secrets: dict[str, str] = {
            "password": OWNER_PASSWORD,
            "wrong password": WRONG_PASSWORD,
            "new password": NEW_PASSWORD,
            "TURN secret": TURN_SECRET,
            "client secret": CLIENT_SECRET,
        }
        self.refusals: list[str] = []

    def add(self, name: str, secret: str) -> str:
        assert len(secret) >= 6, name
        self.secrets[name] = secret
        return secret

    async def refused(
        self, person: Any, method: str, path: str, body: Any, status: int | None = None
    ) -> None:
        reply = await person(method, path, body)
        assert reply.status >= 400 and status in (None, reply.status), (path, reply.text)
        self.refusals.append(reply.text + str(reply.headers))

    def found_in(self, name: str, data: str | bytes) -> list[str]:
        """The secrets that are there, as they are or written without their dashes."""
        there = data if isinstance(data, bytes) else data.encode()
        forms = {secret: {secret, secret.replace("-", "")} for secret in self.secrets.values()}
        return [
            f"{kind} in {name}"
            for kind, secret in self.secrets.items()
            if any(form.encode() in there for form in forms[secret])
        ]


async def _use(planted: Planted) -> None:
    """Rightly: each secret is made, and does what it is for."""
    world, owner = planted.world, planted.world.owner
    planted.add("sign-in token", (await world.stranger.ok("POST", "/auth/sign-in", CREDENTIALS))["token"])
    body = {"name": "script", "scopes": ["edge.read"]}
    planted.add("access token", (await owner.ok("POST", "/me/tokens", body))["token"])
    planted.add("token of a program", (await world.service("viewer")).token)
    code = planted.add("setup code", await world.setup_code())
    claim = {"code": code, "csr": make_request(generate_key(), "edge")}
    await world.stranger("POST", "/claims", claim, headers={"Idempotency-Key": "once"})
    edge_id, identity = await world.edge()
    await world.connect(identity)
    client = await world.client()
    ticket = await owner.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    planted.add("grant", ticket["grant"])
    for server in ticket["ice_servers"]:
        if server.get("credential"):
            planted.add("TURN credential", server["credential"])
    hook = await owner.ok("POST", "~/webhooks", {"name": "Hook", "url": "https://example.com/hook"})
    planted.add("webhook secret", hook["secret"])
    invitation = {"emails": ["new@example.com"], "role": "viewer", "all_folders": True}
    await owner.ok("POST", "~/invitations", invitation)
    planted.add("invitation", await world.mailed_code("new@example.com"))
    await world.stranger("POST", "/auth/forgot", {"email": OWNER_EMAIL})
    planted.add("reset code", await world.mailed_code(OWNER_EMAIL))
    started = await world.stranger.ok("POST", "/auth/device", {"name": "laptop"})
    planted.add("device code", started["device_code"])
    planted.add("user code", started["user_code"])


async def _use_provider(planted: Planted) -> None:
    idp = Idp(planted.world.clock)
    async with TestServer(idp.app()) as server:
        idp.issuer = str(server.make_url("")).rstrip("/")
        body = {"issuer": idp.issuer, "client_id": "farsite", "client_secret": CLIENT_SECRET}
        await planted.world.owner.ok("PUT", "~/identity-provider", body | {"required": False})


async def _use_second_factor(planted: Planted) -> None:
    """Last: it ends other sign-ins."""
    world = planted.world
    made = await world.owner.ok("POST", "/me/mfa/secret", {"password": OWNER_PASSWORD})
    totp = pyotp.TOTP(planted.add("TOTP secret", made["secret"]))
    enabled = await world.owner.ok("POST", "/me/mfa/enable", {"code": totp.at(world.clock())})
    for number, code in enumerate(enabled["codes"]):
        planted.add(f"recovery code {number}", code)
    world.clock.advance(seconds=60)
    await world.stranger.ok("POST", "/auth/sign-in", CREDENTIALS | {"code": enabled["codes"][0]})


async def _misuse(planted: Planted) -> None:
    """Wrongly: too long, of the wrong kind, in the wrong place, with a word too many."""
    world, kept = planted.world, planted.secrets
    for body in (
        CREDENTIALS | {"password": WRONG_PASSWORD},
        CREDENTIALS | {"password": WRONG_PASSWORD, "unknown": OWNER_PASSWORD},
        CREDENTIALS | {"password": {"nested": WRONG_PASSWORD}},
        CREDENTIALS | {"password": WRONG_PASSWORD * 100},
        {"email": WRONG_PASSWORD, "password": [OWNER_PASSWORD]},
        CREDENTIALS | {"code": kept["recovery code 1"] + "x"},
        f'{{"password": "{OWNER_PASSWORD}", broken'.encode(),
    ):
        await planted.refused(world.stranger, "POST", "/auth/sign-in", body)
    reused = {"code": kept["setup code"], "csr": "none"}
    await planted.refused(world.stranger, "POST", "/claims", reused)
    await planted.refused(world.stranger, "POST", "/claims", reused | {"code": kept["setup code"] * 20})
    change = {"current_password": WRONG_PASSWORD, "password": NEW_PASSWORD}
    await planted.refused(world.owner, "POST", "/me/password", change)
    provider = {"issuer": "https://127.0.0.1:9", "client_id": [], "client_secret": CLIENT_SECRET}
    await planted.refused(world.owner, "PUT", "~/identity-provider", provider)
    for secret in ("access token", "device code", "invitation", "grant"):
        stranger = await world.signed_in(OWNER_EMAIL, world.owner.org)
        stranger.token = kept[secret] + "x"
        await planted.refused(stranger, "GET", "/me", None, 401)


async def _crash(planted: Planted, monkeypatch: Any) -> None:
    """A mistake of ours while secrets are in every variable."""

    async def broken(*arguments: object) -> bool:
        secrets = dict(planted.secrets)
        raise RuntimeError(f"{len(secrets)} variables")

    monkeypatch.setattr(planted.world.services.passwords, "verify", broken)
    await planted.refused(planted.world.stranger, "POST", "/auth/sign-in", CREDENTIALS, 500)


async def _command(planted: Planted, folder: Any) -> str:
    """What a failing command says, asked for all it knows."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FARSITE")}
    environment |= {
        "FARSITE_CLIENT_HOME": str(folder / "home"),
        "FARSITE_CLIENT_DEBUG": "1",
        "FARSITE_CLIENT_PASSWORD": WRONG_PASSWORD,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "farsite_client", "login", planted.world.running.url, "--email", OWNER_EMAIL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode != 0 and b"Traceback" in said, said.decode()
    return said.decode()


async def _stored(world: Any, folder: Any) -> bytes:
    files = b"".join(file.read_bytes() for file in folder.glob("farsite.db*"))
    async with world.services.database.reading() as session:
        rows: list[str] = []
        for table in Base.metadata.sorted_tables:
            found = await session.execute(text(f'SELECT * FROM "{table.name}"'))
            rows += [" ".join(_plain(value) for value in row) for row in found]
    assert any(OWNER_EMAIL in row for row in rows), "the right tables are read"
    return files + "\n".join(rows).encode()


def _plain(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


async def _exported(world: Any) -> bytes:
    asked = await world.owner.ok("POST", "~/exports")
    async with asyncio.timeout(40):
        while (await world.owner.ok("GET", f"~/exports/{asked['id']}"))["state"] != "done":
            await asyncio.sleep(0.05)
    path = f"{world.running.url}/api/v1/organizations/{world.owner.org}/exports/{asked['id']}/file"
    async with world.http.get(path, headers={"Authorization": f"Bearer {world.owner.token}"}) as answer:
        archive = zipfile.ZipFile(io.BytesIO(await answer.read()))
    data = b"".join(archive.read(name) for name in archive.namelist())
    assert OWNER_EMAIL.encode() in data
    return data


async def test_no_secret_is_anywhere_it_should_not_be(tmp_path, world_in, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    quiet_libraries()
    world = await world_in(tmp_path, **SETTINGS)
    planted = Planted(world)
    await _use(planted)
    await _use_provider(planted)
    await _use_second_factor(planted)
    await _misuse(planted)
    said = await _command(planted, tmp_path)
    exported = await _exported(world)
    await _crash(planted, monkeypatch)
    async with world.http.get(f"{world.running.url}/metrics") as answer:
        metrics = await answer.text()
    assert "farsite_" in metrics and "RuntimeError: " in caplog.text
    places = {
        "the database": await _stored(world, tmp_path),
        "the logs": caplog.text,
        "metrics": metrics,
        "refusals": "\n".join(planted.refusals),
        "the command's words": said,
        "the export": exported,
    }
    assert [one for name, data in places.items() for one in planted.found_in(name, data)] == []
    # What is looked for would be found.
    assert planted.found_in("here", planted.secrets["setup code"].replace("-", "")) == ["setup code in here"]
