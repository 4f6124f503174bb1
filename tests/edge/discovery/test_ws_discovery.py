"""WS-Discovery: what is asked, what is heard, and who is believed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import aclosing
from secrets import token_hex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_edge.discovery import Method, discover
from farsite_edge.discovery import ws_discovery as ws
from farsite_edge.simulator import Simulator, describe
from farsite_edge.simulator.ws_discovery import Question, WsDiscoveryPresence, answers, read_question

LOOPBACK = ["127.0.0.1"]
ASKED = {"uuid:1"}
ANSWER = """<?xml version="1.0"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><e:Header><a:RelatesTo>{relates}</a:RelatesTo></e:Header>
<e:Body><d:ProbeMatches><d:ProbeMatch><a:EndpointReference><a:Address>urn:uuid:x</a:Address></a:EndpointReference>
<d:Scopes>onvif://www.onvif.org/name/AXIS%20P1 onvif://www.onvif.org/hardware/P1 http://else/where</d:Scopes>
<d:XAddrs>{places}</d:XAddrs></d:ProbeMatch></d:ProbeMatches></e:Body></e:Envelope>"""


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        chosen: int = probe.getsockname()[1]
    yield chosen


def answer(places: str = "http://10.0.0.5/onvif/device_service", relates: str = "uuid:1") -> bytes:
    return ANSWER.format(places=places, relates=relates).encode()


def test_an_answer() -> None:
    [match] = ws.matches(answer(), ASKED)
    assert (match.name, match.hardware, match.endpoint) == ("AXIS P1", "P1", "urn:uuid:x")
    [seen] = ws.sightings(match, "10.0.0.5")
    assert (seen.address, seen.port, seen.secure) == ("10.0.0.5", 80, False)


def test_answers_to_what_was_not_asked_are_not_heard() -> None:
    assert ws.matches(answer(relates="uuid:2"), ASKED) == []
    assert ws.matches(answer(), set()) == []


@pytest.mark.parametrize(
    "places",
    ["http://10.0.0.6/", "ftp://10.0.0.5/", "http://cloud.example/", "http://[", "", "http://10.0.0.5:0/"],
)
def test_only_the_host_that_answers_is_believed(places: str) -> None:
    [match] = ws.matches(answer(places), ASKED)
    assert list(ws.sightings(match, "10.0.0.5")) == []


def test_entities_are_refused() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "ha">]>' + answer()[21:]
    assert ws.matches(bomb, ASKED) == []
    assert ws.matches(answer() + b" " * ws.MAX_PACKET, ASKED) == []


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: answer(text.replace("{", ""))))
def test_any_packet_is_read_or_ignored(packet: bytes) -> None:
    for match in ws.matches(packet, ASKED):
        list(ws.sightings(match, "10.0.0.5"))
    read_question(packet)


def test_our_questions_are_understood() -> None:
    asked = read_question(ws.probe(ws.TYPES[0], "uuid:7"))
    assert asked == Question("Probe", "uuid:7", ("NetworkVideoTransmitter",))
    resolving = read_question(ws.resolve("urn:<&>", "uuid:8"))
    assert resolving is not None
    assert (resolving.kind, resolving.endpoint) == ("Resolve", "urn:<&>")


async def test_devices_are_found_and_asked_who_they_are(port: int) -> None:
    """A camera by its type, a speaker as a device; one that is not discoverable stays silent."""
    described = describe(3, ["M3058-PLVE", "C1310-E", "P3265-V"], site=token_hex(4))
    async with Simulator(described) as simulator:
        for device, discoverable in zip(simulator.devices, ("Yes", "Yes", "No"), strict=True):
            device.parameters["WebService.DiscoveryMode.Discoverable"] = discoverable
        async with WsDiscoveryPresence(simulator.devices, LOOPBACK, port=port):
            places = set()
            async with aclosing(ws.search(10, LOOPBACK, port=port)) as sightings:
                async for seen in sightings:
                    places.add((seen.address, seen.port))
                    if len(places) == 2:
                        break
            assert places == {(one.address, one.http_port) for one in simulator.devices[:2]}
            hidden = simulator.devices[2]
            assert list(answers(hidden, Question("Probe", "uuid:1"))) == []
            camera = simulator.devices[0].serial
            async with aclosing(discover(timeout=10, interfaces=LOOPBACK, ws_port=port)) as found:
                async for one in found:
                    if one.serial == camera and Method.WS_DISCOVERY in one.by:
                        break
            assert (one.model, one.version) == ("M3058-PLVE", "10.12.323")


async def test_a_device_that_wants_to_be_asked_for_its_place(port: int) -> None:
    async with Simulator(describe(1, ["M3058-PLVE"])) as simulator:
        device = simulator.devices[0]
        device.parameters["WebService.DiscoveryMode.Discoverable"] = "Yes"
        async with (
            WsDiscoveryPresence([device], LOOPBACK, port=port, silent_places=True),
            aclosing(ws.search(10, LOOPBACK, port=port)) as sightings,
        ):
            async for seen in sightings:
                assert (seen.port, seen.hardware) == (device.http_port, "M3058-PLVE")
                break
