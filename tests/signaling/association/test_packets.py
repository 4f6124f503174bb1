"""What is on the wire, byte for byte against aiortc's own codec, and what cannot be read."""

from __future__ import annotations

import pytest
from aiortc import rtcsctptransport as stock
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.peer.association import packets as wire

HEAD = wire.header(5000, 5001, 0x01020304)
tsns = st.integers(0, 2**32 - 1)


def parsed(body: bytes) -> stock.Chunk:
    source, destination, tag, chunks = stock.parse_packet(wire.seal(HEAD, body))
    assert (source, destination, tag) == (5000, 5001, 0x01020304)
    assert len(chunks) == 1
    return chunks[0]


@given(
    st.integers(0, 7),
    tsns,
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.binary(min_size=1, max_size=1160),
)
def test_data(flags: int, tsn: int, stream: int, ssn: int, payload: bytes) -> None:
    chunk = parsed(wire.data_chunk(flags, tsn, stream, ssn, 53, payload))
    assert isinstance(chunk, stock.DataChunk)
    assert (chunk.flags, chunk.tsn, chunk.stream_id, chunk.stream_seq) == (flags, tsn, stream, ssn)
    assert (chunk.protocol, chunk.user_data) == (53, payload)


@given(tsns, tsns, st.lists(st.integers(0, 65535), max_size=100), st.lists(tsns, max_size=16))
def test_acknowledgements(cumulative: int, window: int, edges: list[int], duplicates: list[int]) -> None:
    edges = edges[: len(edges) // 2 * 2]
    body = wire.sack_chunk(cumulative, window, edges, duplicates)
    chunk = parsed(body)
    assert isinstance(chunk, stock.SackChunk)
    assert (chunk.cumulative_tsn, chunk.advertised_rwnd, chunk.duplicates) == (cumulative, window, duplicates)
    assert [edge for gap in chunk.gaps for edge in gap] == edges
    packet = wire.seal(HEAD, body)
    ours = wire.parse_sack(packet, 16, len(packet))
    assert (ours.cumulative, ours.window, ours.gaps) == (cumulative, window, tuple(edges))


def test_init_as_stock_reads_it() -> None:
    chunk = parsed(wire.chunk(wire.INIT, wire.Init(7, 1 << 20, 10, 20, 99, bytes([wire.RECONFIG])).body()))
    assert isinstance(chunk, stock.InitChunk)
    assert (chunk.initiate_tag, chunk.advertised_rwnd, chunk.initial_tsn) == (7, 1 << 20, 99)
    assert (stock.SCTP_SUPPORTED_CHUNK_EXT, bytes([wire.RECONFIG])) in chunk.params


def test_init_of_stock_as_we_read_it() -> None:
    chunk = stock.InitAckChunk()
    chunk.initiate_tag, chunk.advertised_rwnd, chunk.outbound_streams = 5, 1 << 20, 65535
    chunk.inbound_streams, chunk.initial_tsn = 65535, 17
    chunk.params = [(stock.SCTP_SUPPORTED_CHUNK_EXT, b"\xc0\x82"), (stock.SCTP_STATE_COOKIE, b"cookie")]
    packet = stock.serialize_packet(5000, 5001, 1, chunk)
    assert wire.intact(packet)
    [(kind, _, start, end)] = wire.chunks(packet)
    init = wire.Init.parse(packet, start, end)
    assert (kind, init.tag, init.tsn, init.cookie) == (wire.INIT_ACK, 5, 17, b"cookie")
    assert (init.extensions, init.farsite, init.zero_checksum) == (b"\xc0\x82", False, False)


@given(st.binary(min_size=16, max_size=200))
def test_noise_is_read_or_refused(noise: bytes) -> None:
    try:
        for _, _, start, end in wire.chunks(noise):
            assert 16 <= start <= end <= len(noise)
            for read in (wire.parse_sack, wire.parameters, wire.Init.parse):
                try:
                    read(noise, start, end)
                except wire.MalformedError:
                    continue
    except wire.MalformedError:
        pass


@given(st.integers(0, 2**40), st.integers(-(2**31) + 1, 2**31 - 1))
def test_unwrapping(near: int, distance: int) -> None:
    assert wire.unwrap((near + distance) & wire.MASK, near) == near + distance


def test_damage_is_seen() -> None:
    packet = bytearray(wire.seal(HEAD, wire.chunk(wire.COOKIE_ACK)))
    assert wire.intact(bytes(packet))
    packet[-1] ^= 1
    assert not wire.intact(bytes(packet))


@pytest.mark.parametrize("length", [0, 3, 5000])
def test_chunk_lengths_that_lie(length: int) -> None:
    with pytest.raises(wire.MalformedError):
        list(wire.chunks(HEAD + bytes(4) + b"\0\0" + length.to_bytes(2, "big") + bytes(20)))
