"""Files of addresses as people and spreadsheets make them, and targets that overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_edge.discovery.address_list import parse_addresses
from farsite_edge.discovery.targets import check_sum, count, merged, parse_target, parse_targets
from farsite_signaling.wire.errors import FarsiteError


def listed(text: str) -> list[str]:
    return [address for target in parse_addresses(text).targets for address in target]


@pytest.mark.parametrize(
    "text",
    [
        "address\n10.0.0.5\n10.0.0.7\n",
        "\ufeffIP address\r\n10.0.0.5\r\n10.0.0.7\r\n",
        '"IP"\r"10.0.0.5"\r"10.0.0.7"',
        "ip;\n10.0.0.5;\n10.0.0.7;\n",
        "Addresses,\n 10.0.0.5 ,\n\t10.0.0.7,,\n",
        "10.0.0.5\n10.0.0.7",
        "# cameras, ground floor\n\naddress\n10.0.0.5\n// gate\n10.0.0.7\n\n",
        "ip\n10.0.0.5 # gate, left\n10.0.0.7\t#right; there\n",
        "ip\n'10.0.0.5\n10.0.0.7\u00a0\n10.0.0.5\n",
    ],
)
def test_a_file_as_it_comes(text: str) -> None:
    found = parse_addresses(text)
    assert listed(text) == ["10.0.0.5", "10.0.0.7"]
    assert found.problems == []
    assert found.duplicates == (1 if text.count("10.0.0.5") > 1 else 0)


def test_every_bad_line_is_told_and_the_good_ones_stay() -> None:
    text = "address\n10.0.0.1\n10.0.0.999\ncamera one\n10.0.0.2,Gate\n224.0.0.1\n0.0.0.0/0\n10.0.0.3:8080\n\n10.0.0.4\n"
    found = parse_addresses(text)
    assert [problem.line for problem in found.problems] == [3, 4, 5, 6, 7]
    assert "2 columns" in found.problems[2].problem
    assert "25,600" in found.problems[4].problem
    assert count(found.targets) == 3


def test_a_wrong_first_line_is_no_header() -> None:
    assert [problem.line for problem in parse_addresses("10.0.0.999\n10.0.0.1\n").problems] == [1]


def test_the_most_a_file_may_have() -> None:
    lines = [f"10.{number >> 14}.{number >> 7 & 127}.{(number & 127) * 2 or 1}" for number in range(25_601)]
    text = "address\n" + "\n".join(lines[:-1])
    assert count(parse_targets([*(target.text for target in parse_addresses(text).targets)])) <= 25_600
    with pytest.raises(FarsiteError, match="25,600"):
        check_sum(merged([*parse_addresses(text).targets, parse_target("10.99.0.0/24")]))


@pytest.mark.parametrize(
    "text", ["255.255.255.255", "0.0.0.0", "239.1.1.1", "ff02::1", "10.0.0.0/17", "::/0"]
)
def test_what_no_device_can_have(text: str) -> None:
    with pytest.raises(FarsiteError, match="holds"):
        parse_target(text)


@given(st.text(max_size=200) | st.text(alphabet='0123456789.:-/,;"\n\r\t #', max_size=120))
def test_any_text_is_read(text: str) -> None:
    found = parse_addresses(text)
    assert all(problem.line >= 1 for problem in found.problems)
    for target in found.targets:
        assert merged([parse_target(target.text)]) == [target]


def test_overlapping_targets_are_probed_once() -> None:
    targets = parse_targets(["10.0.0.0/29", "10.0.0.4-10.0.0.20", "10.0.0.9", "10.0.0.30", "10.0.0.9:81"])
    assert [target.text for target in targets] == ["10.0.0.1-10.0.0.20", "10.0.0.30", "10.0.0.9:81"]
