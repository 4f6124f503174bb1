"""What discovery does without a network: targets, merging, reading announcements."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf.asyncio import AsyncServiceInfo

from farsite_edge.discovery import FoundDevice, Method, merge, parse_targets
from farsite_edge.discovery.mdns import found_from
from farsite_edge.discovery.ssdp import location_of, parse_description
from farsite_edge.discovery.targets import MAX_ADDRESSES
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SERIAL = "ACCC8E010203"


def addresses(*texts: str) -> list[str]:
    return [address for target in parse_targets(texts) for address in target]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.5", ["10.0.0.5"]),
        (" 10.0.0.5 ", ["10.0.0.5"]),
        ("10.0.0.8-10.0.0.10", ["10.0.0.8", "10.0.0.9", "10.0.0.10"]),
        ("10.0.0.8-9", ["10.0.0.8", "10.0.0.9"]),
        ("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.7/32", ["10.0.0.7"]),
        ("10.0.0.6/31", ["10.0.0.6", "10.0.0.7"]),
        ("fd00::5", ["fd00::5"]),
        ("fd00::1-fd00::2", ["fd00::1", "fd00::2"]),
        ("fd00::/126", ["fd00::1", "fd00::2", "fd00::3"]),
    ],
)
def test_targets(text: str, expected: list[str]) -> None:
    assert addresses(text) == expected


def test_a_port_may_be_named_with_an_address() -> None:
    assert [target.port for target in parse_targets(["10.0.0.5:8080", "[fd00::5]:81", "10.0.0.6"])] == [
        None,
        8080,
        81,
    ]


@pytest.mark.parametrize(
    "text",
    ["", "camera", "10.0.0", "10.0.0.5:", "10.0.0.5:0", "10.0.0.5:70000", "10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1",
     "10.0.0.1-", "10.0.0.0/33", "fd00::5:99999x", "224.0.0.1", "0.0.0.0", "1.2.3.4-1.2.3.400"],
)  # fmt: skip
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(FarsiteError) as caught:
        parse_targets([text])
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.0.0.0-10.1.0.0", "fd00::/64", "0.0.0.0/0", "::/0"])
def test_absurd_ranges_name_the_limit(text: str) -> None:
    with pytest.raises(FarsiteError, match="25,600"):
        parse_targets([text])


def test_the_limit_is_on_the_sum() -> None:
    assert len(addresses("10.0.0.0/18")) < MAX_ADDRESSES
    with pytest.raises(FarsiteError, match="25,600"):
        parse_targets(["10.0.0.0/18", "10.1.0.0/18"])


@given(st.text(alphabet="0123456789.:-/[]abcdef%", max_size=40) | st.text(max_size=30))
def test_any_text_is_a_target_or_explained(text: str) -> None:
    with suppress(FarsiteError):
        for address in addresses(text):
            ip_address(address)


def seen(address: str, method: Method = Method.MDNS, **more: object) -> FoundDevice:
    return FoundDevice(SERIAL, address, by=(method,), addresses=(address,), **more)  # type: ignore[arg-type]


def test_sightings_of_one_device_become_one() -> None:
    announced = merge(None, seen("10.0.0.5", http_port=80, name="Gate"))
    asked = merge(
        announced, seen("10.0.0.5", Method.HTTP, https_port=443, model="P3265-V", version="12.9.57")
    )
    assert asked.by == (Method.MDNS, Method.HTTP)
    assert (asked.http_port, asked.https_port, asked.name, asked.model) == (80, 443, "Gate", "P3265-V")
    assert merge(asked, seen("10.0.0.5", http_port=80)) == asked


def test_what_a_device_says_over_http_stays() -> None:
    asked = merge(None, seen("10.0.0.5", Method.HTTP, model="P3265-V", setup_required=True))
    assert merge(asked, seen("10.0.0.5", Method.SSDP, model="odd")).model == "P3265-V"
    assert merge(asked, seen("10.0.0.5", Method.SSDP)).setup_required


@pytest.mark.parametrize("order", [1, -1])
def test_link_local_addresses_are_ignored_when_another_is_known(order: int) -> None:
    one, two = [seen("169.254.1.2", http_port=8080), seen("10.0.0.5", http_port=80)][::order]
    merged = merge(merge(None, one), two)
    assert (merged.address, merged.addresses) == ("10.0.0.5", ("10.0.0.5",))


def test_a_link_local_address_is_better_than_none() -> None:
    assert merge(None, seen("169.254.1.2")).addresses == ("169.254.1.2",)


def test_many_addresses_are_kept_and_bounded() -> None:
    merged = merge(None, seen("10.0.0.1"))
    for number in range(100):
        merged = merge(merged, seen(f"10.0.0.{number + 1}"))
    assert len(merged.addresses) == 16
    assert merged.address == "10.0.0.1"


def announcement(name: str, properties: dict[bytes, bytes], *found: str, port: int = 80) -> AsyncServiceInfo:
    kind = "_axis-video._tcp.local."
    packed = [ip_address(address).packed for address in found]
    return AsyncServiceInfo(kind, f"{name}.{kind}", addresses=packed, port=port, properties=properties)


def test_an_announcement() -> None:
    info = announcement(f"AXIS P1 - {SERIAL}", {b"macaddress": SERIAL.encode()}, "169.254.1.2", "10.0.0.5")
    found = found_from(info)
    assert found is not None
    assert (found.serial, found.address, found.http_port, found.name) == (SERIAL, "10.0.0.5", 80, "AXIS P1")


@pytest.mark.parametrize(
    "info",
    [
        announcement("AXIS P1", {}, "10.0.0.5"),
        announcement("AXIS P1", {b"macaddress": b"\xff\xff"}, "10.0.0.5"),
        announcement(f"AXIS P1 - {SERIAL}", {b"macaddress": SERIAL.encode()}),
        announcement(f"AXIS P1 - {SERIAL}", {}, "224.0.0.1", "0.0.0.0"),
        announcement(f"AXIS P1 - {SERIAL}", {}, "10.0.0.5", port=0),
    ],
)
def test_absurd_announcements_are_no_devices(info: AsyncServiceInfo) -> None:
    assert found_from(info) is None


def test_names_are_cleaned() -> None:
    info = announcement(f"Gate\u202e \u009b2J - {SERIAL}", {}, "10.0.0.5")
    found = found_from(info)
    assert found is not None
    assert found.name == "Gate 2J"


DESCRIPTION = f"""<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<friendlyName>AXIS M1065-LW - {SERIAL}</friendlyName><manufacturer>AXIS</manufacturer>
<modelName>AXIS M1065-LW</modelName><modelNumber>M1065-LW</modelNumber><serialNumber>{SERIAL}</serialNumber>
</device></root>"""
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<root><serialNumber>&b;</serialNumber></root>"
)
OUTSIDE = (
    '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><root><serialNumber>&a;</serialNumber></root>'
)


def test_a_description() -> None:
    found = parse_description(DESCRIPTION.encode(), "10.0.0.5", 80)
    assert (found.serial, found.model, found.product, found.name) == (
        SERIAL,
        "M1065-LW",
        "AXIS M1065-LW",
        "AXIS M1065-LW",
    )


@pytest.mark.parametrize(
    "text", ["", "<", "<a/>", LAUGHS, OUTSIDE, "<a>" * 2000, '<?xml version="1.0" encoding="x"?><a/>']
)
def test_descriptions_that_are_none(text: str) -> None:
    with pytest.raises(FarsiteError):
        parse_description(text.encode(), "10.0.0.5", 80)


@given(st.binary(max_size=300))
def test_any_bytes_describe_a_device_or_are_refused(body: bytes) -> None:
    with suppress(FarsiteError):
        parse_description(body, "10.0.0.5", 80)
    location_of(body)


def test_answers_to_a_search() -> None:
    assert (
        location_of(b"HTTP/1.1 200 OK\r\nlocation: http://10.0.0.5:80/x.xml\r\n\r\n")
        == "http://10.0.0.5:80/x.xml"
    )
    assert location_of(b"NOTIFY * HTTP/1.1\r\nLOCATION: http://10.0.0.5/\r\n\r\n") is None
    assert location_of(b"HTTP/1.1 404 No\r\nLOCATION: http://10.0.0.5/\r\n\r\n") is None
