"""The program in the README, as it stands there, against a real site."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from farsite_client.session import connect

from .conftest import World
from .test_remote_session import manage_all

README = Path(__file__).parents[2] / "README.md"


async def test_the_example_prints_path_and_devices(world: World) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    async with connect(world.profile, "Warehouse") as session:
        await manage_all(world, session)
    # Where `default_home` is, for a user whose configuration folder is the profile's.
    home = world.profile.home.rename(world.profile.home.with_name("farsite"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"XDG_CONFIG_HOME": str(home.parent)},
    )
    out, _ = await process.communicate()
    path, *devices = out.decode().splitlines()
    assert path in ("lan", "direct")
    assert [line.split()[0] for line in devices] == world.serials
    assert all(int(line.split()[-1]) > 1000 for line in devices)
