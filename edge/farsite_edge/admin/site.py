"""The administration socket: a unix socket, or loopback TCP and a token where there are none."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from pathlib import Path

from aiohttp import web

from farsite_edge.api.principal import Authenticator
from farsite_edge.store.failures import storage_errors
from farsite_signaling.identity.keys import write_private
from farsite_signaling.wire.admin import FILE, AdminAddress

__all__ = ["FILE", "SOCKET", "AdminAddress", "AdminSite"]
SOCKET = "admin.sock"
# sun_path holds 108 bytes on Linux, 104 on BSD and macOS.
LONGEST_PATH = 100


def _owners_socket(path: str) -> socket.socket:
    """Closed to others from its first moment, whatever folder it is in."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    return listener


class AdminSite:
    """`async with`, after the runner is set up."""

    def __init__(self, runner: web.AppRunner, authenticator: Authenticator, folder: Path) -> None:
        self._runner = runner
        self._authenticator = authenticator
        self._folder = folder

    async def __aenter__(self) -> AdminSite:
        with storage_errors(self._folder / FILE):
            path = str(self._folder / SOCKET)
            usable = hasattr(socket, "AF_UNIX") and len(path.encode()) <= LONGEST_PATH
            address = await (self._unix(path) if usable else self._loopback())
            write_private(self._folder / FILE, address.model_dump_json().encode())
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in (FILE, SOCKET):
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()

    async def _unix(self, path: str) -> AdminAddress:
        Path(path).unlink(missing_ok=True)
        listener = _owners_socket(path)
        await web.SockSite(self._runner, listener).start()
        return AdminAddress(unix=path)

    async def _loopback(self) -> AdminAddress:
        site = socket.create_server(("127.0.0.1", 0))
        port = int(site.getsockname()[1])
        token = secrets.token_urlsafe(32)
        self._authenticator.admin_port, self._authenticator.admin_token = port, token
        await web.SockSite(self._runner, site).start()
        return AdminAddress(port=port, token=token)
