"""`/config/discover` (AXIS OS 11.8 and newer): the REST APIs of a device, which `apidiscovery.cgi` does not list."""

from __future__ import annotations

import json
from dataclasses import dataclass

from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import KIB, Answer, ApiRequest
from farsite_edge.vapix.text import clean

MAX_APIS = 500


@dataclass(frozen=True)
class RestApi:
    id: str
    version: str
    state: str = ""


class GetRestApis(ApiRequest[list[RestApi]]):
    path = "/config/discover"
    method = "GET"
    limit = 1024 * KIB

    def parse(self, answer: Answer) -> list[RestApi]:
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise bad_answer("a list of REST APIs that is not JSON") from None
        apis = document.get("apis") if isinstance(document, dict) else None
        if not isinstance(apis, dict):
            raise bad_answer("a list of REST APIs without entries")
        return [
            RestApi(
                clean(name, 64),
                clean(entry.get("version"), 32) or clean(major, 32),
                clean(entry.get("state"), 32),
            )
            for name, majors in list(apis.items())[:MAX_APIS]
            if isinstance(majors, dict)
            for major, entry in list(majors.items())[:20]
            if isinstance(entry, dict)
        ]
