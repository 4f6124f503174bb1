"""Device lists of many devices."""

from __future__ import annotations

import pytest

from farsite_edge.devices.listing import DeviceQuery, page_of
from farsite_edge.devices.record import DeviceRecord
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.errors import FarsiteError


def records(count: int = 250) -> list[DeviceRecord]:
    return [
        DeviceRecord(
            id=f"ACCC8E{number:06X}",
            address=f"10.0.{number // 100}.{number % 100 + 1}",
            managed=number % 2 == 0,
            state=DeviceState.REACHABLE if number % 3 else DeviceState.UNREACHABLE,
            model=("P3265-V", "M1065-LW", "")[number % 3],
            version=("12.9.57", "9.80.2.2", "10.12.323", "")[number % 4],
            tags=["Gate"] if number % 50 == 0 else [],
        )
        for number in range(count)
    ]


def listed(**query: object) -> list[DeviceRecord]:
    """All pages of seven."""
    found: list[DeviceRecord] = []
    cursor: str | None = None
    while True:
        asked = DeviceQuery.model_validate({"limit": 7, "cursor": cursor, **query})
        page, cursor, total = page_of(records(), asked)
        found += page
        if cursor is None:
            assert total == len(found)
            return found


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("sort", ["id", "address", "model", "state", "version", "last_seen"])
def test_pages_hold_every_device_once(sort: str, order: str) -> None:
    found = listed(sort=sort, order=order)
    assert len({one.id for one in found}) == len(found) == 250


def test_versions_and_addresses_are_numbers() -> None:
    versions = [one.version for one in listed(sort="version") if one.version]
    assert versions[0] == "9.80.2.2"
    assert versions[-1] == "12.9.57"
    addresses = [one.address for one in listed(sort="address")]
    assert addresses.index("10.0.0.9") < addresses.index("10.0.0.10")


def test_filters_and_search() -> None:
    assert len(listed(state="managed")) == 125
    assert {one.state for one in listed(status="unreachable")} == {DeviceState.UNREACHABLE}
    assert len(listed(tag="gate")) == 5
    assert {one.model for one in listed(model="p3265-v")} == {"P3265-V"}
    assert [one.id for one in listed(search="accc8e00000a")] == ["ACCC8E00000A"]
    assert {one.version for one in listed(search="m1065 9.80")} == {"9.80.2.2"}
    assert listed(search="nothing like it") == []


def test_a_page_goes_on_though_its_last_device_is_gone() -> None:
    page, cursor, _ = page_of(records(), DeviceQuery(limit=5, sort="address"))
    left = [one for one in records() if one.id != page[-1].id]
    following, _, _ = page_of(left, DeviceQuery(limit=5, sort="address", cursor=cursor))
    assert following[0].address == "10.0.0.6"


@pytest.mark.parametrize("cursor", ["x", "e30=", "WyJhZGRyZXNzIiwgMSwgMl0=", "ACCC8E000001"])
def test_wrong_cursors(cursor: str) -> None:
    with pytest.raises(FarsiteError, match="Begin again"):
        page_of(records(5), DeviceQuery(sort="address", cursor=cursor))
