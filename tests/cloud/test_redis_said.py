"""A Redis that is away is said once a minute, not with every renewal of presence."""

from __future__ import annotations

import logging

import pytest
from redis.exceptions import ConnectionError

from farsite_cloud.cluster import redis
from farsite_signaling.wire.errors import FarsiteError


async def _asked(*, away: bool) -> None:
    async with redis.shared("presence"):
        if away:
            raise ConnectionError("refused")


async def test_it_is_said_once_and_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis, "_said", redis._Said())
    caplog.set_level(logging.INFO, logger=redis.__name__)
    for _ in range(5):
        with pytest.raises(FarsiteError):
            await _asked(away=True)
    await _asked(away=False)
    await _asked(away=False)
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("ERROR", "Redis failed (presence): refused"),
        ("INFO", "Redis answers again"),
    ]
