"""`farsite audit …` as processes against a real cloud, and `farsite cloud audit verify` beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, RunningCloud, run_cloud

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[RunningCloud]:
    async with run_cloud(tmp_path / "cloud") as running:
        yield running


async def _done(cli: Any, *arguments: str, code: int = 0, **variables: str) -> Any:
    ran = await cli(*arguments, "--json", **variables)
    assert ran.code == code, ran.err + ran.out
    return json.loads(ran.out)


async def test_the_log_is_listed_exported_and_verified(cli: Any, cloud: RunningCloud, tmp_path: Path) -> None:
    await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, FARSITE_CLIENT_PASSWORD=OWNER_PASSWORD)
    checkpoint, export = tmp_path / "point.json", tmp_path / "log.jsonl"
    made = await _done(cli, "audit", "checkpoint", "-o", str(checkpoint))
    found = await _done(cli, "audit", "list", "--action", "client", "--since", "2020-01-01")
    assert [row["action"] for row in found] == ["client.enrolled"]
    assert "client.enrolled" in (await cli("audit")).out
    await _done(cli, "audit", "export", "-o", str(export))
    ran = await cli("audit", "export", "--format", "csv", "--action", "organization")
    assert [row["action"] for row in csv.DictReader(io.StringIO(ran.out))] == ["organization.created"]
    whole = await _done(cli, "audit", "verify", "--checkpoint", str(checkpoint))
    assert whole["ok"] and whole["checkpoints"] >= 1 and whole["last"] > made["seq"]
    offline = await _done(cli, "audit", "verify", "--file", str(export), "--checkpoint", str(checkpoint))
    assert offline["ok"] and offline["checkpoints"] == 1
    export.write_text(export.read_text().replace("client.enrolled", "client.deleted"))
    offline = await _done(cli, "audit", "verify", "--file", str(export), code=1)
    assert offline["broken"]["kind"] == "changed"
    async with cloud.cloud.services.database.writing() as session:
        await session.execute(text("UPDATE audit_events SET actor = 'eve' WHERE seq = 2"))
    ran = await cli("audit", "verify")
    assert ran.code == 1 and "row 2" in ran.out
    folder = ("--data-dir", str(tmp_path / "cloud"))
    logs = (await _done(cli, "cloud", "audit", "verify", *folder, code=1))["logs"]
    assert [log["broken"]["seq"] for log in logs if not log["ok"]] == [2]
    refused = await cli("cloud", "audit", "verify", *folder, "--checkpoint", str(checkpoint))
    assert refused.code == 1 and "--organization" in refused.err
