from __future__ import annotations

import pytest

from farsite_signaling.tunnel import (
    Limits,
    PeerLost,
    StreamAccepted,
    StreamEnded,
    StreamRequested,
    StreamState,
    TunnelEnded,
)
from farsite_signaling.tunnel.frames import (
    Credit,
    Data,
    Fin,
    Goodbye,
    Open,
    Reset,
    Resume,
    parse_stream_frame,
)
from farsite_signaling.tunnel.testing import Pair, read_all
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import ApiTarget, OpenRequest, Priority

KIB = 1024
REQUEST = OpenRequest(target=ApiTarget()).model_dump_json().encode()


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_bytes_flow_both_ways_and_both_ends_finish(pair: Pair) -> None:
    ours, theirs = pair.stream()
    ours.write(b"question" * 1000)
    ours.end()
    pair.settle()
    assert read_all(theirs) == b"question" * 1000
    assert theirs.at_end and theirs.state is StreamState.REMOTE_ENDED
    theirs.write(b"answer")
    theirs.end()
    pair.settle()
    assert read_all(ours) == b"answer"
    assert (ours.state, theirs.state) == (StreamState.CLOSED, StreamState.CLOSED)
    assert pair.a.core.streams == pair.b.core.streams == 0


def test_channels_are_closed_after_their_streams(pair: Pair) -> None:
    ours, theirs = pair.stream()
    ours.end()
    theirs.end()
    pair.settle()
    assert not pair.a.core._channels and not pair.b.core._channels
    assert not pair.a.core._lingering and not pair.b.core._lingering


def test_a_refusal_travels_with_code_and_reason(pair: Pair) -> None:
    ours = pair.a.open()
    pair.settle()
    (event,) = pair.b.take(StreamRequested)
    event.stream.reset(FarsiteError(ErrorCode.FORBIDDEN, "Operators may not do this."))
    pair.settle()
    assert ours.error is not None
    assert (ours.error.code, ours.error.detail) == (ErrorCode.FORBIDDEN, "Operators may not do this.")


def test_a_reader_that_stops_holds_at_most_its_window_and_no_other_stream(pair: Pair) -> None:
    slow, slow_reader = pair.stream(Priority.BULK)
    fast, fast_reader = pair.stream(Priority.BULK)
    slow.write(bytes(2000 * KIB))
    fast.write(bytes(2000 * KIB))
    got = 0
    for _ in range(1000):
        pair.settle()
        got += len(read_all(fast_reader, pair.now))
    assert got == 2000 * KIB
    assert slow_reader.unread == 256 * KIB
    assert slow.waiting == (2000 - 256) * KIB
    assert slow_reader.window == 256 * KIB


def test_the_window_grows_to_the_path_when_the_reader_keeps_up(pair: Pair) -> None:
    sender, reader = pair.stream(Priority.BULK)
    rtt = 0.2
    pair.a.core._rtt = pair.b.core._rtt = rtt
    sender.write(bytes(40_000 * KIB))
    while sender.waiting:
        pair.a.send()
        pair.now += rtt / 2
        pair.b.receive(pair.now)
        read_all(reader, pair.now)
        pair.b.send()
        pair.now += rtt / 2
        pair.a.receive(pair.now)
    assert reader.window == 4096 * KIB


def test_the_window_stays_when_the_path_is_the_limit(pair: Pair) -> None:
    sender, reader = pair.stream(Priority.BULK)
    pair.b.core._rtt = 0.01
    sender.write(bytes(8000 * KIB))
    while sender.waiting:
        pair.a.send(1)
        pair.now += 0.01
        pair.b.receive(pair.now)
        read_all(reader, pair.now)
        pair.b.send()
        pair.a.receive(pair.now)
    assert reader.window == 256 * KIB


def test_the_window_holds_several_round_trips_so_that_a_lost_packet_stalls_nobody(pair: Pair) -> None:
    sender, reader = pair.stream(Priority.BULK)
    rtt = 0.3
    pair.b.core._rtt = rtt
    sender.write(bytes(20_000 * KIB))
    while sender.waiting:
        pair.a.send()
        # What a loss does to a stream: everything waits for the retransmission, then comes at once.
        pair.now += 2.5 * rtt
        pair.b.receive(pair.now)
        read_all(reader, pair.now)
        pair.b.send()
        pair.a.receive(pair.now)
    assert reader.window == 4096 * KIB


def test_interactive_overtakes_bulk(pair: Pair) -> None:
    bulk, _ = pair.stream(Priority.BULK)
    other, _ = pair.stream(Priority.INTERACTIVE)
    bulk.write(bytes(200 * KIB))
    assert len(pair.a.send(2)) == 2
    other.write(b"small")
    (message,) = pair.a.send(1)
    assert parse_stream_frame(message) == Data(0, b"small")


def test_interactive_with_much_to_say_counts_as_bulk(pair: Pair) -> None:
    big, _ = pair.stream(Priority.INTERACTIVE)
    small, _ = pair.stream(Priority.INTERACTIVE)
    big.write(bytes(100 * KIB))
    pair.a.send(2)
    small.write(b"small")
    sent = [parse_stream_frame(message) for message in pair.a.send(2)]
    assert Data(0, b"small") in sent
    big.write(b"more")
    small.write(b"again")
    assert parse_stream_frame(pair.a.send(1)[0]) == Data(5, b"again")


def test_equals_take_turns(pair: Pair) -> None:
    streams = [pair.stream(Priority.BULK) for _ in range(3)]
    for mine, _ in streams:
        mine.write(bytes(200 * KIB))
    pair.a.send(9)
    assert len({mine.waiting for mine, _ in streams}) == 1


def test_bulk_is_never_starved(pair: Pair) -> None:
    bulk, _ = pair.stream(Priority.BULK)
    chatty, _ = pair.stream()
    bulk.write(bytes(100 * KIB))
    for _ in range(50):
        chatty.write(b"x")
        pair.a.send(1)
    assert bulk.waiting < 100 * KIB


def test_one_byte_writes_are_gathered_on_both_ends(pair: Pair) -> None:
    ours, theirs = pair.stream()
    for _ in range(10_000):
        ours.write(b"x")
    assert len(pair.a.send()) == 1
    for number in range(10_000, 12_000):
        pair.b.core.message_received(
            3, Data(number, b"y").encode(), 0.0
        ) if number > 10_000 else pair.settle()
    assert len(theirs._receive._unread._chunks) < 10


def test_a_peer_that_exceeds_its_credit_is_reset(pair: Pair) -> None:
    ours, theirs = pair.stream()
    assert ours.channel is not None
    for number in range(17):
        pair.b.core.message_received(ours.channel, Data(number * 16000, bytes(16000)).encode(), 0.0)
    assert theirs.error is not None and theirs.error.code is ErrorCode.PROTOCOL_ERROR
    assert theirs.unread == 0
    pair.settle()
    assert ours.error is not None and ours.error.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "frame",
    [
        Data(1, b"gap"),
        Credit(1, 10),
        Credit(0, 0),
        Credit(10**9, 10**9),
        Fin(7),
        Open(1, 0, REQUEST),
        Resume(1, 0, 0),
        b"",
        b"\x03",
        b"\x40" + bytes(8),
    ],
)
def test_a_bad_frame_resets_its_stream_alone(pair: Pair, frame: object) -> None:
    ours, theirs = pair.stream()
    other, other_end = pair.stream()
    message = frame if isinstance(frame, bytes) else frame.encode()  # type: ignore[attr-defined]
    assert ours.channel is not None
    pair.b.core.message_received(ours.channel, message, 0.0)
    assert theirs.error is not None and theirs.error.code is ErrorCode.PROTOCOL_ERROR
    pair.settle()
    assert ours.error is not None and ours.error.code is ErrorCode.PROTOCOL_ERROR
    other.write(b"still here")
    pair.settle()
    assert read_all(other_end) == b"still here"


def test_a_bad_control_frame_ends_the_tunnel_with_a_reason(pair: Pair) -> None:
    ours, _ = pair.stream()
    pair.b.core.message_received(2, b"\x40\x00", 0.0)
    pair.settle()
    for end in (pair.a, pair.b):
        (event,) = end.take(TunnelEnded)
        assert event.error.code is ErrorCode.PROTOCOL_ERROR
    assert ours.error is not None and ours.error.code is ErrorCode.PROTOCOL_ERROR


def test_goodbye_is_answered_once(pair: Pair) -> None:
    pair.settle()
    pair.a.core.goodbye(FarsiteError(ErrorCode.SESSION_ENDED, "The session was revoked."))
    pair.settle()
    (event,) = pair.b.take(TunnelEnded)
    assert (event.error.code, event.error.detail) == (ErrorCode.SESSION_ENDED, "The session was revoked.")
    assert pair.a.core.goodbye_heard and pair.b.core.goodbye_heard
    pair.b.core.message_received(2, Goodbye(ErrorCode.CLOSED, "").encode(), 0.0)
    assert pair.b.send() == []


def test_a_dead_peer_is_noticed_within_six_seconds(pair: Pair) -> None:
    pair.advance(20)
    silent_from = pair.now
    while not (lost := pair.a.take(PeerLost)):
        deadline = pair.a.core.next_deadline()
        assert deadline is not None and deadline > pair.now
        pair.now = deadline
        pair.a.core.tick(pair.now)
        pair.a.send()
    assert lost[0].error.code is ErrorCode.PEER_TIMEOUT
    assert pair.now - silent_from <= 6.0
    assert pair.a.core.next_deadline() is None


def test_heartbeats_measure_the_round_trip(pair: Pair) -> None:
    pair.settle()
    pair.a.core.tick(pair.now)
    pair.a.send()
    pair.b.receive(pair.now + 0.03)
    pair.b.send()
    pair.a.receive(pair.now + 0.07)
    assert pair.a.core.rtt == pytest.approx(0.07)


def test_a_machine_that_stood_still_does_not_take_its_peer_for_dead(pair: Pair) -> None:
    pair.advance(4)
    pair.now += 3600
    pair.a.core.tick(pair.now)
    assert not pair.a.take(PeerLost)
    pair.b.core.tick(pair.now)
    pair.advance(10)
    assert not pair.a.take(PeerLost) and not pair.b.take(PeerLost)


def test_streams_are_limited_on_both_ends() -> None:
    pair = Pair(Limits(streams=4))
    for _ in range(4):
        pair.stream()
    with pytest.raises(FarsiteError) as caught:
        pair.a.open()
    assert caught.value.code is ErrorCode.STREAM_LIMIT
    pair.b.inbox.clear()
    channel = pair.a.open_channel("s")
    pair.b.receive(0.0)
    pair.b.core.message_received(channel, Open(99, 0, REQUEST).encode(), 0.0)
    assert not pair.b.take(StreamRequested)
    sent = [frame for message in pair.b.send() if (frame := parse_stream_frame(message))]
    assert any(isinstance(frame, Reset) and frame.code is ErrorCode.STREAM_LIMIT for frame in sent)


def test_what_a_peer_can_make_us_keep_is_bounded() -> None:
    limits = Limits(streams=64, receive_budget=1024 * KIB)
    pair = Pair(limits)
    readers = [pair.stream(Priority.BULK) for _ in range(64)]
    for mine, _ in readers:
        mine.write(bytes(300 * KIB))
    pair.settle()
    held = sum(theirs.unread for _, theirs in readers)
    assert held <= limits.receive_budget + 64 * limits.min_credit


def test_a_peer_that_opens_channels_and_reads_no_answer_loses_the_tunnel() -> None:
    pair = Pair(Limits(streams=8))
    pair.settle()
    for channel in range(100, 400, 2):
        pair.b.core.channel_opened(channel, "s")
        pair.b.core.message_received(channel, b"\x05", 0.0)
        pair.b.core.channel_closed(channel, 0.0)
    (event,) = pair.b.take(TunnelEnded)
    assert event.error.code is ErrorCode.PROTOCOL_ERROR


def test_an_end_that_closed_is_not_sent_to_for_ever(pair: Pair) -> None:
    ours, theirs = pair.stream()
    ours.end()
    ours.discard()
    theirs.write(bytes(1000 * KIB))
    pair.settle()
    pair.advance(8)
    assert theirs.error is not None and theirs.error.code is ErrorCode.CLOSED
    assert pair.a.core.streams == pair.b.core.streams == 0


def test_a_stream_resumes_where_it_was(pair: Pair) -> None:
    ours, theirs = pair.stream()
    data = bytes(range(256)) * 1000
    ours.write(data)
    pair.a.send(6)
    pair.b.receive(0.0, count=3)
    pair.cut()
    pair.attach()
    pair.settle()
    got = read_all(theirs)
    ours.end()
    theirs.end()
    pair.settle()
    assert got + read_all(theirs) == data
    assert (ours.state, theirs.state) == (StreamState.CLOSED, StreamState.CLOSED)


def test_credit_inside_a_frame_resumes_inside_it(pair: Pair) -> None:
    ours, _ = pair.stream()
    ours.write(bytes(range(100)))
    pair.a.send()
    pair.cut()
    (again,) = pair.a.core.attach(0, 0.0)
    pair.a.core.bind(again, 20)
    pair.a.core.message_received(20, Resume(ours.number, 40, 256 * KIB).encode(), 0.0)
    frames = [parse_stream_frame(message) for message in pair.a.send() if message[0] == 3]
    assert frames == [Data(40, bytes(range(40, 100)))]


def test_an_open_that_was_lost_is_repeated(pair: Pair) -> None:
    ours = pair.a.open()
    pair.a.send()
    pair.cut()
    pair.attach()
    pair.settle()
    (event,) = pair.b.take(StreamRequested)
    event.stream.accept()
    pair.cut()
    pair.attach()
    pair.settle()
    assert not pair.b.take(StreamRequested)
    assert len(pair.a.take(StreamAccepted)) == 1
    ours.write(b"hello")
    pair.settle()
    assert read_all(event.stream) == b"hello"


def test_an_end_whose_confirmation_was_lost_finishes_in_order(pair: Pair) -> None:
    ours, theirs = pair.stream()
    theirs.end()
    pair.settle()
    ours.end()
    pair.a.send()
    pair.b.receive(0.0)
    assert theirs.state is StreamState.CLOSED
    pair.cut()
    pair.attach()
    pair.settle()
    assert ours.state is StreamState.CLOSED


def test_a_reset_whose_frame_was_lost_is_told_again(pair: Pair) -> None:
    ours, theirs = pair.stream()
    theirs.reset(FarsiteError(ErrorCode.DEVICE_UNREACHABLE, "Camera 3 is off."))
    pair.cut()
    pair.attach()
    pair.settle()
    assert ours.error is not None and ours.error.code is ErrorCode.DEVICE_UNREACHABLE


def test_streams_nobody_resumes_end(pair: Pair) -> None:
    ours, theirs = pair.stream()
    pair.cut()
    ours.reset(FarsiteError(ErrorCode.CLOSED, "gone"))
    pair.attach()
    pair.advance(11)
    assert theirs.error is not None and theirs.error.code is ErrorCode.PEER_TIMEOUT
    assert [event.stream for event in pair.b.take(StreamEnded)] == [theirs]
