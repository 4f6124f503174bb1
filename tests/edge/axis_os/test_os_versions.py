"""Versions, tracks, the recommended version and the way across majors."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_edge.axis_os.folder import ImageFile
from farsite_edge.axis_os.inventory import inventory
from farsite_edge.devices.record import DeviceRecord
from farsite_signaling.wire.edge_tasks import OsImage, OsState
from farsite_signaling.wire.os_versions import crosses_major, parse, recommended, same, track_of, way

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5.51.7", (5, 51, 7)),
        ("9.80.2.2", (9, 80, 2, 2)),
        ("12.8.55.1", (12, 8, 55, 1)),
        ("11.11.192+snapshot-2", (11, 11, 192)),
        ("12.10.0", (12, 10)),
        ("", ()),
        ("latest", ()),
    ],
)
def test_versions_of_any_length(text: str, number: tuple[int, ...]) -> None:
    assert parse(text) == number


def test_order() -> None:
    versions = ["10.12.323", "9.80.2.2", "12.9.57", "9.80.3", "8.45.4.5", "12.11.77", "5.51.7", "9.80.2"]
    assert sorted(versions, key=parse) == [
        "5.51.7", "8.45.4.5", "9.80.2", "9.80.2.2", "9.80.3", "10.12.323", "12.9.57", "12.11.77",
    ]  # fmt: skip
    assert same("12.10", "12.10.0") and not same("", "") and not same("12.1", "12.10")


@pytest.mark.parametrize(
    ("version", "track", "supported"),
    [
        ("6.50.5", "LTS 2016", False),
        ("8.45.4.5", "LTS 2018", False),
        ("9.80.2.2", "LTS 2020", False),
        ("10.12.323", "LTS 2022", True),
        ("10.5.1", "LTS 2022", True),
        ("11.11.192", "LTS 2024", True),
        ("12.9.57", "Active", True),
        ("12.11.77", "LTS 2026", True),
        ("13.1.2", "Active", True),
        ("7.40.1", "AXIS OS 7", False),
        ("?", "Unknown", False),
    ],
)
def test_tracks(version: str, track: str, supported: bool) -> None:
    found = track_of(version)
    assert (found.name, found.supported(TODAY)) == (track, supported)


@pytest.mark.parametrize(
    ("current", "available", "wanted"),
    [
        ("12.9.57", ["12.9.57", "12.10.1", "12.11.80"], "12.11.80"),
        ("11.11.192", ["11.11.200", "12.11.80"], "11.11.200"),
        ("11.11.200", ["11.11.200", "12.11.80"], "12.11.80"),
        ("9.80.2.2", ["9.80.3.12", "10.12.323", "11.11.200"], "10.12.323"),
        ("9.80.2.2", ["9.80.3.12"], "9.80.3.12"),
        ("8.45.4.5", ["9.80.3", "10.12.323"], "9.80.3"),
        ("12.11.80", ["12.9.57"], None),
        ("12.11.80", ["13.1.1"], None),
        ("10.12.5", [], None),
    ],
)
def test_recommended(current: str, available: list[str], wanted: str | None) -> None:
    assert recommended(current, available, TODAY) == wanted


VERSION = st.lists(st.integers(0, 14), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))


@given(VERSION, st.lists(VERSION, max_size=8))
def test_recommended_is_newer_and_on_offer(current: str, available: list[str]) -> None:
    choice = recommended(current, available, TODAY)
    assert choice is None or (choice in available and parse(choice) > parse(current))


@pytest.mark.parametrize(
    ("current", "target", "hops", "missing"),
    [
        ("8.45.4.5", "11.11.200", ["9.80.3.12", "10.12.330", "11.11.200"], []),
        ("9.80.2.2", "12.11.80", ["10.12.330", "11.11.200", "12.11.80"], []),
        ("10.5.1", "11.11.200", ["10.12.330", "11.11.200"], []),
        ("12.9.57", "12.11.80", ["12.11.80"], []),
        ("6.40.1", "9.80.3.12", ["9.80.3.12"], ["6.50", "8.40"]),
    ],
)
def test_the_way(current: str, target: str, hops: list[str], missing: list[str]) -> None:
    available = ["9.80.2", "9.80.3.12", "10.12.1", "10.12.330", "11.11.200", "12.11.80"]
    assert way(current, target, available) == (hops, missing)


@given(VERSION, VERSION, st.lists(VERSION, max_size=8))
def test_the_way_goes_up_and_ends_at_the_target(current: str, target: str, available: list[str]) -> None:
    if parse(target) <= parse(current):
        return
    hops, _ = way(current, target, available)
    numbers = [parse(hop) for hop in hops]
    assert hops[-1] == target and numbers == sorted(numbers) and numbers[0] > parse(current)


def device(number: int, model: str, version: str) -> DeviceRecord:
    return DeviceRecord(
        id=f"ACCC8E{number:06X}", address="192.0.2.1", model=model, version=version, managed=True
    )


def offer(version: str, *models: str) -> ImageFile:
    image = OsImage(id=version.rjust(64, "0"), file="a.bin", bytes=1, version=version, models=list(models))
    return ImageFile(image, Path("a.bin"))


def test_inventory() -> None:
    devices = [
        device(1, "P3265-V", "12.9.57"),
        device(2, "P3265-V", "12.9.57"),
        device(3, "P3265-V", "12.11.80"),
        device(4, "M1065-LW", "9.80.2.2"),
        device(5, "Q1615-Mk-II", "8.45.4.5"),
        device(6, "", ""),
    ]
    images = [offer("12.11.80", "P3265-V"), offer("10.12.330", "M1065-LW")]
    rows = {row.model: row for row in inventory(devices, images, TODAY).rows}
    camera = rows["P3265-V"]
    assert (camera.devices, camera.recommended, camera.state) == (3, "12.11.80", OsState.UPDATE_AVAILABLE)
    assert [(one.version, one.count, one.state) for one in camera.versions] == [
        ("12.9.57", 2, OsState.UPDATE_AVAILABLE),
        ("12.11.80", 1, OsState.UP_TO_DATE),
    ]
    old = rows["M1065-LW"]
    assert (old.state, old.recommended, old.crosses_major) == (OsState.UNSUPPORTED_TRACK, "10.12.330", True)
    assert old.support_end is not None and old.support_end < TODAY
    assert crosses_major("9.80.2.2", "10.12.330")
    assert rows["Q1615-Mk-II"].state is rows[""].state is OsState.UNKNOWN_MODEL
