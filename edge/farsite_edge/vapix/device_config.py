"""The Device Configuration framework: REST APIs of AXIS OS 11.8 and newer.

`GET /config/discover` names the APIs; `{"data": …}` goes in, `{"status": "success", "data"?}` or an error comes back, the
error with a matching HTTP status. Source: developer.axis.com, Device Configuration APIs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from farsite_edge.vapix.errors import ApiError, bad_answer
from farsite_edge.vapix.json_api import JSON
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.text import clean
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

ROOT = "/config/rest/"
MAX_APIS = 500
_PATH = re.compile(r"/config/rest/[a-z0-9-]{1,64}/v[0-9]{1,4}[a-z]{0,5}(/[A-Za-z0-9_-]{1,64}){0,6}")
_VERSION = re.compile(r"v([0-9]{1,4})")
_STATES = {"released": "", "beta": "beta", "alpha": "alpha"}


class DiscoverApis(ApiRequest[dict[str, str]]):
    """The root path of every API by its id: the newest released version, else the newest beta one; no alpha."""

    path = "/config/discover"
    method = "GET"
    limit = 1024 * 1024

    def parse(self, answer: Answer) -> dict[str, str]:
        apis = _object(answer).get("apis")
        if not isinstance(apis, dict):
            raise bad_answer("a list of REST APIs without entries")
        found = {
            clean(name, 64): _root(clean(name, 64), versions)
            for name, versions in list(apis.items())[:MAX_APIS]
        }
        return {name: root for name, root in found.items() if root is not None}


def _root(name: str, versions: object) -> str | None:
    if not isinstance(versions, dict):
        return None
    usable: list[tuple[bool, int, str]] = []
    for word, facts in list(versions.items())[:50]:
        match = _VERSION.fullmatch(word)
        state = clean(facts.get("state"), 16) if isinstance(facts, dict) else ""
        if match and state in ("released", "beta"):
            told = clean(facts.get("rest_api")).rstrip("/")
            path = told if _PATH.fullmatch(told) else f"{ROOT}{name}/{word}{_STATES[state]}"
            usable.append((state == "released", int(match[1]), path))
    root = max(usable)[2] if usable else None
    return root if root is not None and _PATH.fullmatch(root) else None


class _Config(ApiRequest[Any]):
    content_type = JSON
    accepts = frozenset({200, 201, 204, 400, 409, 500})
    limit = 1024 * 1024

    def __init__(self, path: str) -> None:
        if not _PATH.fullmatch(path):
            raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{clean(path)!r} is not a path of a REST API.")
        self.path = path  # type: ignore[misc]

    def parse(self, answer: Answer) -> Any:
        """The `data`, `None` when there is none. Raises `ApiError` with the API's own code."""
        if answer.status == 204 and not answer.body:
            return None
        value = _object(answer)
        if value.get("status") == "success":
            return value.get("data")
        error = value.get("error")
        if not isinstance(error, dict):
            raise bad_answer("neither success nor an error")
        code = error.get("code")
        raise ApiError(
            code if isinstance(code, int) else 0, clean(error.get("message")).rstrip(".") or "no message"
        )


class GetConfig(_Config):
    method = "GET"


class _WriteConfig(_Config):
    def __init__(self, path: str, data: Any) -> None:
        super().__init__(path)
        self.data = data

    def body(self) -> bytes:
        return json.dumps({"data": self.data}).encode()


class PatchConfig(_WriteConfig):
    """Change a property, or several of an entity."""

    method = "PATCH"


class CallConfig(_WriteConfig):
    """Call an action, or add to a collection."""

    method = "POST"


def at(data: Any, path: str) -> Any:
    """What is at `a.b.c` of an entity; `None` when there is nothing."""
    for name in path.split("."):
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def _object(answer: Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.text)
    except (ValueError, RecursionError):
        raise bad_answer("an answer that is not JSON") from None
    if not isinstance(value, dict):
        raise bad_answer("a JSON answer that is not an object")
    return value
