"""Plain UDP at a steady rate, and who counts it: `python blaster.py`. Standard library only: it starts quickly.

send ADDRESS MBIT SECONDS    prints how many datagrams it sent
count ADDRESS                prints `ready`; after half a second without a datagram, JSON about all it got
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from itertools import pairwise

PORT = 9000
SIZE = 1225
PACKET = SIZE + 28
SILENCE = 0.5


def send(address: str, mbit: float, seconds: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, PORT))
        begin, number = time.monotonic(), 0
        rest = bytes(SIZE - 12)
        while (passed := time.monotonic() - begin) < seconds:
            while number < passed * mbit * 1e6 / 8 / PACKET:
                sock.send(struct.pack("!Id", number, time.monotonic()) + rest)
                number += 1
            time.sleep(0.0005)
    print(number)


def count(address: str) -> None:
    numbers: list[int] = []
    times: list[tuple[float, float]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((address, PORT))
        print("ready", flush=True)
        sock.settimeout(10)
        try:
            while True:
                number, sent = struct.unpack_from("!Id", sock.recv(2048))
                times.append((time.monotonic(), sent))
                numbers.append(number)
                sock.settimeout(SILENCE)
        except TimeoutError:
            pass
    print(json.dumps(report(numbers, times)))


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
    # All namespaces of a machine share this clock.
    delays = sorted(arrived - sent for arrived, sent in times)
    span = times[-1][0] - times[0][0]
    return {
        "received": len(seen),
        "again": again,
        "overtaken": overtaken,
        "gaps": gaps(sorted(seen)),
        "mbit": (len(numbers) - 1) * PACKET * 8 / 1e6 / span if span > 0 else 0.0,
        "delay_ms_min": delays[0] * 1000,
        "delay_ms_max": delays[-1] * 1000,
        "delay_ms_p99": delays[int(len(delays) * 0.99)] * 1000,
    }


def gaps(numbers: list[int]) -> list[int]:
    """Lengths of the runs that are missing."""
    return [after - before - 1 for before, after in pairwise(numbers) if after - before > 1]


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
    else:
        count(sys.argv[2])
