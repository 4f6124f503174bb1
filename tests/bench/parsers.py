"""How long the answers of devices take to be read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from farsite_edge.discovery.ssdp import parse_description
from farsite_edge.discovery.ws_discovery import matches
from farsite_edge.vapix.api_discovery import GetApiList
from farsite_edge.vapix.basic_device_info import GetAllProperties
from farsite_edge.vapix.parameters import ListParameters
from farsite_edge.vapix.request import Answer
from tests.bench.harness import Figure, Result, percentile

LINES = 1600
ROUNDS = 200


async def measure() -> Result:
    figures = [
        Figure(f"parameter list of {LINES:,} lines", _time(_parameters()), "ms", 5, "lower"),
        Figure("API list of 80 entries", _time(_apis()), "ms", 5, "lower"),
        Figure("device information", _time(_info()), "ms", 5, "lower"),
        Figure("UPnP description", _time(_description()), "ms"),
        Figure("WS-Discovery answer", _time(_match()), "ms"),
    ]
    return Result(
        figures, note=f"CPU time, 95th of 100 of {ROUNDS} readings: what the event loop stands still for."
    )


def _time(read: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        read()
        took.append((time.thread_time() - begun) * 1000)
    return percentile(took, 0.95)


def _parameters() -> Callable[[], object]:
    lines = [f"root.Image.I{number % 8}.Group{number}.Name{number}=value {number}" for number in range(LINES)]
    answer, request = Answer(200, "\n".join(lines).encode()), ListParameters()
    assert len(request.parse(answer).values) == LINES
    return lambda: request.parse(answer)


def _apis() -> Callable[[], object]:
    entries = [
        {"id": f"api-{number}", "version": "1.3", "name": "An API", "status": "official"}
        for number in range(80)
    ]
    answer = Answer(200, json.dumps({"data": {"apiList": entries}}).encode())
    return lambda: GetApiList().parse(answer)


def _info() -> Callable[[], object]:
    properties = {"ProdNbr": "P3265-V", "SerialNumber": "B8A44F000001", "Version": "12.9.57", "Brand": "AXIS"}
    answer = Answer(200, json.dumps({"data": {"propertyList": properties}}).encode())
    return lambda: GetAllProperties().parse(answer)


def _description() -> Callable[[], object]:
    text = "<root><device><serialNumber>B8A44F000001</serialNumber><modelName>AXIS P3265-V</modelName></device></root>"
    return lambda: parse_description(text.encode(), "10.0.0.5", 80)


def _match() -> Callable[[], object]:
    text = (
        '<e xmlns:d="d"><d:RelatesTo>uuid:1</d:RelatesTo><d:ProbeMatch><d:XAddrs>http://10.0.0.5/</d:XAddrs>'
        "</d:ProbeMatch></e>"
    )
    return lambda: matches(text.encode(), {"uuid:1"})
