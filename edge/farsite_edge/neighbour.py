"""Another edge host of this machine that a command was meant for, when its own data folder is a new one.

A service keeps its data in `/var/lib/farsite-edge`; somebody who types `farsite edge claim CODE` beside it, without
`--data-dir`, would use the code up for an edge host that nobody runs.
"""

from __future__ import annotations

import os
from pathlib import Path

import aiohttp
from pydantic import ValidationError

from farsite_edge.settings import EdgeSettings, default_data_dir
from farsite_signaling.wire.edge_api import EdgeInfo
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SERVICE_FOLDER = Path("/var/lib/farsite-edge")
SECONDS = 1.0
_MOST = 64 * 1024


async def check_meant(settings: EdgeSettings) -> None:
    """Raises `conflict` when no folder was named, nothing is in the default one, and another edge host is here."""
    if settings.data_dir != default_data_dir() or settings.data_dir.exists():
        return
    if os.path.lexists(SERVICE_FOLDER):
        raise _conflict(
            f"The edge host of this machine keeps its data in {SERVICE_FOLDER}",
            f"run this as its user, with --data-dir {SERVICE_FOLDER}",
        )
    if (found := await _running(settings.http_port)) is not None:
        raise _conflict(
            f"The edge host {found.name!r} that runs on this machine keeps its data in another folder",
            "run this as its user, with the --data-dir it was started with",
        )


def _conflict(there: str, to_do: str) -> FarsiteError:
    return FarsiteError(ErrorCode.CONFLICT, f"{there}: {to_do}. Nothing was changed.")


async def _running(port: int) -> EdgeInfo | None:
    """Whoever answers discovery on this machine."""
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://127.0.0.1:{port}/info", allow_redirects=False) as response,
        ):
            return EdgeInfo.model_validate_json(await response.content.read(_MOST))
    except (OSError, TimeoutError, aiohttp.ClientError, ValidationError):
        return None
