"""The SDK and `farsite policies` against a real edge host with simulated devices."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from farsite_client.cli import tasks as task_commands
from farsite_client.cli.main import application
from farsite_client.edge import EdgeClient
from farsite_edge.admin.site import FILE, AdminAddress
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import Simulator, describe
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.rest.csv_table import csv_text
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyChange, PolicyMode, PolicyState, Selection

LOG = {"access_log": True, "ssh": False}


@dataclass
class Site:
    client: EdgeClient
    edge: RunningEdge
    simulator: Simulator

    @property
    def ids(self) -> list[str]:
        return [one.serial for one in self.simulator.devices]


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    options = {"poll_interval": 3600, "discovery_interval": 3600, "policy_poll": 600}
    async with (
        Simulator(describe(2, ["P3265-V", "M3024-L"]), https=False) as simulator,
        run_edge(tmp_path, **options) as edge,
    ):
        for one in simulator.devices:
            await edge.host.registry.found([FoundDevice(one.serial, one.address, one.http_port)])
            await edge.host.manager.add([one.serial])
            await edge.host.manager.log_in([one.serial], Account(one.username, one.password))
        address = AdminAddress.model_validate_json((tmp_path / FILE).read_bytes())
        assert address.unix

        @asynccontextmanager
        async def reach(*_: Any) -> AsyncIterator[EdgeClient]:
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(address.unix)) as session:
                yield EdgeClient(session, base="http://localhost")

        monkeypatch.setattr(task_commands, "reach", reach)
        async with reach() as client:
            yield Site(client, edge, simulator)


async def test_from_kinds_to_deletion(site: Site) -> None:
    policies = site.client.policies
    kind = next(one for one in await policies.kinds() if one.name == "security")
    assert {one.name for one in kind.settings} >= {"root_password", "ssh", "https_only", "allowed_addresses"}
    made = await policies.create("security", "Ours", LOG, mode=PolicyMode.REPORT_ONLY)
    assigned = await policies.assign(made.id, [*site.ids, "nobody"])
    assert [one.ok for one in assigned.results] == [True, True, False] and assigned.task is not None
    assert (await site.client.tasks.wait(assigned.task.id)).state is TaskState.SUCCEEDED
    seen = await policies.get(made.id)
    assert (seen.devices, seen.counts.deviating) == (2, 2)
    with pytest.raises(FarsiteError) as raised:
        await policies.change(made.id, PolicyChange(name="Late"), revision=7)
    assert raised.value.code is ErrorCode.PRECONDITION_FAILED
    changed = await policies.change(made.id, PolicyChange(mode=PolicyMode.ENFORCE), revision=1)
    assert (await site.client.tasks.wait((await policies.apply(made.id)).id)).state is TaskState.SUCCEEDED
    assert changed.revision == 2
    assert [one.state for one in await policies.results(made.id)] == [PolicyState.APPLIED] * 2
    [of_device] = await policies.of_device(site.ids[0])
    assert of_device.policy == made.id
    await policies.unassign(made.id, site.ids[:1])
    await policies.delete(made.id, revision=2)
    assert await policies.all() == []
    assert site.simulator.devices[0].parameters["System.AccessLog"] == "On"
    actions = {row.action for row in (await site.client.audit()).rows}
    assert {"policy.create", "policy.assign", "policy.change", "policy.apply", "policy.delete"} <= actions


async def test_what_makes_no_sense_is_said(site: Site) -> None:
    policies = site.client.policies
    with pytest.raises(FarsiteError) as raised:
        await policies.create("security", "Odd", {"https_only": True, "https": False, "nonsense": 1})
    assert raised.value.code is ErrorCode.INVALID_REQUEST
    assert {error["field"] for error in raised.value.errors} == {"settings.nonsense"}
    with pytest.raises(FarsiteError) as raised:
        await policies.get("none")
    assert raised.value.code is ErrorCode.NOT_FOUND
    made = await policies.create("security", "Ours", LOG)
    with pytest.raises(FarsiteError) as raised:
        await policies.apply(made.id)
    assert raised.value.code is ErrorCode.CONFLICT


async def test_reports_for_auditors(site: Site) -> None:
    policies = site.client.policies
    made = await policies.create("security", "=cmd|' /C calc'!A0", mode=PolicyMode.REPORT_ONLY)
    report = await policies.hardening()
    assert (report.score, report.devices, report.assessed) == (None, 2, 0)
    assigned = await policies.assign(made.id, site.ids)
    assert assigned.task is not None
    await site.client.tasks.wait(assigned.task.id)
    report = await policies.hardening()
    assert report.assessed == 2 and report.score is not None and 0 < report.score < 100
    for row in report.rows:
        assert row.score is not None and row.missing and row.points < row.possible
    drift = await policies.drift()
    assert sum(row.deviating for row in report.rows) == len(drift.rows)
    assert all(row.since and row.wanted and row.found for row in drift.rows)
    lines = list(csv.DictReader(io.StringIO(await policies.drift_csv())))
    assert len(lines) == len(drift.rows)
    assert {line["policy_name"] for line in lines} == {"'=cmd|' /C calc'!A0"}
    assert len(list(csv.DictReader(io.StringIO(await policies.hardening_csv())))) == 2
    await policies.change(made.id, PolicyChange(mode=PolicyMode.ENFORCE))
    await site.client.tasks.wait((await policies.apply(made.id)).id)
    assert (await policies.hardening()).score == 100 and (await policies.drift()).rows == []


def test_no_cell_begins_a_formula() -> None:
    texts = ["=1", "+1", "-1", "@a", "\t=1", "\r=1", 'a"b', None, 3]
    [row] = list(csv.reader(io.StringIO(csv_text(["a"] * 9, [texts]), newline="")))[1:]
    assert row[:4] == ["'=1", "'+1", "'-1", "'@a"] and row[6:] == ['a"b', "", "3"]
    assert all(cell.startswith("'") for cell in row[4:6])


async def test_documents_from_one_edge_host_to_the_next(site: Site) -> None:
    policies = site.client.policies
    made = await policies.create("security", "Ours", {**LOG, "root_password": "correct-horse-battery"})
    template = await policies.template(made.id)
    assert template.secrets == ["root_password"] and "horse" not in template.model_dump_json()
    other = template.model_copy(update={"id": "t1", "name": "Theirs"})
    with pytest.raises(FarsiteError, match="needs the secret root_password"):
        await policies.apply_template(other, Selection(ids=site.ids))
    secrets = {"root_password": "correct-horse-battery"}
    result = await policies.apply_template(other, Selection(models=["P3265-V"]), secrets)
    assert [one.device for one in result.results] == site.ids[:1] and result.task is not None
    assert (await site.client.tasks.wait(result.task.id)).state is TaskState.SUCCEEDED
    again = await policies.apply_template(other, Selection(everything=True))
    assert again.policy.id == result.policy.id and len(again.results) == 2


async def run(*arguments: str, code: int = 0) -> Any:
    result = await asyncio.to_thread(CliRunner().invoke, application(), list(arguments))
    assert result.exit_code == code, result.output + str(result.exception)
    return result


async def test_commands(site: Site, tmp_path: Path) -> None:
    first = site.ids[0]
    policies = ("policies", "Warehouse")
    made = json.loads((await run(*policies, "create", "Hard", "--only", "--set", "ssh=off", "--json")).output)
    assert made["settings"] == {"ssh": False}
    assert "Hard" in (await run(*policies, "list")).output
    assert "brute_force_protection" in (await run(*policies, "kinds", "security")).output
    await run(*policies, "edit", "hard", "--set", "access_log=on", "--set", "allowed_addresses=127.0.0.0/8")
    applied = await run(*policies, "apply", "Hard", first, "--wait")
    assert "succeeded" in applied.output
    shown = await run(*policies, "show", "Hard", "--device", first)
    assert "allowed_addresses" in shown.output and "applied" in shown.output
    score = await run(*policies, "score")
    assert "100 %" in score.output and "no security policy" in score.output
    assert "as wanted" in (await run(*policies, "drift")).output
    await run(*policies, "score", "--csv", "-o", str(tmp_path / "score.csv"))
    assert (tmp_path / "score.csv").read_text().startswith("device,")
    await run(*policies, "export", "Hard", "-o", str(tmp_path / "hard.json"))
    imported = await run(
        *policies, "import", str(tmp_path / "hard.json"), first, "--replace", "--wait", "--json"
    )
    assert json.loads(imported.output.splitlines()[-1])["state"] == "succeeded"
    await run(*policies, "remove", "Hard", "--all")
    unasked = await run(*policies, "delete", "Hard", code=1)
    assert isinstance(unasked.exception, FarsiteError) and "--yes" in str(unasked.exception)
    assert unasked.exception.code is ErrorCode.CONFIRMATION_NEEDED
    assert made["id"] in (await run(*policies, "list")).output
    await run(*policies, "delete", "Hard", "--yes")
    assert made["id"] not in (await run(*policies, "list")).output
    unknown = await run(*policies, "show", "nothing", code=1)
    assert isinstance(unknown.exception, FarsiteError)
