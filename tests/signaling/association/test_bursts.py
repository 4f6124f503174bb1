"""What is sent at once fits the smallest buffer on the way: a relay's socket, read in turns with other work."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import pytest

from farsite_signaling.peer.association.bursts import LEAST, Bursts
from farsite_signaling.peer.association.testing import Path, Simulator, Upload

MIB = 1024 * 1024
MBIT = 1e6
WANTED = 400_000


@dataclass
class Relay(Path):
    """A fast way with a small buffer, at whose ends packets are read once in two milliseconds."""

    rate: float = 600 * MBIT
    delay: float = 0.0002
    queue: int = 80_000
    look: float = 0.002

    def arrivals(self, size: int, now: float, chance: random.Random) -> list[float]:
        return [math.ceil(at / self.look) * self.look for at in super().arrivals(size, now, chance)]


def upload() -> tuple[float, float]:
    """Goodput in Mbit/s, and lost of all packets, after start-up."""
    there = Relay()
    simulator = Simulator(there, Relay())
    simulator.connect()
    Upload(simulator, simulator.a, 32 * MIB)
    simulator.run(lambda: simulator.b.received >= 16 * MIB)
    sender = simulator.a.association.sender
    lost, passed, begin = sender.packets_lost, len(there.queued), simulator.now
    simulator.run(lambda: simulator.b.received >= 32 * MIB)
    assert not simulator.a.reason
    lost, passed = sender.packets_lost - lost, len(there.queued) - passed
    return 16 * MIB * 8 / (simulator.now - begin) / MBIT, lost / (lost + passed)


def test_a_small_buffer_on_a_fast_way_loses_little(monkeypatch: pytest.MonkeyPatch) -> None:
    goodput, lost = upload()
    assert goodput >= 450
    assert lost <= 0.05
    monkeypatch.setattr(Bursts, "counted", lambda *_: None)
    slower, more = upload()
    assert more >= 3 * lost
    assert slower < goodput


def test_without_loss_nothing_is_limited() -> None:
    bursts = Bursts()
    for step in range(1, 50):
        bursts.counted(step * 500_000, 0, WANTED, step * 0.05)
    assert bursts.most == float("inf")


def test_the_limit_follows_losses_down_and_their_end_up() -> None:
    bursts = Bursts()
    delivered = lost = 0
    now = 0.0
    for _ in range(30):
        delivered, lost, now = delivered + 400_000, lost + 100_000, now + 0.05
        bursts.counted(delivered, lost, WANTED, now)
    assert bursts.most == LEAST
    for _ in range(60):
        delivered, now = delivered + 500_000, now + 0.05
        bursts.counted(delivered, lost, WANTED, now)
    assert bursts.most >= WANTED


def test_one_percent_of_random_loss_is_no_reason() -> None:
    bursts = Bursts()
    for step in range(1, 50):
        bursts.counted(step * 500_000, step * 5_000, WANTED, step * 0.05)
    assert bursts.most == float("inf")


def test_little_is_no_measure() -> None:
    bursts = Bursts()
    bursts.counted(10_000, 10_000, WANTED, 1.0)
    assert bursts.most == float("inf")
