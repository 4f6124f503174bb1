"""The examples and tables in docs/protocol.md say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest

from farsite_signaling.tunnel import Limits, frames
from farsite_signaling.tunnel.frames import FrameType, parse_control_frame, parse_stream_frame
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.version import HISTORY

TEXT = (Path(__file__).parents[3] / "docs/protocol.md").read_text(encoding="utf-8")
_LINES = re.findall(r"```example\n(.*?)```", TEXT, re.DOTALL)[0].splitlines()
EXAMPLES = list(zip(_LINES[::2], _LINES[1::2], strict=True))


def _convert(kind: type, text: str) -> object:
    return text.encode() if kind is bytes else kind(text)


@pytest.mark.parametrize(("words", "digits"), EXAMPLES)
def test_example_bytes(words: str, digits: str) -> None:
    name, _, rest = words.partition(" ")
    values = dict(part.split("=", 1) for part in rest.split(" "))
    frame_class = getattr(frames, name.capitalize())
    kinds = get_type_hints(frame_class)
    frame = frame_class(**{key: _convert(kinds[key], text) for key, text in values.items()})
    message = bytes.fromhex(digits)
    assert frame.encode() == message
    parse = parse_control_frame if message[0] >= FrameType.PING else parse_stream_frame
    assert parse(message) == frame


def test_every_frame_has_an_example_and_its_type_in_the_tables() -> None:
    assert [words.split(" ")[0] for words, _ in EXAMPLES] == [kind.name for kind in FrameType]
    for kind in FrameType:
        assert f"| `{kind.value:02x}` | {kind.name} |" in TEXT


def test_the_version_table_is_the_history() -> None:
    for version, (date, what) in HISTORY.items():
        assert f"| {version} | {date} | {what} |" in TEXT


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    assert f"1 to {frames.MAX_PAYLOAD:,} bytes" in TEXT
    assert f"| streams each side may have open | {limits.streams} |" in TEXT
    assert (
        f"| credit of one stream | {limits.initial_credit >> 10} KiB, up to {limits.max_credit >> 20} MiB |"
        in TEXT
    )
    assert f"{limits.receive_budget >> 20} MiB, and {limits.min_credit >> 10} KiB for each" in TEXT
    assert f"PING every {limits.ping_interval:.0f} s" in TEXT
    assert f"nothing at all for {limits.silence:.0f} s ({limits.first_contact:.0f} s" in TEXT


def test_the_codes_named_exist() -> None:
    table = TEXT.partition("## 5. Error codes")[2]
    named = [
        code for row in table.splitlines() if row.startswith("| `") for code in re.findall(r"`(\w+)`", row)
    ]
    assert named and all(code in set(ErrorCode) for code in named)
