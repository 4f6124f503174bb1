"""Real servers that tests of several parts share: one PostgreSQL and one Redis for each test process, when asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from farsite_cloud.database import Database
from farsite_cloud.database.schema import upgrade
from farsite_cloud.testing_servers import (
    PostgresServer,
    RedisServer,
    fresh_database,
    postgres_server,
    redis_server,
)
from tests.forked import Commands, commands_server

TEMPLATE = "template_farsite"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    with commands_server() as server:
        yield server


@pytest.fixture
def redis_url(redis: RedisServer) -> str:
    """Of an empty Redis."""
    redis.cli("flushall")
    return redis.url


@pytest.fixture(scope="session")
def prepared() -> set[str]:
    """What was made once on the servers of this process."""
    return set()


@pytest.fixture
async def empty_database(postgres: PostgresServer) -> AsyncIterator[str]:
    """The URL of a database without tables."""
    async with fresh_database(postgres) as url:
        yield url


async def template_of(server: PostgresServer, prepared: set[str]) -> str:
    """A database with this release's tables, to make others of quickly."""
    if TEMPLATE not in prepared:
        database = Database(await server.create(TEMPLATE))
        await upgrade(database)
        await database.aclose()
        prepared.add(TEMPLATE)
    return TEMPLATE


@pytest.fixture
def new_database(
    request: pytest.FixtureRequest, prepared: set[str]
) -> Callable[[], AbstractAsyncContextManager[str]]:
    """Makes databases with this release's tables; starts PostgreSQL at the first."""

    @asynccontextmanager
    async def make() -> AsyncIterator[str]:
        server = request.getfixturevalue("postgres")
        async with fresh_database(server, await template_of(server, prepared)) as url:
            yield url

    return make
