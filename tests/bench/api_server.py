"""The cloud of the bench `api`: `python -m tests.bench.api_server FOLDER [DATABASE]`.

Fills organizations of several sizes the way edge hosts do, serves them, and prints where; afterwards each line read is
answered with the CPU seconds used so far. Meanwhile edge hosts of the middle one go on telling changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from farsite_cloud.accounts.passwords import Passwords
from farsite_cloud.accounts.service import find_account
from farsite_cloud.accounts.tokens import issue
from farsite_cloud.collecting import keep_what_is_there
from farsite_cloud.database import Database, Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.folders.models import Folder
from farsite_cloud.ids import new_id
from farsite_cloud.inventory.ingest import receive
from farsite_cloud.organizations.service import create_organization
from farsite_cloud.testing import OWNER_EMAIL, run_cloud
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.inventory import DeviceFacts, ImageFacts, InventoryDelta, TagMark
from tests.bench.edge_process import lines, say
from tests.bench.harness import loop_factory
from tests.bench.rig import cpu_seconds

SIZES = {"1,000": (20, 50), "10,000": (200, 50), "100,000": (200, 500)}
"""Edge hosts, and devices of each."""
BUSY = "10,000"
CHANGES_PER_SECOND = 5
MODELS = [
    f"{letter}{number}-{tail}" for letter in "PQM" for number in range(3200, 3207) for tail in ("LV", "V")
]
VERSIONS = ("12.9.57", "12.8.10", "11.11.192", "11.11.150", "10.12.221", "9.80.88", "8.40.4", "6.50.5")
STATES = ("reachable",) * 18 + ("unreachable", "credentials_required")
BATCH = 200
START = datetime(2026, 1, 1, tzinfo=UTC)


def device(chance: random.Random, edge: int, number: int) -> DeviceFacts:
    serial = f"ACCC{edge:04X}{number:04X}"
    tags = [f"floor {chance.randrange(12)}"] + ["spare"] * (chance.random() < 0.02)
    return DeviceFacts(
        serial=serial,
        name=f"Site {edge} camera {number}",
        model=chance.choice(MODELS),
        product="AXIS Network Camera",
        device_type="Dome Camera",
        version=chance.choice(VERSIONS),
        state=chance.choice(STATES),
        address=f"10.{edge % 250}.{number // 250}.{number % 250 + 1}",
        https_port=443,
        capabilities=["https", "log_in", "os_rollback"],
        first_seen=START,
        last_seen=START,
        tags=[TagMark(tag=tag, at=START) for tag in tags],
    )


class Filled:
    """One organization."""

    def __init__(self, org: str) -> None:
        self.org = org
        self.edges: list[str] = []
        self.folders: list[str] = []
        self.positions: dict[str, int] = {}


async def fill(database: Database, vault: Any, account: str, size: str) -> Filled:
    edges, devices = SIZES[size]
    chance = random.Random(size)
    now = START
    async with database.writing() as session:
        filled = Filled((await create_organization(session, size, account, vault, now)).id)
        scope = Scope(session, filled.org)
        for number in range(20):
            folder = Folder(
                id=new_id(now), name=f"Folder {number}", parent_id=None, created_at=now, revision=1
            )
            scope.add(folder)
            filled.folders.append(folder.id)
        await session.flush()
        for number in range(edges):
            folder_id = filled.folders[number % len(filled.folders)]
            edge = EdgeHost(id=new_id(now), folder_id=folder_id, name=f"Site {number}", claimed_at=now)
            edge.version, edge.remote_access, edge.devices_managed = "0.1.0", True, devices
            edge.last_seen = now + timedelta(minutes=number)
            scope.add(edge)
            filled.edges.append(edge.id)
    for number, edge_id in enumerate(filled.edges):
        facts = [device(chance, number, one) for one in range(devices)]
        await tell(database, filled, edge_id, facts, with_images=number < 50)
    return filled


async def tell(
    database: Database, filled: Filled, edge: str, facts: list[DeviceFacts], *, with_images: bool = False
) -> None:
    for start in range(0, len(facts), BATCH):
        part = facts[start : start + BATCH]
        after = filled.positions.get(edge, 0)
        delta = InventoryDelta(
            epoch="e", after=after, last=after + len(part), complete=start + BATCH >= len(facts), devices=part
        )
        if with_images and after == 0:
            delta = delta.model_copy(update={"images": images()})
        async with database.writing() as session:
            await receive(Scope(session, filled.org), edge, delta, datetime.now(UTC))
        filled.positions[edge] = delta.last


def images() -> list[ImageFacts]:
    return [
        ImageFacts(file=f"{version}.bin", id="0" * 64, version=version, models=MODELS)
        for version in ("12.9.60", "11.11.200", "9.80.99")
    ]


async def keep_changing(database: Database, filled: Filled) -> None:
    chance = random.Random(1)
    while True:
        await asyncio.sleep(1 / CHANGES_PER_SECOND)
        number = chance.randrange(len(filled.edges))
        facts = [device(chance, number, chance.randrange(50)) for _ in range(3)]
        # Not taken while the server has too much to do: an edge host says it again later.
        with contextlib.suppress(FarsiteError):
            await tell(database, filled, filled.edges[number], facts)


async def main(folder: Path, database_url: str | None) -> None:
    settings: dict[str, Any] = {"log_level": "error"} | ({"database": database_url} if database_url else {})
    async with run_cloud(folder, open_passwords=Passwords, **settings) as running:
        services = running.cloud.services
        async with services.database.writing() as session:
            account = await find_account(session, OWNER_EMAIL)
            assert account is not None
            token, _ = await issue(session, account, services.clock())
        organizations = {
            size: await fill(services.database, services.vault, account.id, size) for size in SIZES
        }
        shown = {
            size: {"org": filled.org, "edges": filled.edges, "folders": filled.folders}
            for size, filled in organizations.items()
        }
        reader = await lines()
        keep_what_is_there()
        say(json.dumps({"url": running.url, "token": token, "organizations": shown}))
        async with asyncio.TaskGroup() as group:
            busy = group.create_task(keep_changing(services.database, organizations[BUSY]), name="changes")
            while await reader.readline():
                say(str(cpu_seconds()))
            busy.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
