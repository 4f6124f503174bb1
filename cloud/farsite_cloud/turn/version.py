"""Which coturn is installed, and what its version means for us."""

from __future__ import annotations

import asyncio
import re
import shutil

Version = tuple[int, int, int]

SAFE: Version = (4, 13, 1)
"""First version that refuses link-local and unique local peers by itself and knows IPv4-mapped ones."""

MODERN: Version = (4, 7, 0)
"""From here on hardening is the default, and the options that asked for it are gone."""


def parse_version(text: str) -> Version | None:
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


async def installed_version(executable: str) -> Version | None:
    """`None`: not installed, or it does not say."""
    path = shutil.which(executable)
    if path is None:
        return None
    process = await asyncio.create_subprocess_exec(
        path, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(10):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return parse_version(output.decode(errors="replace"))


def advice(version: Version | None) -> str | None:
    """What an administrator should know about this coturn, if anything."""
    if version is None or version >= SAFE:
        return None
    return (
        f"coturn {dotted(version)} checks IPv4-mapped IPv6 peers against IPv6 rules only (CVE-2026-27624, "
        f"fixed in 4.9.0). The generated configuration denies them; with any other configuration it is open. "
        f"Update to {dotted(SAFE)} or newer."
    )


def dotted(version: Version) -> str:
    return ".".join(str(part) for part in version)
