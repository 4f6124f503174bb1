"""Typing errors in an upgrade over all sites are told before it has failed on each of them."""

from __future__ import annotations

from farsite_client.cli.upgrade_hints import hints
from farsite_signaling.wire.edge_tasks import OsState
from farsite_signaling.wire.inventory_api import (
    OsOverview,
    OsOverviewChoice,
    OsOverviewRow,
    OsOverviewVersion,
)

ROW = OsOverviewRow(
    model="P3245-LVE",
    devices=2,
    versions=[OsOverviewVersion(version="11.11.192", count=2, track="LTS", state=OsState.UP_TO_DATE)],
    available=[
        OsOverviewChoice(version="12.5.1", track="Active", edge_hosts=0),
        OsOverviewChoice(version="11.11.200", track="LTS", edge_hosts=1),
    ],
    state=OsState.UPDATE_AVAILABLE,
)
OVERVIEW = OsOverview(devices=2, rows=[ROW])


def test_what_can_be_done_has_no_hint() -> None:
    assert not list(hints(OVERVIEW, ["p3245-lve"], "11.11.200"))
    assert not list(hints(OVERVIEW, [], None))
    assert not list(hints(OVERVIEW, [], "11.11.192"))


def test_a_model_nobody_has() -> None:
    assert list(hints(OVERVIEW, ["P3245"], None)) == ["No managed device is a P3245. Did you mean P3245-LVE?"]


def test_a_version_no_site_has() -> None:
    expected = "No edge host has an image of 99.1 for these devices; there are: 11.11.200."
    assert list(hints(OVERVIEW, ["P3245-LVE"], "99.1")) == [expected]
    assert "12.5.1" in next(hints(OVERVIEW, ["P3245-LVE"], "12.5.1"))
