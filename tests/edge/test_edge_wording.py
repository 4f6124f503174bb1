"""What `farsite edge` says to people, and whom it takes for somebody else's edge host."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_edge import neighbour
from farsite_edge.settings import EdgeSettings, default_data_dir
from farsite_edge.wording import claimed, sentence
from farsite_signaling.wire.edge_api import EdgeInfo, EdgeState
from farsite_signaling.wire.errors import FarsiteError

READY = {
    "name": "dock",
    "state": "unclaimed",
    "http_port": 27080,
    "https_port": 37443,
    "data_dir": "/srv/edge",
}


def test_an_edge_host_that_is_ready_says_how_it_is_claimed() -> None:
    text = sentence("ready", READY)
    assert text.startswith("Edge host 'dock' is ready: HTTPS port 37443, data in /srv/edge\n")
    assert "farsite claim ADDRESS:27080 --name NAME" in text
    assert "farsite edge claim CODE --cloud URL --data-dir /srv/edge" in text
    assert sentence("ready", {**READY, "state": "claimed"}).count("\n") == 0
    assert sentence("remote_access", {"state": "active", "detail": ""}) == "remote access state=active"


def test_a_claim_says_what_is_still_to_be_done() -> None:
    done = claimed("Dock", "Acme", default_data_dir(), running=True, remote=True)
    assert done == ["'Dock' belongs to Acme now."]
    todo = claimed("Dock", "Acme", Path("/srv/edge"), running=False, remote=False)
    assert "remote-access on --data-dir /srv/edge" in todo[1] and "edge run --data-dir" in todo[2]


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EdgeSettings:
    """Of somebody who names no folder, and has never used one."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(neighbour, "SERVICE_FOLDER", tmp_path / "service")
    return EdgeSettings(http_port=9)


async def test_a_new_folder_is_taken_where_no_other_edge_host_is(fresh: EdgeSettings) -> None:
    await neighbour.check_meant(fresh)


async def test_the_service_of_the_machine_is_meant(fresh: EdgeSettings, tmp_path: Path) -> None:
    """A code was used up for an edge host in a new folder, which nobody runs."""
    neighbour.SERVICE_FOLDER.mkdir()
    with pytest.raises(FarsiteError, match=r"--data-dir .*service") as refused:
        await neighbour.check_meant(fresh)
    assert refused.value.code == "conflict"
    await neighbour.check_meant(fresh.model_copy(update={"data_dir": tmp_path / "named"}))
    fresh.data_dir.mkdir(parents=True)
    await neighbour.check_meant(fresh)


async def test_one_that_runs_from_another_folder_is_meant(fresh: EdgeSettings) -> None:
    info = EdgeInfo(
        id="1", name="dock", state=EdgeState.UNCLAIMED, version="0.1.0", protocol_versions=[1],
        https_port=37443, fingerprint="AA",
    )  # fmt: skip

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=info.model_dump_json(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/info", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        with pytest.raises(FarsiteError, match="'dock' that runs on this machine"):
            await neighbour.check_meant(fresh.model_copy(update={"http_port": server.port}))
