"""The lab needs root on Linux: elsewhere these tests are skipped, but never where CI=true."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from farsite_client.lab import Lab, missing
from tests.lab.fault_rig import RESULTS, Rig


def reason_not_to_run() -> str | None:
    if why := missing():
        return why
    absent = [
        package
        for program, package in {"turnserver": "coturn", "squid": "squid"}.items()
        if not _has(program)
    ]
    return f"install {' '.join(absent)}" if absent else None


def _has(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


@pytest.fixture(scope="session", autouse=True)
def possible() -> None:
    why = reason_not_to_run()
    if why is None:
        return
    if (
        os.environ.get("CI") == "true"
        and os.name == "posix"
        and os.uname().sysname == "Linux"
        and os.geteuid() == 0
    ):
        pytest.fail(f"the NAT lab cannot run: {why}")
    pytest.skip(f"the NAT lab cannot run: {why}")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def lab(possible: None) -> AsyncIterator[Lab]:
    async with Lab() as built:
        yield built


@pytest.fixture(scope="session")
def fresh_results() -> None:
    """What each fault cost is noted anew."""
    RESULTS.unlink(missing_ok=True)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def faults(lab: Lab, fresh_results: None) -> Rig:
    rig = Rig(lab)
    await rig.prepare()
    return rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(faults: Rig) -> AsyncIterator[Rig]:
    async with faults.running() as rig:
        yield rig
