"""A cloud that serves from a thread of its own, and organizations full of things to ask it about."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import requests

from farsite_cloud.accounts.service import create_account
from farsite_cloud.accounts.tokens import issue
from farsite_cloud.organizations.service import create_organization
from farsite_cloud.testing import RunningCloud, run_cloud
from farsite_signaling.identity import generate_key, make_request

T = TypeVar("T")
_numbers = itertools.count(1)


@dataclass
class CloudThread:
    """For tests that are not asynchronous themselves."""

    running: RunningCloud
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return self.running.url

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def site(self) -> Site:
        """A new organization and its owner, who is signed in."""
        return self.run(self._site())

    async def _site(self) -> Site:
        services = self.running.cloud.services
        now, email = datetime.now(UTC), f"owner{next(_numbers)}@example.com"
        async with services.database.writing() as session:
            account = create_account(session, email, "unusable", now)
            await session.flush()
            organization = await create_organization(session, "Acme", account.id, services.vault, now)
            token, _ = await issue(session, account, now)
        return Site(self.url, token, organization.id, email)


@contextmanager
def cloud_thread(**values: Any) -> Iterator[CloudThread]:
    started: list[CloudThread] = []
    ready, done = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with run_cloud(**values) as running:
            started.append(CloudThread(running, asyncio.get_running_loop()))
            ready.set()
            await done.wait()

    def work() -> None:
        try:
            asyncio.run(serve())
        finally:
            ready.set()

    thread = threading.Thread(target=work, name="cloud")
    thread.start()
    try:
        assert ready.wait(60) and started, "the cloud did not start"
        yield started[0]
    finally:
        if started:
            started[0].loop.call_soon_threadsafe(done.set)
        thread.join(60)


@dataclass
class Site:
    """One organization, seen by its owner. `id_of` makes what a path or body names, once."""

    url: str
    token: str
    org: str
    email: str
    http: requests.Session = field(default_factory=requests.Session)
    made: dict[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        path = path.replace("~", f"/organizations/{self.org}")
        response = self.http.request(method, f"{self.url}/api/v1{path}", json=body, headers=self.headers)
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    def id_of(self, name: str, path: str = "") -> str | None:
        """Of an existing thing; None when this kind of thing comes from elsewhere only."""
        if name == "org":
            return self.org
        key = "token of a program" if name == "token" and "service-accounts" in path else name
        key = "program" if name == "account" and "service-accounts" in path else key
        if key not in self.made and key in _MAKERS:
            self.made[key] = _MAKERS[key](self)
        return self.made.get(key)


def _folder(site: Site) -> str:
    return str(site.ok("POST", "~/folders", {"name": "Harbour"})["id"])


def _edge(site: Site) -> str:
    code = site.ok("POST", "~/setup-codes", {"name": "Harbour", "folder_id": site.id_of("folder")})["code"]
    claim = {"code": code, "csr": make_request(generate_key(), "edge")}
    return str(site.ok("POST", "/claims", claim)["edge_id"])


def _account(site: Site) -> str:
    return str(site.ok("GET", "~/users")["users"][0]["account_id"])


def _program(site: Site) -> str:
    return str(site.ok("POST", "~/service-accounts", {"name": "program", "role": "admin"})["id"])


def _program_token(site: Site) -> str:
    path = f"~/service-accounts/{site.id_of('account', 'service-accounts')}/tokens"
    return str(site.ok("POST", path, {"name": "script"})["id"])


def _token(site: Site) -> str:
    return str(site.ok("POST", "/me/tokens", {"name": "script", "scopes": ["edge.read"]})["id"])


def _support(site: Site) -> str:
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"email": "support@example.com", "role": "admin", "until": until}
    return str(site.ok("POST", "~/support-access", body)["id"])


def _invitation(site: Site) -> str:
    body = {"emails": ["new@example.com"], "role": "viewer", "all_folders": True}
    return str(site.ok("POST", "~/invitations", body)["invitations"][0]["id"])


def _export(site: Site) -> str:
    return str(site.ok("POST", "~/exports")["id"])


def _view(site: Site) -> str:
    return str(site.ok("POST", "~/views", {"name": "Old ones"})["id"])


def _template(site: Site) -> str:
    body = {"name": "Branch", "kind": "security", "settings": {"ssh": False}}
    return str(site.ok("POST", "~/policy-templates", body)["id"])


def _webhook(site: Site) -> str:
    return str(site.ok("POST", "~/webhooks", {"name": "Hook", "url": "https://example.com/hook"})["id"])


_MAKERS: dict[str, Callable[[Site], str]] = {
    "folder": _folder,
    "edge": _edge,
    "account": _account,
    "program": _program,
    "token": _token,
    "token of a program": _program_token,
    "access": _support,
    "invitation": _invitation,
    "export": _export,
    "view": _view,
    "template": _template,
    "webhook": _webhook,
}
