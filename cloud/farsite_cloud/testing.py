"""A whole cloud for tests of everything that talks to one."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from argon2 import PasswordHasher

from farsite_cloud.accounts.passwords import Passwords
from farsite_cloud.clock import Clock, system_clock
from farsite_cloud.cloud import Cloud
from farsite_cloud.database import Database
from farsite_cloud.database.schema import upgrade
from farsite_cloud.database.sqlite import FILE, sqlite_url
from farsite_cloud.settings import load_settings

OWNER_EMAIL = "owner@example.com"
OWNER_PASSWORD = "correct horse battery staple"


@dataclass
class RunningCloud:
    """`url` without a trailing slash."""

    cloud: Cloud
    url: str
    hub_url: str
    owner_email: str
    owner_password: str

    async def sign_in(self) -> str:
        """A fresh token of the owner."""
        body = {"email": self.owner_email, "password": self.owner_password}
        answer = await self.request("POST", "/auth/sign-in", body)
        return str(answer["token"])

    async def organization_id(self, token: str) -> str:
        answer = await self.request("GET", "/organizations", token=token)
        return str(answer["organizations"][0]["id"])

    async def setup_code(self, name: str = "Site", token: str | None = None) -> str:
        token = token or await self.sign_in()
        organization = await self.organization_id(token)
        path = f"/organizations/{organization}/setup-codes"
        return str((await self.request("POST", path, {"name": name}, token=token))["code"])

    async def request(
        self, method: str, path: str, body: object = None, *, token: str | None = None
    ) -> dict[str, Any]:
        """The answer's JSON; raises `aiohttp.ClientResponseError` for errors."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession(raise_for_status=True, headers=headers) as session,
            session.request(method, f"{self.url}/api/v1{path}", json=body) as response,
        ):
            return {} if response.status == 204 else dict(await response.json())


_migrated: list[bytes] = []


async def _prepare(folder: Path) -> None:
    """An empty database of the newest schema, made once in this process: migrating takes most of a cloud's start."""
    if not _migrated:
        _migrated.append(await _migrate())
    (folder / FILE).touch(mode=0o600)
    (folder / FILE).write_bytes(_migrated[0])


async def _migrate() -> bytes:
    with tempfile.TemporaryDirectory(prefix="farsite-cloud-") as temporary:
        database = Database(sqlite_url(Path(temporary)))
        await upgrade(database)
        await database.aclose()
        return (Path(temporary) / FILE).read_bytes()


def quick_passwords() -> Passwords:
    """Argon2id as always, at a cost that only tests can afford."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@asynccontextmanager
async def run_cloud(
    data_dir: Path | None = None,
    *,
    clock: Clock = system_clock,
    open_passwords: Callable[[], Passwords] = quick_passwords,
    **settings: Any,
) -> AsyncIterator[RunningCloud]:
    """Serving on a free port of 127.0.0.1, with a folder of its own and no relay unless settings say otherwise."""
    with tempfile.TemporaryDirectory(prefix="farsite-cloud-") as temporary:
        values: dict[str, Any] = {
            "data_dir": data_dir or Path(temporary),
            "port": 0,
            "owner_email": OWNER_EMAIL,
            "owner_password": OWNER_PASSWORD,
            "turn": "off",
            # Many databases are made at the same time: a server that is busy with that is not away.
            "database_timeout": 10.0,
        } | settings
        if data_dir is None and "database" not in values:
            await _prepare(Path(temporary))
        loaded = load_settings(values, environ={})
        async with Cloud(loaded, clock=clock, open_passwords=open_passwords) as cloud:
            yield RunningCloud(
                cloud, cloud.urls.api, cloud.urls.hub, values["owner_email"], values["owner_password"]
            )
