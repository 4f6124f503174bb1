"""Channel data in runs: what goes in comes out, whatever the sizes, over datagrams and over streams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.peer.channeldata import HEADER, pieces, unwrap, wrap

payloads = st.tuples(st.integers(1, 1300), st.integers(1, 20), st.integers(1, 1300))


@given(payloads)
def test_a_run_of_datagrams_survives(shape: tuple[int, int, int]) -> None:
    segment, count, last = shape
    data = b"".join(bytes([n]) * segment for n in range(count)) + b"z" * min(last, segment)
    wrapped, size = wrap(0x4001, memoryview(data), segment, pad=False)
    assert size == segment + HEADER
    found = list(unwrap(pieces(memoryview(wrapped), size)))
    assert [channel for channel, _, _ in found] == [0x4001]
    assert found[0][1:] == (data, segment)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1225])
def test_over_streams_messages_are_padded(size: int) -> None:
    wrapped, _ = wrap(0x4000, memoryview(b"x" * size * 2), size, pad=True)
    assert len(wrapped) == 2 * (HEADER + (size + 3) // 4 * 4)
    assert wrapped[:4] == b"\x40\x00" + size.to_bytes(2)


def test_other_channels_and_longer_messages_begin_a_new_run() -> None:
    messages = [
        memoryview(channel.to_bytes(2) + len(text).to_bytes(2) + text)
        for channel, text in (
            (0x4000, b"aa"),
            (0x4000, b"bb"),
            (0x4001, b"cc"),
            (0x4001, b"ddd"),
            (0x4001, b"e"),
        )
    ]
    assert list(unwrap(messages)) == [
        (0x4000, b"aabb", 2),
        (0x4001, b"cc", 2),
        (0x4001, b"ddde", 3),
    ]


@pytest.mark.parametrize(
    "damaged", [b"", b"\x40", b"\x40\x00\x00", b"\x40\x00\x00\x00", b"\x40\x00\x00\x09short"]
)
def test_what_is_damaged_is_left_out(damaged: bytes) -> None:
    whole = b"\x40\x00\x00\x05whole"
    data = whole + damaged
    assert list(unwrap(pieces(memoryview(data), len(whole)))) == [(0x4000, b"whole", 5)]
