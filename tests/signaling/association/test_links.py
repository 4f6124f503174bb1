"""Congestion control on simulated links, in virtual time: goodput, queue, recovery, sharing. Seeds are fixed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from farsite_signaling.peer.association.testing import Path, Simulator, Upload

M = 1e6
MIB = 1024 * 1024
SIZE = 16 * MIB


@dataclass
class Outcome:
    """Steady: after the first quarter. Times in seconds, goodput in Mbit/s."""

    steady: float
    queue: float
    repeated: int
    packets: int


def upload(there: Path, back: Path, size: int = SIZE) -> Outcome:
    simulator = Simulator(there, back)
    simulator.connect()
    Upload(simulator, simulator.a, size)
    simulator.run(lambda: simulator.b.received >= size // 4)
    begin, before = simulator.now, simulator.b.received
    simulator.run(lambda: simulator.b.received >= size)
    assert not simulator.a.reason
    waits = sorted(wait for when, wait in there.queued if when > begin)
    return Outcome(
        steady=(simulator.b.received - before) * 8 / (simulator.now - begin) / M,
        queue=waits[int(len(waits) * 0.95)],
        repeated=simulator.a.association.sender.packets_repeated,
        packets=len(there.queued),
    )


def both(**what: float) -> tuple[Path, Path]:
    return Path(**what), Path(**what)  # type: ignore[arg-type]


def test_fast_link() -> None:
    outcome = upload(*both(rate=100 * M, delay=0.02))
    assert outcome.steady >= 88
    assert outcome.queue <= 0.015


def test_fast_link_that_loses_one_percent() -> None:
    outcome = upload(*both(rate=100 * M, delay=0.02, loss=0.01))
    assert outcome.steady >= 85
    assert outcome.repeated <= 0.05 * outcome.packets


def test_long_link_that_loses_one_percent() -> None:
    assert upload(*both(rate=50 * M, delay=0.05, loss=0.01)).steady >= 42


def test_satellite_with_loss_and_reordering() -> None:
    assert upload(*both(rate=20 * M, delay=0.15, loss=0.02, jitter=0.02), size=24 * MIB).steady >= 15


def test_slow_uplink_with_bursts_of_loss_and_a_long_queue() -> None:
    there = Path(rate=8 * M, delay=0.03, burst=(0.002, 0.3), queue=500_000)
    outcome = upload(there, Path(rate=50 * M, delay=0.03), size=8 * MIB)
    assert outcome.steady >= 6.5
    assert outcome.queue <= 0.08


def test_five_percent_loss_does_not_collapse_it() -> None:
    assert upload(*both(rate=100 * M, delay=0.02, loss=0.05)).steady >= 70


def test_small_requests_do_not_end_start_up() -> None:
    """Their acknowledgements are delayed, which is no queue: what follows them starts as on a fresh connection."""
    simulator = Simulator(*both(rate=100 * M, delay=0.02))
    simulator.connect()
    simulator.b.on_message = lambda channel, data: None
    simulator.a.association.channels.open(100, "requests")
    for _ in range(80):
        simulator.a.association.channels.send(100, bytes(1024))
        simulator.touch(simulator.a)
        simulator.run_for(0.06)
    begin, before = simulator.now, simulator.b.received
    Upload(simulator, simulator.a, SIZE)
    simulator.run(lambda: simulator.b.received >= before + SIZE)
    assert SIZE * 8 / (simulator.now - begin) / M >= 65


def test_short_queue() -> None:
    assert upload(*both(rate=100 * M, delay=0.02, queue=60_000)).steady >= 85


def test_tiny_round_trip() -> None:
    assert upload(*both(rate=1000 * M, delay=0.0001, queue=2_000_000), size=64 * MIB).steady >= 850


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_start_up_takes_less_than_three_seconds(loss: float) -> None:
    simulator = Simulator(*both(rate=100 * M, delay=0.02, loss=loss))
    simulator.connect()
    Upload(simulator, simulator.a, 64 * MIB)
    simulator.run_for(1.0)
    before = simulator.b.received
    simulator.run_for(1.0)
    assert (simulator.b.received - before) * 8 / M >= 80


def test_back_at_full_rate_a_second_after_an_outage() -> None:
    there, back = both(rate=100 * M, delay=0.02)
    there.cut = back.cut = (1003.0, 1005.0)
    simulator = Simulator(there, back)
    simulator.connect()
    Upload(simulator, simulator.a, 64 * MIB)
    simulator.run(lambda: simulator.now >= 1006.0)
    before = simulator.b.received
    simulator.run_for(0.5)
    assert (simulator.b.received - before) * 8 / 0.5 / M >= 80


def test_a_small_message_is_not_kept_waiting_by_an_upload() -> None:
    simulator = Simulator(*both(rate=20 * M, delay=0.02))
    simulator.connect()
    Upload(simulator, simulator.a, 64 * MIB)
    simulator.a.association.channels.open(2, "interactive")
    simulator.run_for(2.0)
    waits: list[float] = []
    for _ in range(50):
        arrived: list[float] = []
        simulator.b.on_message = lambda channel, data, arrived=arrived: (  # type: ignore[misc]
            arrived.append(simulator.now) if channel == 2 else None
        )
        begin = simulator.now
        simulator.a.association.channels.send(2, b"key")
        simulator.touch(simulator.a)
        simulator.run(lambda arrived=arrived: bool(arrived))  # type: ignore[misc]
        waits.append(arrived[0] - begin)
        simulator.run_for(0.05)
    assert sorted(waits)[47] <= 0.02 + 0.05
