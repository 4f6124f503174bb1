"""PostgreSQL and Redis gone, frozen and back, with real servers: fast refusals, nothing half done, no restart."""

from __future__ import annotations

import asyncio
import sqlite3
import time

import pytest
from redis.asyncio import Redis
from sqlalchemy import event

from farsite_cloud import cloud as cloud_module
from farsite_cloud.cluster.neighbours import RedisNeighbours
from farsite_cloud.database import sqlite
from farsite_cloud.testing_servers import fresh_database, postgres_server, redis_server
from farsite_signaling.identity import generate_key, make_request
from farsite_signaling.wire.hub import Ping, Pong, SessionAnnounced, SessionEnded, parse_hub_message
from tests.cloud.cluster_rig import QUICK, two_clouds, until
from tests.conftest import template_of

FAST = 3.0 + 2.0
"""Three seconds is what is promised; a busy machine may add to them."""


@pytest.fixture(scope="module")
def own_postgres():
    """Not the one that other tests use meanwhile."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def made():
    return set()


@pytest.fixture
async def own_database(own_postgres, made):
    async with fresh_database(own_postgres, await template_of(own_postgres, made)) as url:
        yield {"database": url, "database_timeout": 0.8}
        if own_postgres.running:
            own_postgres.go_on()
        else:
            own_postgres.start()


@pytest.fixture
def own_redis():
    with redis_server() as server:
        yield server


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(cloud_module, "RedisNeighbours", lambda redis: RedisNeighbours(redis, QUICK))


def _claim(code: str) -> dict[str, str]:
    return {"code": code, "csr": make_request(generate_key(), "edge")}


async def _refused(person, method: str, path: str, body=None):
    started = time.monotonic()
    reply = await person(method, path, body)
    assert time.monotonic() - started < FAST
    assert (reply.status, reply.code) == (503, "unavailable"), reply.text
    assert int(reply.headers["Retry-After"]) >= 1
    assert reply.headers["Content-Type"] == "application/problem+json"
    return reply


async def _again(person, method: str, path: str, body=None):
    """Until the service is back."""
    async with asyncio.timeout(15):
        while (reply := await person(method, path, body)).status == 503:
            await asyncio.sleep(0.05)
    assert reply.status < 300, reply.text
    return reply.body


async def _ready(world) -> tuple[int, dict[str, str]]:
    started = time.monotonic()
    async with world.http.get(f"{world.running.url}/readyz") as reply:
        parts = (await reply.json())["parts"]
    assert time.monotonic() - started < FAST
    async with world.http.get(f"{world.running.url}/healthz") as health:
        assert health.status == 200
    return reply.status, parts


async def _alive(peer) -> None:
    await peer.send(Ping(token=7))
    async with asyncio.timeout(10):
        while not (isinstance(message := await _raw(peer), Pong) and message.token == 7):
            pass


async def _raw(peer):
    message = parse_hub_message((await peer.socket.receive(timeout=10)).data)
    if isinstance(message, Ping):
        await peer.send(Pong(token=message.token))
    return message


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_postgres_away_and_back(world_in, own_database, own_postgres, how):
    world = await world_in(None, **own_database)
    _, identity = await world.edge()
    peer = await world.connect(identity)
    code = await world.setup_code()
    (own_postgres.stop if how == "stopped" else own_postgres.halt)()
    invitation = {"emails": ["a@example.com"], "role": "viewer", "all_folders": True}
    for method, path, body, person in [
        ("GET", "~/edge-hosts", None, world.owner),
        ("POST", "/claims", _claim(code), world.stranger),
        ("POST", "~/invitations", invitation, world.owner),
        ("POST", "/auth/sign-in", {"email": "owner@example.com", "password": "x" * 12}, world.stranger),
    ]:
        await _refused(person, method, path, body)
    # However many ask at once, all are told soon.
    await asyncio.gather(*(_refused(world.owner, "GET", "/me") for _ in range(40)))
    status, parts = await _ready(world)
    assert status == 503 and "does not answer" in parts["database"]
    await _alive(peer)
    (own_postgres.start if how == "stopped" else own_postgres.go_on)()
    assert len((await _again(world.owner, "GET", "~/edge-hosts"))["edge_hosts"]) == 1
    assert (await world.owner.ok("GET", "~/invitations"))["invitations"] == []
    await world.stranger.ok("POST", "/claims", _claim(code))
    assert (await _ready(world))[0] == 200
    await _alive(peer)


async def test_a_claim_cut_off_at_its_commit_is_whole_or_not_at_all(world_in, own_database, own_postgres):
    world = await world_in(None, **own_database)
    code = await world.setup_code()
    engine = world.services.database.engine.sync_engine

    def crash(connection):
        own_postgres.stop()

    event.listen(engine, "commit", crash)
    await _refused(world.stranger, "POST", "/claims", _claim(code))
    event.remove(engine, "commit", crash)
    own_postgres.start()
    made = len((await _again(world.owner, "GET", "~/edge-hosts"))["edge_hosts"])
    again = await world.stranger("POST", "/claims", _claim(code))
    assert (made, again.status) in [(0, 201), (1, 409)]
    assert len((await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"]) == 1


async def test_one_connection_serves_everybody_in_turn(world_in, own_database):
    world = await world_in(None, **own_database | {"database_pool": 1, "database_timeout": 10})
    code = await world.setup_code()
    replies = await asyncio.gather(
        *(world.stranger("POST", "/claims", _claim(code)) for _ in range(10)),
        *(world.owner("GET", "~/edge-hosts") for _ in range(10)),
    )
    assert sorted(reply.status for reply in replies) == [200] * 10 + [201] + [409] * 9


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_redis_away_and_back(world_in, own_redis, quick, how):
    world = await world_in(None, redis=own_redis.url)
    edge_id, identity = await world.edge()
    edge, client = await world.connect(identity), await world.client()
    away_id, _ = await world.edge(name="Away")
    (own_redis.stop if how == "stopped" else own_redis.halt)()
    await until(lambda: world.services.peers.partial)
    code = await world.setup_code()
    sign_in = {"email": "owner@example.com", "password": "x" * 12}
    for method, path, body, person in [
        ("POST", "/auth/sign-in", sign_in, world.stranger),
        ("POST", "/claims", _claim(code), world.stranger),
        ("POST", f"~/edge-hosts/{away_id}/sessions", {"client": client.urn}, world.owner),
    ]:
        await _refused(person, method, path, body)
    await _alive(edge)
    assert (await world.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["online"] is True
    path = f"~/edge-hosts/{edge_id}/sessions"
    ticket = await world.owner.ok("POST", path, {"client": client.urn})
    assert (await edge.expect(SessionAnnounced)).session == ticket["session"]
    status, parts = await _ready(world)
    assert status == 503 and parts["database"] == "ok" and "Redis" in parts["redis"]
    (own_redis.start if how == "stopped" else own_redis.go_on)()
    await until(lambda: not world.services.peers.partial)
    await _again(world.stranger, "POST", "/claims", _claim(code))
    refused = await world.owner("POST", f"~/edge-hosts/{away_id}/sessions", {"client": client.urn})
    assert refused.code == "edge_offline"
    assert (await _ready(world))[0] == 200


async def test_redis_that_is_slow_holds_nobody_up(world_in, own_redis, quick):
    """`CLIENT PAUSE`: it takes connections and commands, and does them five seconds later."""
    world = await world_in(None, redis=own_redis.url)
    edge_id, identity = await world.edge()
    edge, client = await world.connect(identity), await world.client()
    path, opening = f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn}
    first = await world.owner.ok("POST", path, opening)
    await edge.expect(SessionAnnounced)
    code = await world.setup_code()
    sign_in = {"email": "owner@example.com", "password": "x" * 12}
    async with Redis.from_url(own_redis.url) as operator:
        await operator.client_pause(5000)
    paused_until = time.monotonic() + 5
    refusals = await asyncio.gather(
        *(_refused(world.stranger, "POST", "/auth/sign-in", sign_in) for _ in range(5)),
        _refused(world.stranger, "POST", "/claims", _claim(code)),
        _refused(world.stranger, "POST", "/auth/forgot", {"email": "owner@example.com"}),
    )
    assert all(int(reply.headers["Retry-After"]) <= 3 for reply in refusals)
    # Live sessions go on, and new ones with edge hosts that are connected here are opened.
    await _alive(edge)
    ticket = await world.owner.ok("POST", path, opening)
    assert (await edge.expect(SessionAnnounced)).session == ticket["session"] != first["session"]
    assert (await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"][0]["online"] is True
    assert time.monotonic() < paused_until, "all of this while Redis did nothing"
    await until(lambda: not world.services.peers.partial)
    await _again(world.stranger, "POST", "/claims", _claim(code))
    assert (await world.stranger("POST", "/auth/sign-in", sign_in)).status == 401
    assert (await _ready(world))[0] == 200
    await _alive(edge)


async def test_processes_find_each_other_again_when_redis_lost_everything(
    tmp_path, clock, monkeypatch, new_database, own_redis
):
    async with (
        new_database() as url,
        two_clouds(tmp_path, clock, monkeypatch, database=url, redis=own_redis.url) as two,
    ):
        _, identity = await two.a.edge()
        _, late = await two.a.edge()
        edge = await two.a.connect(identity)
        await two.online_at_b(identity.urn)
        own_redis.stop()
        await two.online_at_b(identity.urn, False)
        # Whoever comes and goes meanwhile is known afterwards.
        await two.b.connect(late)
        own_redis.start()
        await two.online_at_b(identity.urn)
        await until(lambda: two.a.services.peers.online(late.urn))
        await _alive(edge)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_without_redis_sessions_still_end_at_the_other_process(
    tmp_path, clock, monkeypatch, new_database, own_redis, how
):
    """Security row S7: a tunnel is cut within five seconds, whatever the processes cannot tell one another."""
    async with (
        new_database() as url,
        two_clouds(tmp_path, clock, monkeypatch, database=url, redis=own_redis.url) as two,
    ):
        edge_id, identity = await two.a.edge()
        edge, client = await two.a.connect(identity), await two.a.client()
        path = f"~/edge-hosts/{edge_id}/sessions"
        ticket = await two.a.owner.ok("POST", path, {"client": client.urn})
        await edge.expect(SessionAnnounced)
        (own_redis.stop if how == "stopped" else own_redis.halt)()
        await until(lambda: two.b.services.peers.partial)
        await two.b.owner("DELETE", f"~/sessions/{ticket['session']}")
        async with asyncio.timeout(5):
            assert (await edge.expect(SessionEnded)).session == ticket["session"]
        own_redis.go_on()


async def test_a_locked_sqlite_is_told_soon(world_in, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 200)
    world = await world_in(tmp_path)
    other = sqlite3.connect(tmp_path / sqlite.FILE, isolation_level=None, timeout=30, check_same_thread=False)
    # In a thread: whoever writes right now needs the loop to come to an end.
    await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
    await _refused(world.owner, "POST", "~/setup-codes", {"name": "x"})
    assert (await world.owner("GET", "~/edge-hosts")).status == 200, "readers go on"
    other.execute("ROLLBACK")
    other.close()
    await world.setup_code()
