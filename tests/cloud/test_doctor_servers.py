"""The doctor on PostgreSQL and Redis: answering, away, wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from farsite_cloud.commands.doctor import database_row
from farsite_cloud.commands.doctor_redis import redis_rows
from farsite_cloud.database import Database
from farsite_cloud.database.schema import downgrade, revisions
from farsite_cloud.settings import CloudSettings, load_settings


def _settings(folder: Path, **values: str) -> CloudSettings:
    return load_settings({"data_dir": folder, **values}, environ={})


async def test_a_sound_postgres_passes(tmp_path, new_database):
    async with new_database() as url:
        row = await database_row(_settings(tmp_path, database=url))
    assert (row.result, row.detail.startswith("PostgreSQL at")) == ("PASS", True)


async def test_an_older_schema_is_named(tmp_path, new_database):
    async with new_database() as url:
        database = Database(url)
        await downgrade(database, revisions()[0])
        await database.aclose()
        row = await database_row(_settings(tmp_path, database=url))
    assert (row.result, "0001" in row.detail) == ("WARN", True)


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("postgresql://farsite:hunter2@127.0.0.1:1/farsite", "Start PostgreSQL"),
        ("postgresql:///nowhere?host={socket}&user=farsite", "Check user"),
    ],
)
async def test_a_postgres_that_is_away_or_refuses_is_told_apart(tmp_path, postgres, url, fix):
    row = await database_row(_settings(tmp_path, database=url.format(socket=postgres.folder)))
    assert row.result == "FAIL" and fix in row.fix
    assert "hunter2" not in row.model_dump_json()


async def test_redis(tmp_path, redis, redis_url):
    assert await redis_rows(_settings(tmp_path)) == []
    [row] = await redis_rows(_settings(tmp_path, redis=redis_url))
    assert row.result == "PASS"
    redis.cli("config", "set", "maxmemory-policy", "allkeys-lru")
    [row] = await redis_rows(_settings(tmp_path, redis=redis_url))
    redis.cli("config", "set", "maxmemory-policy", "noeviction")
    assert (row.result, "noeviction" in row.fix) == ("WARN", True)
    [row] = await redis_rows(_settings(tmp_path, redis="redis://:hunter2@127.0.0.1:1/0"))
    assert row.result == "FAIL"
    assert "hunter2" not in row.model_dump_json()
