"""Edits of the same thing at the same time: nobody's is undone unseen, whatever is edited or removed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from farsite_client.cloud import CloudClient
from farsite_cloud.api.system import description
from farsite_cloud.api.table import route_table
from farsite_signaling.wire.cloud_api import EdgeHostChange, FolderChange
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.inventory_api import ViewChange
from farsite_signaling.wire.notices_api import WebhookChange
from farsite_signaling.wire.people_api import MemberChange
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases

NEVER_EDITED = "nothing of it can be edited: whoever ends it ends what they saw"
DELTA = "it says what to add and what to take away: whoever comes later undoes nothing else"
OWN = "gives up what is one's own, whatever it is by then"
_ORG = "/organizations/{org}"
EXCEPTIONS = {
    ("PATCH", f"{_ORG}/devices/{{device}}/tags"): DELTA,
    ("PATCH", f"{_ORG}/edge-hosts/{{edge}}/tags"): DELTA,
    ("DELETE", "/me/sessions/{token}"): NEVER_EDITED,
    ("DELETE", "/me/sessions"): NEVER_EDITED,
    ("DELETE", "/me/tokens/{token}"): NEVER_EDITED,
    ("DELETE", f"{_ORG}/service-accounts/{{account}}/tokens/{{token}}"): NEVER_EDITED,
    ("DELETE", f"{_ORG}/sessions/{{session}}"): NEVER_EDITED,
    ("DELETE", f"{_ORG}/exports/{{export}}"): NEVER_EDITED,
    ("DELETE", f"{_ORG}/campaigns/{{campaign}}"): NEVER_EDITED,
    ("DELETE", f"{_ORG}/identity-provider/domains/{{domain}}"): NEVER_EDITED,
    ("DELETE", f"{_ORG}/identity-provider/identities/{{account}}"): NEVER_EDITED,
    ("DELETE", "/me/organizations/{organization}"): OWN,
    ("DELETE", "/me/support/{organization}"): OWN,
}


def test_every_edit_says_what_it_was_made_of():
    table = route_table()
    edits = {
        (route.method, route.path): route
        for route in table.routes
        if route.method in ("PATCH", "PUT", "DELETE")
    }
    without = {key for key, route in edits.items() if "If-Match" not in route.headers}
    assert without == set(EXCEPTIONS) & set(edits)
    for key, route in edits.items():
        if key not in EXCEPTIONS:
            assert table.reader_of(route) is not None, f"{key}: what was changed cannot be told"


def test_the_description_tells_of_it():
    paths = description(route_table())["paths"]
    for path, operations in paths.items():
        for method in ("patch", "put", "delete"):
            operation = operations.get(method)
            if operation is None or not any(one["name"] == "If-Match" for one in operation["parameters"]):
                continue
            assert "412" in operation["responses"], (method, path)
            answers = [operations[one] for one in ("get", method) if one in operations]
            for answer in answers:
                good = next(value for status, value in answer["responses"].items() if status < "300")
                assert "content" not in good or "ETag" in good["headers"], (method, path)


async def _things(world) -> dict[str, tuple[str, dict]]:
    """A path and an edit of one of each."""
    owner = world.owner
    viewer = await world.member(Role.VIEWER)
    service = await owner.ok(
        "POST", "~/service-accounts", {"name": "s", "role": "viewer", "all_folders": True}
    )
    until = (world.clock() + timedelta(hours=2)).isoformat()
    support = await owner.ok(
        "POST",
        "~/support-access",
        {"email": "h@example.com", "role": "viewer", "all_folders": True, "until": until},
    )
    view = await owner.ok("POST", "~/views", {"name": "v", "query": {}})
    edge, _ = await world.edge()
    invited = await owner.ok(
        "POST", "~/invitations", {"emails": ["i@example.com"], "role": "viewer", "all_folders": True}
    )
    return {
        "folder": (f"~/folders/{await world.folder('A')}", {"name": "B"}),
        "user": (f"~/users/{viewer.account_id}", {"role": "admin"}),
        "service account": (f"~/service-accounts/{service['id']}", {"description": "d"}),
        "support access": (f"~/support-access/{support['id']}", {"until": until}),
        "view": (f"~/views/{view['id']}", {"name": "w"}),
        "edge host": (f"~/edge-hosts/{edge}", {"name": "E"}),
        "invitation": (f"~/invitations/{invited['invitations'][0]['id']}", {}),
    }


async def test_what_was_edited_meanwhile_is_neither_edited_nor_removed(world):
    for what, (path, body) in (await _things(world)).items():
        remove = f"{path}?risk_confirmed=true"
        tag = {"If-Match": (await world.owner("GET", path)).headers["ETag"]}
        if what == "invitation":
            world.clock.advance(seconds=2)
            edited = await world.owner("POST", f"{path}/resend", headers=tag)
        else:
            edited = await world.owner("PATCH", path, body, headers=tag)
        assert edited.status == 200, (what, edited.text)
        new = edited.headers["ETag"]
        assert new == (await world.owner("GET", path)).headers["ETag"] != tag["If-Match"], what
        if what != "invitation":
            late = await world.owner("PATCH", path, body, headers=tag)
            assert (late.status, late.code) == (412, "precondition_failed"), what
        late = await world.owner("DELETE", remove, headers=tag)
        assert (late.status, late.code) == (412, "precondition_failed"), what
        told = {error["field"]: error["current"] for error in late.body["errors"]}
        now = await world.owner.ok("GET", path)
        assert told.items() <= now.items(), (what, told)
        assert set(told) == set(now), what
        gone = await world.owner("DELETE", remove, headers={"If-Match": new})
        assert gone.status == 204, (what, gone.text)


async def test_one_of_many_that_edit_what_they_read_at_the_same_time_does(world):
    """On PostgreSQL all of them read the row before the first one changed it."""
    for what, (path, body) in (await _things(world)).items():
        if what == "invitation":
            continue
        tag = {"If-Match": (await world.owner("GET", path)).headers["ETag"]}
        replies = await asyncio.gather(*(world.owner("PATCH", path, body, headers=tag) for _ in range(8)))
        statuses = sorted(reply.status for reply in replies)
        assert statuses == [200] + 7 * [412], (what, statuses)


async def test_sent_again_and_revoked_at_the_same_time(world):
    things = await _things(world)
    path, _ = things["invitation"]
    replies = await asyncio.gather(
        *(world.owner("POST", f"{path}/resend") for _ in range(4)), world.owner("DELETE", path)
    )
    assert {reply.status for reply in replies} <= {200, 204, 404, 400}, [reply.text for reply in replies]


async def test_a_name_of_ones_own_and_how_one_is_told(world):
    me = await world.owner("GET", "/me")
    tag = {"If-Match": me.headers["ETag"]}
    assert (await world.owner("PATCH", "/me", {"name": "One"}, headers=tag)).status == 200
    late = await world.owner("PATCH", "/me", {"name": "Two"}, headers=tag)
    assert (late.status, late.code) == (412, "precondition_failed")
    choices = await world.owner("GET", "~/notice-choices")
    tag = {"If-Match": choices.headers["ETag"]}
    [first, *_] = choices.body["choices"]
    body = {"choices": [first | {"channels": []}]}
    assert (await world.owner("PUT", "~/notice-choices", body, headers=tag)).status == 200
    late = await world.owner("PUT", "~/notice-choices", body, headers=tag)
    assert late.status == 412 and late.body["errors"][0]["field"] == "choices"


async def test_what_goes_to_one_edge_host_first(world):
    edge, _ = await world.edge()
    path = f"~/licences/allocations/{edge}"
    tag = {"If-Match": (await world.owner("GET", path)).headers["ETag"]}
    body = {"device": 2, "universal": 0}
    assert (await world.owner("PUT", path, body, headers=tag)).status == 200
    assert (await world.owner("PUT", path, body, headers=tag)).status == 412


async def test_restoring_what_is_deleted(world):
    tag = {"If-Match": (await world.owner("GET", "~")).headers["ETag"]}
    body = {"name": "My organization"}
    deleted = await world.owner("POST", "~/deletion", body, headers=tag)
    assert deleted.status == 200 and deleted.headers["ETag"] != tag["If-Match"]
    late = await world.owner("DELETE", "~/deletion", headers=tag)
    assert late.status == 412 and {"field", "message", "current"} <= set(late.body["errors"][0])
    assert (
        await world.owner("DELETE", "~/deletion", headers={"If-Match": deleted.headers["ETag"]})
    ).status == 200


async def test_the_client_says_what_it_read(world):
    viewer = await world.member(Role.VIEWER)
    org, who = world.owner.org, viewer.account_id
    url, token = world.running.url, world.owner.token
    async with CloudClient(url, token) as one, CloudClient(url, token) as other:
        assert (await one.user(org, who)).role == "viewer"
        await other.change_user(org, who, MemberChange(role=Role.ADMIN))
        with pytest.raises(FarsiteError, match='now "admin"') as refused:
            await one.remove_user(org, who)
        assert refused.value.code == "precondition_failed"
        assert (await one.user(org, who)).role == "admin"
        await one.remove_user(org, who)
        # What was never read is edited as it is; so is what was forgotten.
        with pytest.raises(FarsiteError) as gone:
            await other.remove_user(org, who)
        assert gone.value.code == "not_found"


@pytest.mark.parametrize("what", ["folder", "view", "webhook", "invitation", "edge host"])
async def test_what_the_client_found_in_a_list_is_what_it_edits(world, what):
    org = world.owner.org
    await world.edge()
    await world.folder("A")
    await world.owner.ok("POST", "~/views", {"name": "v", "query": {}})
    await world.owner.ok("POST", "~/webhooks", {"name": "w", "url": "https://hooks.example.com/"})
    await world.owner.ok("POST", "~/invitations", {"emails": ["i@example.com"], "role": "admin"})
    read, edit, remove = {
        "folder": (
            lambda one: one.folders(org),
            lambda one, id: one.change_folder(org, id, FolderChange(name="B")),
            lambda one, id: one.remove_folder(org, id),
        ),
        "view": (
            lambda one: one.views(org),
            lambda one, id: one.change_view(org, id, ViewChange(name="x")),
            lambda one, id: one.remove_view(org, id),
        ),
        "webhook": (
            lambda one: one.webhooks(org),
            lambda one, id: one.new_webhook_secret(org, id),
            lambda one, id: one.change_webhook(org, id, WebhookChange(enabled=False)),
        ),
        "invitation": (
            lambda one: _all(one.invitations(org)),
            lambda one, id: one.resend_invitation(org, id),
            lambda one, id: one.revoke_invitation(org, id),
        ),
        "edge host": (
            lambda one: _all(one.edge_hosts(org)),
            lambda one, id: one.change_edge_host(org, id, EdgeHostChange(name="E")),
            lambda one, id: one.remove_edge_host(org, id, risk_confirmed=True),
        ),
    }[what]
    url, token = world.running.url, world.owner.token
    async with CloudClient(url, token) as one, CloudClient(url, token) as other:
        thing = (await read(one))[-1]
        path = {"edge host": "edge-hosts"}.get(what, f"{what}s")
        assert thing.etag == (await world.owner("GET", f"~/{path}/{thing.id}")).headers["ETag"]
        await read(other)
        world.clock.advance(seconds=2)
        await edit(other, thing.id)
        with pytest.raises(FarsiteError) as refused:
            await remove(one, thing.id)
        assert refused.value.code == "precondition_failed"
        # Whoever changed it themselves goes on.
        await remove(other, thing.id)
        if what == "webhook":
            await remove(one, (await read(one))[-1].id)


async def _all(rows):
    return [row async for row in rows]
