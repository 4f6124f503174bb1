"""The link's own decisions (`way.c`) on a clock of the test's: exact, whatever the machine does meanwhile."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.lab.wan.conditions import Direction

SOURCE = Path(__file__).with_name("way.c")
MS = 1_000_000
PACKET = 1250
"""Bytes: 1 ms at 10 Mbit/s."""


@cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="farsite-way-") as folder:
        file = str(Path(folder) / "way.so")
        command = ["cc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*command, "-o", file, str(SOURCE)], check=True)
        return ctypes.CDLL(file)


@dataclass(frozen=True)
class Arrival:
    """`sent` and `at` in ms; `number` of the offer, from 0."""

    number: int
    sent: float
    at: float

    @property
    def delay(self) -> float:
        return self.at - self.sent


class VirtualWay:
    """One direction. `seed` fixes all chance."""

    def __init__(self, direction: Direction, *, seed: int = 1) -> None:
        self._library = _library()
        self._way = ctypes.create_string_buffer(ctypes.c_size_t.in_dll(self._library, "WAY_SIZE").value)
        self._library.way_seed(self._way, ctypes.byref(ctypes.c_uint64(seed)))
        self._offered = 0
        self.change(direction)

    def change(self, direction: Direction) -> None:
        words = direction.orders().split()
        for key, amount in zip(words[::2], words[1::2], strict=True):
            assert self._library.way_set(self._way, key.encode(), ctypes.c_double(float(amount)))

    def offer(self, at: float, size: int = PACKET) -> list[Arrival]:
        """What arrives of a packet offered at this time (ms, never before the one offered last)."""
        due = (ctypes.c_int64 * 2)()
        now = ctypes.c_int64(round(at * MS))
        copies = self._library.way_offer(self._way, now, ctypes.c_uint32(size), due)
        number, self._offered = self._offered, self._offered + 1
        return [Arrival(number, at, due[copy] / MS) for copy in range(copies)]

    def stream(self, mbit: float, count: int, *, start: float = 0.0, size: int = PACKET) -> list[Arrival]:
        """A steady rate of packets; what arrives of them, in order of arrival."""
        gap = size * 8 / mbit / 1000
        arrived = [one for number in range(count) for one in self.offer(start + number * gap, size)]
        return sorted(arrived, key=lambda one: one.at)
