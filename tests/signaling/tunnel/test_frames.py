from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.peer.link import MAX_MESSAGE as LINK_MAX_MESSAGE
from farsite_signaling.tunnel import frames
from farsite_signaling.tunnel.frames import (
    Accept,
    Credit,
    Data,
    Fin,
    FrameType,
    Goodbye,
    Open,
    Ping,
    Pong,
    Reset,
    Resume,
    parse_control_frame,
    parse_stream_frame,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

OFFSETS = st.integers(0, frames.MAX_OFFSET)
CODES = st.sampled_from(ErrorCode)
REASONS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=200).filter(
    str.isprintable
)
STREAM_FRAMES = st.one_of(
    st.builds(Open, st.integers(0, 2**32 - 1), OFFSETS, st.binary(max_size=2048)),
    st.builds(Accept, OFFSETS),
    st.builds(Data, OFFSETS, st.binary(min_size=1, max_size=2000)),
    st.builds(Credit, OFFSETS, OFFSETS),
    st.builds(Fin, OFFSETS),
    st.builds(Reset, CODES, REASONS),
    st.builds(Resume, st.integers(0, 2**32 - 1), OFFSETS, OFFSETS),
)
CONTROL_FRAMES = st.one_of(
    st.builds(Ping, st.integers(0, 2**64 - 1)),
    st.builds(Pong, st.integers(0, 2**64 - 1)),
    st.builds(Goodbye, CODES, REASONS),
)
HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda kind, rest: bytes([kind]) + rest, st.sampled_from([*FrameType]), st.binary(max_size=100)
    ),
    st.binary(min_size=1, max_size=1).map(lambda kind: kind * (frames.MAX_MESSAGE + 1)),
)


@given(STREAM_FRAMES)
def test_stream_frames_survive_the_wire(frame: frames.StreamFrame) -> None:
    assert parse_stream_frame(frame.encode()) == frame


@given(CONTROL_FRAMES)
def test_control_frames_survive_the_wire(frame: frames.ControlFrame) -> None:
    assert parse_control_frame(frame.encode()) == frame


@given(st.sampled_from([parse_stream_frame, parse_control_frame]), HOSTILE)
def test_any_bytes_parse_or_are_a_protocol_error(parse, message: bytes) -> None:
    try:
        frame = parse(message)
    except FarsiteError as error:
        assert error.code is ErrorCode.PROTOCOL_ERROR
        assert len(str(error)) < 300
    else:
        assert frame is None or len(repr(frame)) < 6 * len(message) + 400


@given(st.one_of(STREAM_FRAMES), st.data())
def test_cut_frames_never_grow(frame: frames.StreamFrame, data: st.DataObject) -> None:
    whole = frame.encode()
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        parsed = parse_stream_frame(part)
    except FarsiteError as error:
        assert error.code is ErrorCode.PROTOCOL_ERROR
    else:
        assert parsed is not None
        assert len(parsed.encode()) <= len(part) + len(ErrorCode.INTERNAL)


@given(STREAM_FRAMES.filter(lambda frame: not isinstance(frame, Open | Data | Reset)), st.binary(max_size=9))
def test_bytes_after_the_known_fields_are_ignored(frame: frames.StreamFrame, extra: bytes) -> None:
    assert parse_stream_frame(frame.encode() + extra) == frame


@pytest.mark.parametrize("parse", [parse_stream_frame, parse_control_frame])
def test_unknown_types_are_ignored(parse) -> None:
    known = {kind.value for kind in FrameType}
    for kind in set(range(256)) - known:
        assert parse(bytes([kind]) + b"\xff" * 40) is None


def test_frames_on_the_wrong_channel_are_refused() -> None:
    for parse, frame in ((parse_stream_frame, Ping(1)), (parse_control_frame, Fin(1))):
        with pytest.raises(FarsiteError) as caught:
            parse(frame.encode())
        assert caught.value.code is ErrorCode.PROTOCOL_ERROR


def test_a_reason_cannot_write_control_characters() -> None:
    frame = parse_stream_frame(Reset(ErrorCode.FORBIDDEN, "no\x1b[2J\nway").encode())
    assert isinstance(frame, Reset)
    assert frame.reason == "no [2J way"


def test_a_long_reason_is_cut() -> None:
    frame = Reset(ErrorCode.FORBIDDEN, "ä" * 2000)
    assert len(frame.encode()) < 1100
    parsed = parse_stream_frame(frame.encode())
    assert isinstance(parsed, Reset) and parsed.code is ErrorCode.FORBIDDEN


def test_an_unknown_code_becomes_internal() -> None:
    frame = parse_control_frame(b"\x42\x05newer why")
    assert frame == Goodbye(ErrorCode.INTERNAL, " why")


def test_a_whole_data_frame_fits_a_link_message() -> None:
    assert frames.MAX_MESSAGE == LINK_MAX_MESSAGE
    assert len(Data(0, bytes(frames.MAX_PAYLOAD)).encode()) == LINK_MAX_MESSAGE
