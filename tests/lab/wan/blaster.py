"""Plain UDP at a steady rate, and who counts it: `python blaster.py`. Standard library only: it starts quickly.

send ADDRESS MBIT SECONDS    prints how many datagrams it sent, and its CPU seconds
count ADDRESS                prints `ready`; once standard input has ended and nothing more comes, JSON about all it got

Arrivals are timed by the kernel: a busy machine wakes the counter late, but the packets were not late.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import struct
import sys
import time
from itertools import pairwise

PORT = 9000
SIZE = 1225
PACKET = SIZE + 28
SILENCE = 0.5
"""The deepest queue of a link."""
PATIENCE = 60.0
WINDOW = 50
"""Packets over which a rate is taken."""
# linux/asm-generic/socket.h; the socket module names neither.
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
BUFFER = 16 << 20


def send(address: str, mbit: float, seconds: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, PORT))
        begin, number = time.monotonic(), 0
        rest = bytes(SIZE - 12)
        while (passed := time.monotonic() - begin) < seconds:
            while number < passed * mbit * 1e6 / 8 / PACKET:
                sock.send(struct.pack("!Id", number, time.time()) + rest)
                number += 1
            time.sleep(0.0005)
    print(json.dumps({"sent": number, "cpu": time.process_time()}))


class Counter:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.numbers: list[int] = []
        self.times: list[tuple[float, float]] = []
        """(arrived, sent), seconds of the clock that all namespaces share."""

    def run(self) -> None:
        told = False
        while True:
            watched = [self._sock] if told else [self._sock, sys.stdin]
            ready, _, _ = select.select(watched, [], [], SILENCE if told else PATIENCE)
            if self._sock in ready:
                self._drain()
            elif ready:
                told = True
            else:
                return

    def _drain(self) -> None:
        try:
            while True:
                data, (marked, *_), _, _ = self._sock.recvmsg(2048, 64)
                seconds, nanoseconds = struct.unpack("ll", marked[2])
                number, sent = struct.unpack_from("!Id", data)
                self.times.append((seconds + nanoseconds / 1e9, sent))
                self.numbers.append(number)
        except BlockingIOError:
            return


def count(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # All that is sent fits, however late this process runs.
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.bind((address, PORT))
        sock.setblocking(False)
        print("ready", flush=True)
        counter = Counter(sock)
        counter.run()
    print(json.dumps(report(counter.numbers, counter.times) | {"cpu": time.process_time()}))


def report(numbers: list[int], times: list[tuple[float, float]]) -> dict[str, object]:
    if not times:
        return {"received": 0}
    seen: set[int] = set()
    again = 0
    overtaken = 0
    highest = -1
    for number in numbers:
        again += number in seen
        overtaken += number < highest and number not in seen
        seen.add(number)
        highest = max(highest, number)
    delays = sorted(arrived - sent for arrived, sent in times)
    return {
        "received": len(seen),
        "again": again,
        "overtaken": overtaken,
        "gaps": gaps(sorted(seen)),
        "mbit": rate([arrived for arrived, _ in times]),
        "delay_ms_min": delays[0] * 1000,
        "delay_ms_median": statistics.median(delays) * 1000,
        "delay_ms_max": delays[-1] * 1000,
    }


def rate(arrivals: list[float]) -> float:
    """Median over windows, Mbit/s: what the link carried while it had something to carry."""
    windows = [after - before for before, after in zip(arrivals, arrivals[WINDOW:], strict=False)]
    return WINDOW * PACKET * 8 / 1e6 / statistics.median(windows) if windows else 0.0


def gaps(numbers: list[int]) -> list[int]:
    """Lengths of the runs that are missing."""
    return [after - before - 1 for before, after in pairwise(numbers) if after - before > 1]


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
    else:
        count(sys.argv[2])
