"""DTLS records that come later than OpenSSL's replay window allows, on real OpenSSL connections."""

from __future__ import annotations

import pytest
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate
from OpenSSL import SSL

from farsite_signaling.peer.latecomers import Latecomers

Pair = tuple[SSL.Connection, SSL.Connection]


def _connection() -> SSL.Connection:
    certificate = RTCCertificate.generateCertificate()
    return SSL.Connection(certificate._create_ssl_context(srtp_profiles=SRTP_PROFILES))


def _move(source: SSL.Connection, target: SSL.Connection) -> None:
    try:
        while True:
            target.bio_write(source.bio_read(1500))
    except SSL.WantReadError:
        pass


@pytest.fixture
def pair() -> Pair:
    """Server and client, connected."""
    server, client = _connection(), _connection()
    server.set_accept_state()
    client.set_connect_state()
    done: set[SSL.Connection] = set()
    while len(done) < 2:
        for ours, theirs in ((client, server), (server, client)):
            try:
                ours.do_handshake()
                done.add(ours)
            except SSL.WantReadError:
                pass
            _move(ours, theirs)
    return server, client


def _records(sender: SSL.Connection, count: int) -> list[bytes]:
    records = []
    for number in range(count):
        sender.send(b"packet %04d" % number)
        records.append(sender.bio_read(1500))
    return records


def _read(receiver: SSL.Connection, record: bytes) -> bytes | None:
    receiver.bio_write(record)
    try:
        return receiver.recv(2000)
    except SSL.WantReadError:
        return None


@pytest.mark.parametrize("server_reads", [True, False])
def test_a_record_that_openssl_drops_as_too_late_is_opened(pair: Pair, server_reads: bool) -> None:
    receiver, sender = pair if server_reads else pair[::-1]
    latecomers = Latecomers.of(receiver, server=server_reads)
    assert latecomers is not None
    records = _records(sender, 100)
    early, rest = records[0], records[1:]
    for number, record in enumerate(rest, 1):
        assert not latecomers.late(record, len(record))
        assert _read(receiver, record) == b"packet %04d" % number
    assert latecomers.late(early, len(early)) == [0]
    assert _read(receiver, early) is None
    assert latecomers.open(early) == b"packet 0000"


def test_late_ones_are_found_among_others_of_the_same_batch(pair: Pair) -> None:
    latecomers = Latecomers.of(pair[0], server=True)
    assert latecomers is not None
    records = _records(pair[1], 200)
    assert not latecomers.late(b"".join(records[:150]), len(records[0]))
    batch = [records[150], records[20], records[149], records[80], records[151]]
    found = latecomers.late(b"".join(batch), len(records[0]))
    assert found == [len(records[0]), 3 * len(records[0])]


def test_what_is_not_authentic_is_not_opened(pair: Pair) -> None:
    latecomers = Latecomers.of(pair[0], server=True)
    assert latecomers is not None
    record = _records(pair[1], 1)[0]
    for place in range(len(record)):
        damaged = bytearray(record)
        damaged[place] ^= 1
        # The length is no part of what is read here: the datagram's own counts.
        assert latecomers.open(bytes(damaged)) is None or place in (11, 12)
    for size in range(len(record)):
        assert latecomers.open(record[:size]) is None
    assert latecomers.open(record) == b"packet 0000"


def test_a_forged_number_stops_nothing(pair: Pair) -> None:
    receiver, sender = pair
    latecomers = Latecomers.of(receiver, server=True)
    assert latecomers is not None
    first, second = _records(sender, 2)
    forged = first[:5] + b"\xff" * 6 + first[11:]
    latecomers.late(forged, len(forged))
    assert latecomers.open(forged) is None
    # From now on everything seems late: it is opened here as well as by OpenSSL.
    assert latecomers.late(second, len(second)) == [0]
    assert latecomers.open(second) == b"packet 0001"
