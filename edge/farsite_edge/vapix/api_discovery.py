"""`apidiscovery.cgi` (AXIS OS 8.50 and newer): which JSON APIs a device has. Needs an account on 9.80 and 10.12."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farsite_edge.vapix import json_api
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.text import clean

MAX_APIS = 1000


class ApiStatus(StrEnum):
    """How final an API is; 9.80 does not say. A word of newer firmware becomes `unknown`."""

    OFFICIAL = "official"
    RELEASED = "released"
    BETA = "beta"
    ALPHA = "alpha"
    DEPRECATED = "deprecated"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> ApiStatus:
        return cls.UNKNOWN


@dataclass(frozen=True)
class Api:
    id: str
    version: str
    name: str = ""
    status: ApiStatus = ApiStatus.UNKNOWN


class GetApiList(ApiRequest[list[Api]]):
    path = "/axis-cgi/apidiscovery.cgi"
    content_type = json_api.JSON

    def body(self) -> bytes:
        return json_api.build("getApiList", {})

    def parse(self, answer: Answer) -> list[Api]:
        entries = json_api.parse(answer).get("apiList")
        if not isinstance(entries, list):
            raise bad_answer("an API list without entries")
        return [
            _api(entry) for entry in entries[:MAX_APIS] if isinstance(entry, dict) and clean(entry.get("id"))
        ]


def _api(entry: dict[str, object]) -> Api:
    return Api(
        id=clean(entry.get("id")),
        version=clean(entry.get("version")),
        name=clean(entry.get("name")),
        status=ApiStatus(clean(entry.get("status"))),
    )
