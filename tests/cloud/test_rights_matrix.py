"""Every route, tried by every role and by strangers: generated from the route table."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from farsite_cloud.api.authorize import check_table
from farsite_cloud.api.table import route_table
from farsite_signaling.rest import AUTHENTICATED, INTERACTIVE, PUBLIC, Api
from farsite_signaling.wire.rights import (
    EVERY_FOLDER,
    IN_CHOSEN_FOLDERS,
    NOT_FOR_SUPPORT,
    Right,
    Role,
    rights_of,
)

ROUTES = route_table().routes
GUARDED = [route for route in ROUTES if isinstance(route.need, Right)]
PUBLIC_ROUTES = {
    ("POST", "/auth/sign-in"),
    ("POST", "/auth/mail-code"),
    ("POST", "/auth/passkey/options"),
    ("POST", "/auth/passkey"),
    ("POST", "/auth/sign-up"),
    ("POST", "/auth/confirm"),
    ("POST", "/auth/forgot"),
    ("POST", "/auth/reset"),
    ("POST", "/auth/join"),
    ("POST", "/auth/device"),
    ("POST", "/auth/device/token"),
    ("POST", "/claims"),
    ("POST", "/edge/renewals"),
    ("POST", "/edge/device-certificates"),
    ("POST", "/edge/relay-check"),
}
# What an access token without any scope may still do: say whose it is, sign itself out.
ANY_TOKEN_ROUTES = {("POST", "/auth/sign-out"), ("GET", "/me"), ("GET", "/organizations")}
# What no token does, whatever its scopes.
SIGNED_IN_ONLY = {(method, "/organizations/{org}/deletion") for method in ("POST", "DELETE")}
IN_A_FOLDER = [route for route in GUARDED if "{edge}" in route.path or "{folder}" in route.path]


def _path(route, org: str) -> str:
    return re.sub(r"{\w+}", "unknown", route.path.replace("{org}", org))


def test_only_these_routes_are_public():
    assert {(route.method, route.path) for route in ROUTES if route.need is PUBLIC} == PUBLIC_ROUTES


def test_every_organization_route_declares_a_right():
    for route in ROUTES:
        if "{org}" in route.path:
            assert isinstance(route.need, Right), route.path


def test_a_right_without_an_organization_keeps_the_server_from_starting():
    api = Api()

    @api.route("GET", "/everything", need=Right.EDGE_READ)
    async def everything(request):
        """Everything."""

    with pytest.raises(TypeError, match="/everything"):
        check_table(api)


# Every way to be in an organization, and what its role is worth there.
WAYS = ("member", "support", "service account")
IN_SOME_WAY = [(way, role) for way in WAYS for role in Role if way == "member" or role is not Role.OWNER]


async def _somebody(world, way, role, folders=None):
    match way:
        case "support":
            return await world.supporter(role, folders)
        case "service account":
            return await world.service(role, folders)
    return await world.member(role, folders=folders)


def _worth(way, role):
    return rights_of(role) - NOT_FOR_SUPPORT if way == "support" else rights_of(role)


@pytest.mark.both_databases
@pytest.mark.parametrize(("way", "role"), IN_SOME_WAY)
async def test_each_role_gets_what_its_rights_say(world, way, role):
    person = await _somebody(world, way, role)
    for route in GUARDED:
        reply = await person(route.method, _path(route, person.org), {})
        if route.need in _worth(way, role):
            assert reply.status not in (401, 403), (route.method, route.path, reply.text)
        else:
            assert reply.status == 403, (route.method, route.path, reply.text)
            assert (reply.code, reply.body["right"]) == ("forbidden", route.need)


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("way", "role"), [("member", role) for role in Role] + [(way, Role.ADMIN) for way in WAYS[1:]]
)
async def test_another_organization_does_not_exist(world, way, role):
    person = await _somebody(world, way, role)
    other = await world.other_organization()
    made_up = []
    for route in GUARDED:
        foreign = await person(route.method, _path(route, other.org), {})
        assert (foreign.status, foreign.code) == (404, "not_found"), (route.method, route.path)
        missing = await person(route.method, _path(route, "nowhere"), {})
        made_up.append(missing.body | {"detail": missing.body["detail"].replace("nowhere", other.org)})
        assert made_up[-1] == foreign.body
    assert made_up


async def test_support_that_is_over_is_of_no_organization(world):
    person = await world.supporter(Role.ADMIN, minutes=5)
    await person.ok("GET", "~/edge-hosts")
    world.clock.advance(minutes=5)
    for route in GUARDED:
        reply = await person(route.method, _path(route, person.org), {})
        assert (reply.status, reply.code) == (404, "not_found"), (route.method, route.path)


async def test_a_disabled_service_account_may_do_nothing(world):
    program = await world.service(Role.ADMIN)
    path = f"~/service-accounts/{program.account_id}"
    await world.owner.ok("PATCH", path, {"disabled": True})
    for route in ROUTES:
        if route.need is not PUBLIC:
            reply = await program(route.method, _path(route, program.org), {})
            assert (reply.status, reply.code) == (401, "unauthenticated"), (route.method, route.path)
    await world.owner.ok("PATCH", path, {"disabled": False})
    await program.ok("GET", "~/edge-hosts")


async def test_service_accounts_never_act_as_people(world):
    program = await world.service(Role.ADMIN)
    for route in ROUTES:
        if route.need is INTERACTIVE:
            reply = await program(route.method, _path(route, ""), {})
            assert (reply.status, reply.code) == (403, "forbidden"), (route.method, route.path)


async def test_a_token_for_chosen_folders_is_for_nothing_about_the_whole(world):
    folder = await world.folder("Own")
    body = {
        "name": "script",
        "scopes": list(Right),
        "organization_id": world.owner.org,
        "folder_ids": [folder],
    }
    script = replace(world.owner, token=(await world.owner.ok("POST", "/me/tokens", body))["token"])
    for route in GUARDED:
        reply = await script(route.method, _path(route, script.org), {})
        if route.need in IN_CHOSEN_FOLDERS:
            assert reply.status not in (401, 403), (route.method, route.path, reply.text)
        else:
            assert (reply.status, reply.body["right"]) == (403, route.need), (route.method, route.path)


async def test_without_a_token_nothing_but_the_public_routes_answers(world):
    for route in ROUTES:
        if route.need is PUBLIC:
            continue
        reply = await world.stranger(route.method, _path(route, world.owner.org), {})
        assert (reply.status, reply.code) == (401, "unauthenticated"), (route.method, route.path)


@pytest.mark.both_databases
async def test_other_organizations_objects_are_not_found_under_the_own_path(world):
    other = await world.other_organization()
    edge_id, identity = await world.edge(other)
    client = await world.client(other)
    await world.connect(identity)
    ticket = await other.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    for method, path, body in [
        ("GET", f"~/edge-hosts/{edge_id}", None),
        ("PATCH", f"~/edge-hosts/{edge_id}", {"name": "mine"}),
        ("DELETE", f"~/edge-hosts/{edge_id}", None),
        ("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn}),
        ("DELETE", f"~/sessions/{ticket['session']}", None),
    ]:
        reply = await world.owner(method, path, body)
        assert (reply.status, reply.code) == (404, "not_found"), (method, path)
    assert (await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"] == []
    assert (await other.ok("GET", f"~/edge-hosts/{edge_id}"))["name"] == "Site"
    assert all(other.org not in row["target"] for row in await world.audit())


async def test_a_missing_right_is_audited(world):
    viewer = await world.member(Role.VIEWER)
    await viewer("POST", "~/setup-codes", {"name": "x"})
    [row] = await world.audit("authorization")
    assert (row["outcome"], row["actor"], row["details"]["right"]) == (
        "refused",
        "viewer-" + world.owner.org[-6:] + "@example.com",
        "edge.claim",
    )
    assert row["target"].startswith("POST ")


async def test_only_signed_in_routes_name_no_organization(world):
    for route in ROUTES:
        if route.need in (AUTHENTICATED, INTERACTIVE):
            assert "{org}" not in route.path


def test_only_these_routes_take_any_token():
    assert {(r.method, r.path) for r in ROUTES if r.need is AUTHENTICATED} == ANY_TOKEN_ROUTES


@pytest.mark.both_databases
@pytest.mark.parametrize("where", ["own folder", "below own folder", "other folder", "other organization"])
@pytest.mark.parametrize(
    ("way", "role"),
    [("member", role) for role in Role]
    + [("support", Role.OPERATOR), ("service account", Role.OPERATOR), ("token", Role.ADMIN)],
)
async def test_each_role_reaches_its_folders_only(world, way, role, where):
    """Every route about one edge host or folder, on real ones inside and outside one's folders."""
    other = await world.other_organization()
    home = other if where == "other organization" else world.owner
    own = await world.folder("Own")
    below = await world.folder("Below", parent=own)
    place = {"own folder": own, "below own folder": below}.get(where) or await world.folder("Far", home)
    everywhere = role in EVERY_FOLDER and way != "token"
    person = await _somebody(world, way, role, None if role in EVERY_FOLDER else [own])
    rights = _worth(way, role)
    if way == "token":
        body = {"name": "x", "scopes": list(Right), "organization_id": person.org, "folder_ids": [own]}
        person.token, rights = (await person.ok("POST", "/me/tokens", body))["token"], IN_CHOSEN_FOLDERS
    inside = home is world.owner and (everywhere or place in (own, below))
    for route in sorted(IN_A_FOLDER, key=lambda route: route.method == "DELETE"):
        edge_id, _ = await world.edge(home, folder=place)
        names = {"org": person.org, "edge": edge_id, "folder": place}
        reply = await person(route.method, route.path.format(**names), {})
        if route.need not in rights:
            assert (reply.status, reply.code) == (403, "forbidden"), (route.method, route.path)
        elif inside:
            assert reply.status not in (401, 403, 404), (route.method, route.path, reply.text)
        elif reply.status != 400:  # The body is understood before anything is looked up.
            assert (reply.status, reply.code) == (404, "not_found"), (route.method, route.path, reply.text)
    listed = {edge["folder_id"] for edge in (await person.ok("GET", "~/edge-hosts"))["edge_hosts"]}
    assert (place in listed) == inside
    folders = {folder["id"] for folder in (await person.ok("GET", "~/folders"))["folders"]}
    assert (place in folders) == inside


async def test_access_tokens_do_what_their_scopes_say(world):
    for need in sorted({route.need for route in GUARDED}):
        others = [right for right in Right if right is not need]
        for scopes, allowed in (([need], True), (others, False)):
            body = {"name": "script", "scopes": scopes}
            made = await world.owner.ok("POST", "/me/tokens", body)
            script = replace(world.owner, token=made["token"])
            for route in (route for route in GUARDED if route.need is need):
                reply = await script(route.method, _path(route, script.org), {})
                if allowed and (route.method, route.path) in SIGNED_IN_ONLY:
                    assert reply.code in ("forbidden", "invalid_request"), reply.text
                elif allowed:
                    assert reply.status not in (401, 403), (route.method, route.path, reply.text)
                else:
                    assert (reply.status, reply.body.get("right")) == (403, need), (route.method, route.path)
            await world.owner.ok("DELETE", f"/me/tokens/{made['id']}")


async def test_access_tokens_never_manage_the_account(world):
    body = {"name": "script", "scopes": list(Right)}
    script = replace(world.owner, token=(await world.owner.ok("POST", "/me/tokens", body))["token"])
    for route in ROUTES:
        if route.need is INTERACTIVE:
            reply = await script(route.method, _path(route, ""), {})
            assert (reply.status, reply.code) == (403, "forbidden"), (route.method, route.path)
        elif route.need is AUTHENTICATED and route.method == "GET":
            await script.ok(route.method, route.path)
