from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import BaseModel, ConfigDict, Field

from farsite_signaling.rest import PUBLIC, Answer, Api, openapi, problem_middleware, read_query
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    size: int = 0


class Filter(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = Field(default=5, ge=1, le=9)


def _api() -> Api:
    api = Api()

    @api.route("POST", "/things", need=PUBLIC, request=Thing, response=Thing, status=201)
    async def make(request: web.Request, body: Thing) -> Answer:
        """Make a thing."""
        return Answer(body, {"ETag": '"1"'})

    @api.route(
        "GET", "/things/{thing}", need=Right.EDGE_READ, response=Thing, query=Filter, headers=("If-Match",)
    )
    async def get(request: web.Request) -> Thing:
        """Get a thing."""
        return Thing(name=request.match_info["thing"], size=read_query(request, Filter).limit)

    @api.route("DELETE", "/things/{thing}", need=PUBLIC, errors=(ErrorCode.SETUP_CODE_EXPIRED,))
    async def remove(request: web.Request) -> None:
        """Remove a thing."""
        if request.match_info["thing"] == "broken":
            raise ValueError("canary: internals")
        raise FarsiteError(ErrorCode.RATE_LIMITED, "Slower.", retry_after=2.4)

    return api


async def _authorize(request: web.Request, need: Any) -> None:
    if need is not PUBLIC and "Authorization" not in request.headers:
        raise FarsiteError(ErrorCode.UNAUTHENTICATED, "Sign in.")


@pytest.fixture
async def ask() -> AsyncIterator[Any]:
    app = web.Application(middlewares=[problem_middleware])
    _api().mount(app, _authorize)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:

        async def request(method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
            async with http.request(method, server.make_url(path), **more) as response:
                return response.status, response.headers, await response.json(content_type=None)

        yield request


async def test_models_go_in_and_come_out(ask):
    status, headers, body = await ask("POST", "/api/v1/things", json={"name": "x"})
    assert (status, headers["ETag"], body) == (201, '"1"', {"name": "x", "size": 0})


async def test_what_is_wrong_is_named(ask):
    status, headers, body = await ask("POST", "/api/v1/things", json={"name": "", "colour": "red"})
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    assert {error["field"] for error in body["errors"]} == {"name", "colour"}


async def test_queries_are_checked(ask):
    signed = {"Authorization": "x"}
    assert (await ask("GET", "/api/v1/things/a?limit=9", headers=signed))[2]["size"] == 9
    for query in ("limit=10", "limit=x", "other=1"):
        assert (await ask("GET", f"/api/v1/things/a?{query}", headers=signed))[0] == 400


@pytest.mark.parametrize("name", ["a\0b", "\0"])
async def test_null_characters_are_refused_wherever_they_are(ask, name):
    signed = {"Authorization": "x"}
    for method, path, more in [
        ("POST", "/api/v1/things", {"json": {"name": name}}),
        ("GET", f"/api/v1/things/{name.replace(chr(0), '%00')}", {"headers": signed}),
        ("GET", "/api/v1/things/a?limit=1%00", {"headers": signed}),
    ]:
        status, _, body = await ask(method, path, **more)
        assert (status, body["code"]) == (400, "invalid_request")
        assert "null characters" in body["detail"]
    written = rb'{"name": "C:\\u0000"}'
    assert (await ask("POST", "/api/v1/things", data=written))[0] == 201


async def test_nothing_runs_before_it_is_authorized(ask):
    status, _, body = await ask("GET", "/api/v1/things/a?limit=99")
    assert (status, body["code"]) == (401, "unauthenticated")


async def test_errors_are_problems(ask, caplog):
    status, headers, body = await ask("DELETE", "/api/v1/things/x")
    assert (status, headers["Retry-After"], body["code"]) == (429, "2", "rate_limited")
    status, _, body = await ask("DELETE", "/api/v1/things/broken")
    assert (status, body["code"]) == (500, "internal")
    assert "canary" not in str(body)
    assert "canary" in caplog.text
    assert (await ask("GET", "/api/v1/nothing"))[2]["code"] == "not_found"
    status, headers, _ = await ask("PUT", "/api/v1/things")
    assert (status, headers["Allow"]) == (405, "POST")


def test_a_route_without_a_declared_right_cannot_be_written():
    api = Api()
    with pytest.raises(TypeError):

        @api.route("GET", "/open")  # type: ignore[call-arg]
        async def handler(request: web.Request) -> None: ...

    with pytest.raises(TypeError, match="does not declare"):

        @api.route("GET", "/open", need=None)  # type: ignore[arg-type]
        async def other(request: web.Request) -> None: ...

    assert api.routes == []


def test_the_description_comes_from_the_table():
    document = openapi(_api(), title="T", version="1")
    get = document["paths"]["/api/v1/things/{thing}"]["get"]
    assert get["x-farsite-right"] == "edge.read"
    assert get["security"] == [{"bearer": []}]
    assert [(parameter["name"], parameter["in"]) for parameter in get["parameters"]] == [
        ("thing", "path"),
        ("limit", "query"),
        ("If-Match", "header"),
    ]
    post = document["paths"]["/api/v1/things"]["post"]
    assert "security" not in post
    assert set(post["responses"]) == {"201", "default", *map(str, (400, 409, 413, 429, 500, 503, 504, 507))}
    assert post["responses"]["413"]["description"] == "Request Entity Too Large: too_large"
    assert {"401", "403", "404", "412"} <= set(get["responses"])
    remove = document["paths"]["/api/v1/things/{thing}"]["delete"]
    assert remove["responses"]["410"]["description"] == "Gone: setup_code_expired"
    asked = post["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert document["components"]["schemas"][asked]["required"] == ["name"]
    assert "204" in document["paths"]["/api/v1/things/{thing}"]["delete"]["responses"]


def test_tables_of_features_become_one():
    api = Api()
    api.include(_api())
    assert len(api.routes) == 3
