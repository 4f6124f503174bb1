"""What bad input gets, on every route of the table: a problem with a stable code and a sentence, and nothing lost."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from farsite_cloud.api.table import route_table
from farsite_signaling.identity import generate_key, make_request
from farsite_signaling.rest import PUBLIC
from farsite_signaling.wire.errors import ErrorCode

pytestmark = pytest.mark.both_databases
ROUTES = route_table().routes
TAKING = [route for route in ROUTES if route.request is not None]
ASKING = [route for route in ROUTES if route.query is not None]
NAMING = [route for route in ROUTES if re.search(r"{(?!org})", route.path)]
FORMULA = '=HYPERLINK("https://evil.example","x")'
SCRIPT = "<script>alert('x')</script>"
WELCOME = [SCRIPT, FORMULA, "مستودع", "👩‍🔧 倉庫", "'; DROP TABLE folders; --", "${7*7}{{7*7}}%s", "x" * 100]
REFUSED = ["a\0b", "a\u202egpj.exe", "a\nb", "\x1b[31m", "", "   ", "x" * 101, 7, None, ["x"], {"x": 1}]
MALFORMED = {
    "no JSON": b"{",
    "another type": b"[]",
    "another text": b'"text"',
    "null": b"null",
    "not UTF-8": b"\xff\xfe{}",
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "null characters": b'{"a\\u0000b": "\\u0000"}',
    "unknown field": b'{"no_such_field": 1}',
    "nested without end": b"[" * 100_000,
    "a number without end": b'{"name": 1e99999}',
}


def _path(route: Any, org: str, name: str = "unknown") -> str:
    return re.sub(r"{\w+}", name, route.path.replace("{org}", org))


def _is_told(reply: Any, *codes: str) -> None:
    assert 400 <= reply.status < 500, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.code in (codes or set(ErrorCode)), reply.text
    assert reply.body["status"] == reply.status
    assert re.search(r"\w+ \w+.*[.!?]", reply.body["detail"], re.DOTALL), reply.text


@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_malformed_body_is_told_by_every_route(world, kind):
    for route in TAKING:
        person = world.stranger if route.need is PUBLIC else world.owner
        reply = await person(route.method, _path(route, world.owner.org), MALFORMED[kind])
        _is_told(reply, "invalid_request")
        assert reply.body["errors"], reply.text


async def test_unknown_settings_of_lists_are_told_by_every_route(world):
    for route in ASKING:
        for query in (
            "no_such_setting=1",
            "limit=x",
            "limit=1%00",
            "cursor=a%00",
            "cursor=%E2%80%AE",
            "cursor=AAAA",
        ):
            path = f"{_path(route, world.owner.org)}?{query}"
            _is_told(await world.owner(route.method, path), "invalid_request", "not_found")


@pytest.mark.parametrize("name", ["a%00b", "%ff", "%E2%80%AE", "..%2F..%2Fetc", "x" * 3000, "'%20OR%201=1"])
async def test_evil_names_in_paths_are_of_nothing(world, name):
    for route in NAMING:
        reply = await world.owner(route.method, _path(route, world.owner.org, name), {})
        _is_told(reply)


async def test_evil_texts_are_kept_as_they_are_or_refused(world):
    folder = await world.folder("Harbour")
    path = f"~/folders/{folder}"
    for text in WELCOME:
        changed = await world.owner.ok("PATCH", path, {"name": text})
        assert changed["name"] == (await world.owner.ok("GET", path))["name"] == text
    for text in REFUSED:
        if text is not None:
            _is_told(await world.owner("PATCH", path, {"name": text}), "invalid_request")
    assert (await world.owner.ok("GET", path))["name"] == WELCOME[-1]
    names = {row["name"] for row in (await world.owner.ok("GET", "~/folders"))["folders"]}
    assert len(names) == 2


async def test_what_is_in_use_is_not_deleted(world):
    folder = await world.folder("Harbour")
    below = await world.folder("Pier", parent=folder)
    edge_id, _ = await world.edge(folder=below)
    default = (await world.owner.ok("GET", "~"))["default_folder_id"]
    for one in (folder, below, default):
        _is_told(await world.owner("DELETE", f"~/folders/{one}"), "conflict")
    account = (await world.owner.ok("GET", "~/users"))["users"][0]["account_id"]
    _is_told(await world.owner("DELETE", f"~/users/{account}"), "conflict")
    assert (await world.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["folder_id"] == below
    assert len((await world.owner.ok("GET", "~/folders"))["folders"]) == 3


async def test_codes_and_tokens_are_good_once_and_for_a_while(world):
    used, late = await world.setup_code(), await world.setup_code()
    claim = {"code": used, "csr": make_request(generate_key(), "edge")}
    await world.stranger.ok("POST", "/claims", claim)
    _is_told(await world.stranger("POST", "/claims", claim), "setup_code_used")
    made = await world.owner.ok("POST", "/me/tokens", {"name": "script", "scopes": ["edge.read"]})
    script = replace(world.owner, token=made["token"])
    await world.owner.ok("DELETE", f"/me/tokens/{made['id']}")
    _is_told(await script("GET", "~/edge-hosts"), "unauthenticated")
    world.clock.advance(minutes=16)
    _is_told(await world.stranger("POST", "/claims", claim | {"code": late}), "setup_code_expired")
    assert len((await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"]) == 1
    world.clock.advance(days=400)
    _is_told(await world.owner("GET", "~/edge-hosts"), "token_expired")


async def test_an_edit_that_comes_too_late_is_told_what_changed(world):
    folder = f"~/folders/{await world.folder('Harbour')}"
    edge = f"~/edge-hosts/{(await world.edge())[0]}"
    for path, mine in (
        (folder, {"name": "Quay"}),
        (edge, {"name": "Quay", "description": "mine"}),
        ("~", {"name": "Quay"}),
    ):
        read = await world.owner("GET", path)
        await world.owner.ok("PATCH", path, {"name": "Pier"})
        late = await world.owner("PATCH", path, mine, headers={"If-Match": read.headers["ETag"]})
        _is_told(late, "precondition_failed")
        assert {error["field"]: error["current"] for error in late.body["errors"]}["name"] == "Pier"
        assert 'name is now "Pier"' in late.body["detail"]
        assert (await world.owner.ok("GET", path))["name"] == "Pier"


async def test_who_may_not_read_it_is_not_told_what_it_is_now(world):
    edge = f"~/edge-hosts/{(await world.edge())[0]}"
    made = await world.owner.ok("POST", "/me/tokens", {"name": "script", "scopes": ["edge.manage"]})
    script = replace(world.owner, token=made["token"])
    late = await script("PATCH", edge, {"name": "x"}, headers={"If-Match": '"999"'})
    _is_told(late, "precondition_failed")
    assert not late.body["errors"] and "Site" not in late.text


async def test_what_a_field_lacks_is_said_in_words(world):
    for path, body, expected in [
        ("/auth/sign-up", {"email": "ann"}, "It is no e-mail address such as ann@example.com (email)."),
        ("~/folders", {"name": "x" * 101}, "It needs at most 100 characters, and has 101 (name)."),
        (
            "~/folders",
            {"name": "a\u0000b"},
            "control characters are not allowed here (name).",
        ),
    ]:
        reply = await world.owner("POST", path, body)
        assert reply.body["detail"] == f"The request is not understood: {expected}"
        assert reply.body["errors"][0]["message"] in expected


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00%2B14:00"])
async def test_the_first_and_the_last_moment_there_are(world, moment):
    for path in ("~/audit", "~/audit/export"):
        for end in ("since", "until"):
            reply = await world.owner("GET", f"{path}?{end}={moment}")
            assert reply.status == 200, reply.text


async def test_nobody_plans_for_the_end_of_time(world):
    await world.edge()
    for moment, status in [("9999-12-31T23:59:59-12:00", 400), ("0001-01-01T00:00:00+14:00", 201)]:
        reply = await world.owner("POST", "~/campaigns", {"kind": "os.upgrade", "starts_at": moment})
        assert reply.status == status, reply.text
