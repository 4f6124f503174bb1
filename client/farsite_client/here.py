"""The edge host on this machine, through its administration socket: nothing of it needs the cloud, or a network.

Who may read the edge host's data folder is its local administrator.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import platformdirs
from pydantic import ValidationError

from farsite_client.edge import EdgeClient
from farsite_signaling.wire.admin import FILE, AdminAddress
from farsite_signaling.wire.edge_api import EdgeInfo
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

HERE = "here"
DATA_DIR = "FARSITE_EDGE_DATA_DIR"
_TIMEOUT = aiohttp.ClientTimeout(total=90, sock_connect=5)


def data_folder(place: str) -> Path | None:
    """The data folder `place` means: `here`, or a path; None when it is an address."""
    if place == HERE:
        named = os.environ.get(DATA_DIR)
        return Path(named) if named else platformdirs.user_data_path("farsite-edge", appauthor=False)
    separators = [os.sep, *([os.altsep] if os.altsep else [])]
    return Path(place) if any(one in place for one in separators) else None


@asynccontextmanager
async def open_here(folder: Path, edge: str) -> AsyncIterator[EdgeClient]:
    """The API of the edge host that runs with this data folder. `edge`, its name or id, has to be the one that is
    meant. Raises `unavailable` when none runs, `forbidden` when the folder is not ours to read, `not_found`."""
    address = _address(folder)
    connector = aiohttp.UnixConnector(address.unix) if address.unix else aiohttp.TCPConnector()
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        client = EdgeClient(
            session, base=address.base, name="The edge host on this machine", headers=address.headers
        )
        _check(await client.info(), edge)
        yield client


def _address(folder: Path) -> AdminAddress:
    try:
        return AdminAddress.model_validate_json((folder / FILE).read_bytes())
    except PermissionError:
        detail = f"{folder} is not yours to read. Run this as the user the edge host runs as."
        raise FarsiteError(ErrorCode.FORBIDDEN, detail) from None
    except (OSError, ValidationError):
        detail = (
            f"No edge host runs on this machine with the data folder {folder}. If it has another one, name that: "
            "--lan /var/lib/farsite-edge"
        )
        raise FarsiteError(ErrorCode.UNAVAILABLE, detail) from None


def _check(info: EdgeInfo, wanted: str) -> None:
    if wanted != info.id and wanted.casefold() != info.name.casefold():
        detail = f"The edge host on this machine is {info.name!r} ({info.id}), not {wanted[:100]!r}."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
