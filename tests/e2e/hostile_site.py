"""A whole Farsite in which everything that can be named is called by hostile words, down to the devices."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp

from farsite_client.profile import Profile
from farsite_cloud.accounts.mfa import new_recovery_codes
from farsite_cloud.accounts.models import Account as Person
from farsite_cloud.browser import service as sign_ins
from farsite_cloud.passkeys.models import Passkey
from farsite_cloud.testing import RunningCloud, run_cloud
from farsite_edge.devices.credentials import Account
from farsite_edge.simulator import Simulator
from farsite_edge.simulator.models import describe
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_api import DiscoverRequest
from farsite_signaling.wire.policy_api import PolicyCreate, PolicyMode
from tests.cloud.hostile_words import WORDS, plain

from .conftest import sign_in

# As hostile as an address may be that a browser takes for one.
EMAIL = "'-{{canary`mail`}}${canary`mail`}-'@example.com"
SAID = (
    "Network.HostName", "Network.Bonjour.FriendlyName", "Network.VolatileHostName.HostName", "Brand.Brand",
    "Brand.ProdNbr", "Brand.ProdFullName", "Brand.ProdShortName", "Properties.Firmware.Version", "Properties.System.Soc",
)  # fmt: skip
DEVICES, EACH = 8, 10


@dataclass
class HostileSite:
    """`paths`: what stands for the names in paths of the cloud's API, `edge_paths`: for `{id}` after a word of the edge
    host's."""

    cloud: RunningCloud
    edge: RunningEdge
    simulator: Simulator
    profile: Profile
    token: str
    organization: str
    http: aiohttp.ClientSession
    paths: dict[str, str] = field(default_factory=dict)
    edge_paths: dict[str, str] = field(default_factory=dict)
    mail: str = EMAIL
    codes: list[str] = field(default_factory=list)
    _words: Iterator[str] = field(default_factory=lambda: cycle(WORDS.values()))

    @property
    def serials(self) -> list[str]:
        return [device.serial for device in self.simulator.devices]

    def filled(self, path: str) -> str:
        """A path of the cloud's API with what there is for its names."""
        known = self.paths | ({"account": self.profile.load().account_id} if "/users/" in path else {})
        return path.format_map(known)

    def edge_id(self, path: str) -> str:
        return self.edge_paths.get(path.split("/")[3], "")

    async def get(self, url: str) -> Any:
        async with self.http.get(url) as response:
            return await response.json()

    def next(self, longest: int = 100) -> str:
        return plain(next(self._words), longest) or "x"

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """None when it is refused: not every word is a name everywhere."""
        path = path.replace("~", f"/organizations/{self.organization}")
        headers = {
            "Authorization": f"Bearer {self.token}",
            "User-Agent": self.next(150).encode("ascii", "ignore").decode(),
        }
        url = f"{self.cloud.url}/api/v1{path}"
        async with self.http.request(method, url, json=body, headers=headers) as response:
            assert response.status < 500, await response.text()
            if response.status >= 300:
                return None
            return await response.json() if response.status != 204 else {}

    async def each(self, name: str, path: str, more: dict[str, Any] | None = None, key: str = "name") -> None:
        """Some, called by the next words; the last is what `name` stands for."""
        for _ in range(EACH):
            if (made := await self.ask("POST", path, {key: self.next()} | (more or {}))) is not None:
                self.paths[name] = made["id"]
        assert name in self.paths, path


@asynccontextmanager
async def hostile_site(folder: Path) -> AsyncIterator[HostileSite]:
    described = describe(DEVICES, ["P3265-V"])
    async with (
        run_cloud(owner_email=EMAIL) as cloud,
        Simulator(described, bind="127.0.0.1", https=False, multicast=False) as simulator,
        run_edge(folder / "edge", name=plain(WORDS["svg"], 100), policy_poll=600, device_timeout=60) as edge,
        aiohttp.ClientSession() as http,
    ):
        _lie(simulator)
        profile = await sign_in(cloud, folder / "client")
        stored = profile.load()
        site = HostileSite(cloud, edge, simulator, profile, stored.token, stored.organization_id, http)
        await edge.claim(cloud.url, await cloud.setup_code(plain(WORDS["attribute"], 100), site.token))
        await edge.wait_for("cloud_online")
        await _manage(site)
        await _name_things(site)
        await _set_policies(site)
        yield site


def _lie(simulator: Simulator) -> None:
    """All of the words, each in some of the places, and in every answer of a device."""
    words = cycle(WORDS.values())
    for device in simulator.devices:
        device.model = replace(
            device.model, number=next(words), device_type=next(words), version=f"12.9{next(words)}"
        )
        for name in SAID:
            device.parameters[name] = next(words)


async def _manage(site: HostileSite) -> None:
    """Found by asking their addresses, as every device is, and reported to the cloud."""
    host, devices = site.edge.host, site.simulator.devices
    asked = DiscoverRequest(
        multicast=False,
        targets=sorted({one.address for one in devices}),
        ports=sorted({one.http_port for one in devices}),
    )
    await host.finder.find(asked)
    await host.manager.add(site.serials)
    results = await host.manager.log_in(site.serials, Account(devices[0].username, devices[0].password))
    assert all(one.ok for one in results), results
    for serial, word in zip(cycle(site.serials), WORDS.values(), strict=False):
        await host.tags.change(serial, [plain(word, 60).replace(",", ";")], [])
    async with asyncio.timeout(90):
        while len(await _inventory(site)) < DEVICES:
            await asyncio.sleep(0.05)


async def _inventory(site: HostileSite) -> list[dict[str, Any]]:
    found = await site.ask("GET", "~/devices")
    return [one for one in found["devices"] if one["model"] and one["tags"]]


async def _name_things(site: HostileSite) -> None:
    await site.ask("PATCH", "~", {"name": site.next()})
    await site.ask("PATCH", "/me", {"name": site.next()})
    await site.each("folder", "~/folders")
    await site.each("view", "~/views", {"query": {"q": plain(WORDS["script"])}})
    await site.each("template", "~/policy-templates", {"kind": "security", "settings": {"ssh": False}})
    await site.each(
        "account",
        "~/service-accounts",
        {"role": "viewer", "description": plain(WORDS["image"]), "all_folders": True},
    )
    await site.each("own token", "/me/tokens", {"scopes": ["edge.read"]})
    await site.each(
        "webhook", "~/webhooks", {"url": "https://hook.invalid/%22%3E%3Csvg%20onload=canary(1)%3E"}
    )
    waiting = {"kind": "os.rollback", "starts_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    await site.each("campaign", "~/campaigns", waiting, key="title")
    hosts = await site.ask("GET", "~/edge-hosts")
    site.paths |= {"org": site.organization, "edge": hosts["edge_hosts"][0]["id"], "device": site.serials[0]}
    body = {
        "name": plain(WORDS["any"], 100),
        "description": plain(WORDS["comment-end"]),
        "folder_id": site.paths["folder"],
    }
    await site.ask("PATCH", f"~/edge-hosts/{site.paths['edge']}", body)
    await _passkeys(site)
    await _export(site)
    await _work(site)


async def _export(site: HostileSite) -> None:
    site.paths["export"] = (await site.ask("POST", "~/exports"))["id"]
    async with asyncio.timeout(90):
        while (await site.ask("GET", f"~/exports/{site.paths['export']}"))["state"] != "done":
            await asyncio.sleep(0.05)
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {
        "email": "'-canary`support`-'@example.com",
        "role": "admin",
        "until": until,
        "reason": plain(WORDS["any"]),
    }
    site.paths["access"] = (await site.ask("POST", "~/support-access", body))["id"]
    asked = {"emails": ["'-canary`new`-'@example.com"], "role": "viewer", "all_folders": True}
    site.paths["invitation"] = (await site.ask("POST", "~/invitations", asked))["invitations"][0]["id"]


async def _work(site: HostileSite) -> None:
    """A campaign that ran, so that its order and the edge host's task say something of devices."""
    body = {"kind": "os.rollback", "title": plain(WORDS["any"], 100)}
    campaign = site.paths["campaign"] = (await site.ask("POST", "~/campaigns", body))["id"]
    async with asyncio.timeout(90):
        while (await site.ask("GET", f"~/campaigns/{campaign}"))["finished_at"] is None:
            await asyncio.sleep(0.05)
        while not (tasks := (await site.ask("GET", "~/edge-tasks"))["tasks"]):
            await asyncio.sleep(0.05)
    site.paths["order"] = (await site.ask("GET", f"~/campaigns/{campaign}/orders"))["orders"][0]["id"]
    site.paths["task"] = tasks[0]["id"]


async def _passkeys(site: HostileSite) -> None:
    """As if each had been made with that name: what makes them is the browser's business."""
    services = site.cloud.cloud.services
    account = site.profile.load().account_id
    async with services.database.writing() as session:
        for name, word in WORDS.items():
            key = Passkey(
                id=f"passkey-{name}", account_id=account, credential_id=name, public_key=b"", sign_count=0,
                name=plain(word, 100), transports=[], backed_up=False, created_at=services.clock(),
            )  # fmt: skip
            session.add(key)
        person = await session.get(Person, account)
        assert person is not None
        site.codes = await new_recovery_codes(session, person)
    site.paths["passkey"] = "passkey-script"


async def _set_policies(site: HostileSite) -> None:
    """On the edge host, with a report of what they found."""
    policies, tasks = site.edge.host.policies.service, site.edge.host.tasks
    body = PolicyCreate(
        kind="security",
        name=plain(WORDS["any"], 100),
        mode=PolicyMode.REPORT_ONLY,
        settings={"access_log": True},
    )
    policy = await policies.create(body, actor=plain(WORDS["script"]))
    await policies.assign(policy.id, site.serials)
    task = await policies.check(policy.id, actor=plain(WORDS["script"]))
    assert task is not None
    async with asyncio.timeout(60):
        while not (await tasks.shown(task.id)).state.finished:
            await tasks.changed(5)
    site.edge_paths = {"devices": site.serials[0], "policies": policy.id, "tasks": task.id}


async def edge_grant(site: HostileSite) -> str:
    """What an administrator's program shows at the edge host's own door."""
    path = f"~/edge-hosts/{site.paths['edge']}/sessions"
    return str((await site.ask("POST", path, {"client": site.profile.load().name}))["grant"])


def edge_tls(site: HostileSite, folder: Path) -> ssl.SSLContext:
    """With the certificate of the signed-in administrator."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    site.profile.identity().save(folder)
    context.load_cert_chain(folder / "identity.crt", folder / "identity.key")
    return context


async def waiting_devices(site: HostileSite) -> AsyncIterator[str]:
    """Codes of devices that ask to be let in by a browser; each says two more words of itself."""
    services = site.cloud.cloud.services
    for name, agent in zip(WORDS.values(), reversed(WORDS.values()), strict=True):
        async with services.database.writing() as session:
            asker = sign_ins.Asker(plain(name, 100), "", plain(agent, 60), plain(agent, 200))
            _, code = await sign_ins.start(session, asker, services.vault, services.clock())
        yield code
