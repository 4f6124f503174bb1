"""This machine's certificate is renewed before, and after, it has run out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farsite_client.cloud import CloudClient
from farsite_client.profile import Profile
from farsite_client.testing import EMAIL, PASSWORD, FakeCloud
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


async def enrolled(cloud: FakeCloud, home: Path, lifetime: timedelta) -> Profile:
    profile = Profile(home)
    cloud.lifetime = lifetime
    async with CloudClient(cloud.url) as client:
        signed_in = await client.sign_in(EMAIL, PASSWORD)
        await profile.enrol(client, signed_in, (await client.organizations())[0], "this machine")
    cloud.lifetime = timedelta(days=90)
    return profile


@pytest.mark.parametrize("days", [29, 0, -200])
async def test_commands_that_renew_at_once_make_one_certificate(
    fake_cloud: FakeCloud, tmp_path: Path, days: int
) -> None:
    profile = await enrolled(fake_cloud, tmp_path, timedelta(days=days))
    before = profile.identity()

    async def command() -> str:
        async with profile.cloud() as cloud:
            return (await profile.renewed(cloud)).name

    names = await asyncio.gather(*(command() for _ in range(5)))
    assert fake_cloud.enrolled == 2
    assert set(names) == {profile.load().name} != {str(before.name)}
    assert profile.load().certificate_expires_at > datetime.now(UTC) + timedelta(days=80)


async def test_one_that_is_good_for_long_stays(fake_cloud: FakeCloud, tmp_path: Path) -> None:
    profile = await enrolled(fake_cloud, tmp_path, timedelta(days=31))
    async with profile.cloud() as cloud:
        await profile.renewed(cloud)
    assert fake_cloud.enrolled == 1


async def test_with_a_sign_in_that_ran_out_too_it_says_to_sign_in(
    fake_cloud: FakeCloud, tmp_path: Path
) -> None:
    profile = await enrolled(fake_cloud, tmp_path, timedelta(days=-1))
    fake_cloud.tokens.clear()
    async with profile.cloud() as cloud:
        with pytest.raises(FarsiteError) as refused:
            await profile.renewed(cloud)
    assert refused.value.code == ErrorCode.TOKEN_EXPIRED
