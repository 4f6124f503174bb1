"""Counts the TCP connections begun on an interface, in every window of one second; ends with a line on its input."""

from __future__ import annotations

import json
import select
import socket
import sys
import time

ETH_P_IP, TCP, SYN, ACK, OUTGOING = 0x0800, 6, 0x02, 0x10, 4


def is_syn(packet: bytes) -> bool:
    if len(packet) < 34 or packet[12:14] != b"\x08\x00" or packet[23] != TCP:
        return False
    flags = packet[14 + (packet[14] & 15) * 4 + 13]
    return bool(flags & SYN) and not flags & ACK


def main(interface: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024 * 1024)
        listening.bind((interface, 0))
        print("ready", flush=True)
        times: list[float] = []
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [])
            if sys.stdin in ready:
                break
            packet, where = listening.recvfrom(128)
            if where[2] == OUTGOING and is_syn(packet):
                times.append(time.monotonic())
    print(json.dumps(windows(times)))


def windows(times: list[float]) -> list[int]:
    """Of the second that begins with each fiftieth packet."""
    counts, end = [], 0
    for begin in range(0, len(times), 50):
        while end < len(times) and times[end] < times[begin] + 1:
            end += 1
        counts.append(end - begin)
    return counts


if __name__ == "__main__":
    main(sys.argv[1])
