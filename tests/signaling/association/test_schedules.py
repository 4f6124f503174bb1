"""Random loss, reordering, duplication and delay: every byte once, in order, in bounded time, without livelock."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farsite_signaling.peer.association import Settings
from farsite_signaling.peer.association.testing import End, Path, Simulator

LIMIT = 300.0
"""Virtual seconds."""

paths = st.builds(
    Path,
    rate=st.sampled_from([0.0, 1e6, 20e6]),
    delay=st.sampled_from([0.0001, 0.005, 0.05, 0.3]),
    loss=st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    jitter=st.sampled_from([0.0, 0.001, 0.03]),
    duplicate=st.sampled_from([0.0, 0.1]),
    queue=st.sampled_from([20_000, 500_000]),
)
sizes = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 3, 100, 1160, 1161, 5000, 16_384])), max_size=40
)
gathered = st.sampled_from([0.0, 0.002, 0.004])


class Log:
    """Messages by channel, in order of arrival, as digests."""

    def __init__(self, end: End) -> None:
        self.messages: dict[int, list[bytes]] = defaultdict(list)
        end.on_message = lambda channel, data: self.messages[channel].append(digest(data))

    @property
    def count(self) -> int:
        return sum(map(len, self.messages.values()))


def digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def speak(end: End, parity: int, messages: list[tuple[int, int]], chance: random.Random) -> Log:
    """Queue them all at once; what was queued, in the shape of what should arrive."""
    expected: dict[int, list[bytes]] = defaultdict(list)
    for stream, size in messages:
        channel = 2 * stream + parity
        if channel not in end.association.channels:
            end.association.channels.open(channel, f"channel {channel}")
        data = chance.randbytes(size)
        expected[channel].append(digest(data))
        end.association.channels.send(channel, data)
    return expected  # type: ignore[return-value]


@settings(max_examples=2500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    there=paths,
    back=paths,
    up=sizes,
    down=sizes,
    seed=st.integers(0, 1 << 32),
    interleaving=st.booleans(),
    gather=gathered,
)
def test_every_message_arrives_once_and_in_order(
    there: Path,
    back: Path,
    up: list[tuple[int, int]],
    down: list[tuple[int, int]],
    seed: int,
    interleaving: bool,
    gather: float,
) -> None:
    settings = Settings(give_up=120.0, interleaving=interleaving)
    simulator = Simulator(there, back, seed=seed, settings=settings, gather=gather)
    at_a, at_b = Log(simulator.a), Log(simulator.b)
    simulator.connect(limit=LIMIT)
    to_b = speak(simulator.a, 0, up, simulator.chance)
    to_a = speak(simulator.b, 1, down, simulator.chance)
    simulator.touch(simulator.a)
    simulator.touch(simulator.b)
    total = len(up) + len(down)
    simulator.run(lambda: at_a.count + at_b.count >= total or broken(simulator), LIMIT)
    simulator.run_for(5.0)  # whatever still comes may not be delivered again
    assert not broken(simulator)
    assert at_b.messages == to_b
    assert at_a.messages == to_a
    for end in (simulator.a, simulator.b):
        assert end.association.reassembly.held == 0
        assert end.association.queued == 0


@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    there=paths,
    back=paths,
    channels=st.integers(1, 20),
    seed=st.integers(0, 1 << 32),
    interleaving=st.booleans(),
)
def test_channels_close_after_their_data_and_are_used_again(
    there: Path, back: Path, channels: int, seed: int, interleaving: bool
) -> None:
    settings = Settings(give_up=120.0, interleaving=interleaving)
    simulator = Simulator(there, back, seed=seed, settings=settings)
    log = Log(simulator.b)
    simulator.connect(limit=LIMIT)
    association = simulator.a.association
    for turn in range(2):
        for channel in range(0, 2 * channels, 2):
            association.channels.open(channel, "short")
            association.channels.send(channel, b"%d" % turn * 2000)
            association.channels.close(channel)
        simulator.touch(simulator.a)
        closed = (turn + 1) * channels
        simulator.run(
            lambda closed=closed: all(gone(end) == closed for end in (simulator.a, simulator.b)), LIMIT
        )
    expected = [digest(b"0" * 2000), digest(b"1" * 2000)]
    assert log.messages == dict.fromkeys(range(0, 2 * channels, 2), expected)


def gone(end: End) -> int:
    return sum(said[0] == "closed" for said in end.said)


def broken(simulator: Simulator) -> bool:
    return bool(simulator.a.reason or simulator.b.reason)


def test_a_silent_peer_is_given_up_after_twenty_seconds() -> None:
    simulator = Simulator(Path(cut=(1001.0, 1e9)), Path(cut=(1001.0, 1e9)))
    simulator.connect()
    simulator.a.association.channels.open(0, "x")
    simulator.run_for(2.0)
    simulator.a.association.channels.send(0, b"anybody there?")
    simulator.touch(simulator.a)
    begin = simulator.now
    simulator.run(lambda: bool(simulator.a.reason))
    assert simulator.a.reason == ["unanswered"]
    assert 20 <= simulator.now - begin < 22
    assert simulator.packets < 100


def test_a_process_that_slept_does_not_give_up_on_waking() -> None:
    simulator = Simulator(Path(), Path())
    log = Log(simulator.b)
    simulator.connect()
    simulator.a.association.channels.open(0, "x")
    simulator.a.association.channels.send(0, b"before")
    simulator.touch(simulator.a)
    simulator.now += 600  # nothing ran: everything in flight arrives late
    simulator.a.association.channels.send(0, b"after")
    simulator.touch(simulator.a)
    simulator.run(lambda: log.count == 2)
    assert not broken(simulator)


def test_nobody_answers_the_handshake() -> None:
    simulator = Simulator(Path(loss=1.0), Path())
    simulator.start()
    simulator.run(lambda: bool(simulator.a.reason), 60)
    assert simulator.a.reason == ["unanswered"]
