"""A site's only way out: squid with Basic authentication and CONNECT to 443."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import deque
from pathlib import Path
from urllib.parse import quote

from farsite_client.lab.namespaces import Namespace, run, which
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

USER = "site"
PORT = 3128
START_SECONDS = 20.0
STOP_SECONDS = 5.0
_HELPERS = ("/usr/lib/squid/basic_ncsa_auth", "/usr/lib64/squid/basic_ncsa_auth")
_READY = "Accepting HTTP Socket connections"


_INSTANCES = itertools.count(1)


def _service() -> str:
    """Squid names its shared memory after this, across all namespaces: another squid must not meet it."""
    return f"farsitelab{os.getpid()}n{next(_INSTANCES)}"


class Proxy:
    """Squid in a router's namespace. `start` returns when it accepts connections."""

    def __init__(self, namespace: Namespace, address: str, directory: Path, password: str) -> None:
        self._namespace = namespace
        self._address = address
        self._directory = directory
        self._password = password
        self._process: asyncio.subprocess.Process | None = None
        self._lines: deque[str] = deque(maxlen=20)

    def url(self, password: str | None = None) -> str:
        """For settings; with a wrong password when one is given."""
        secret = quote(self._password if password is None else password, safe="")
        return f"http://{USER}:{secret}@{self._address}:{PORT}"

    async def start(self) -> None:
        program = which("squid")
        if program is None:
            raise FarsiteError(ErrorCode.UNAVAILABLE, "squid is not installed.")
        await self._write_files()
        config = str(self._directory / "squid.conf")
        self._process = await asyncio.create_subprocess_exec(
            *self._namespace.command(program, "-N", "-d", "1", "-n", _service(), "-f", config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._wait_ready(self._process)
        except TimeoutError:
            await self.stop()
            raise FarsiteError(ErrorCode.TIMEOUT, f"squid did not start. {' '.join(self._lines)}") from None

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode(errors="replace").strip()
            self._lines.append(text)
            if _READY in text:
                return
        raise FarsiteError(ErrorCode.UNAVAILABLE, f"squid ended at once. {' '.join(self._lines)}")

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _write_files(self) -> None:
        self._directory.mkdir(mode=0o755)
        # The helper knows crypt(3); Python no longer does.
        crypted = await run("openssl", "passwd", "-6", "-stdin", text=self._password)
        passwords = self._directory / "passwords"
        passwords.write_text(f"{USER}:{crypted.strip()}\n")
        passwords.chmod(0o644)
        (self._directory / "squid.conf").write_text(self._config(passwords))

    def _config(self, passwords: Path) -> str:
        helper = next((path for path in _HELPERS if Path(path).exists()), _HELPERS[0])
        return f"""\
http_port {self._address}:{PORT}
auth_param basic program {helper} {passwords}
auth_param basic children 2
auth_param basic realm site proxy
acl known proxy_auth REQUIRED
acl tls port 443
acl connect method CONNECT
http_access deny !tls
http_access deny !connect
http_access deny !known
http_access allow known
http_access deny all
cache deny all
access_log none
cache_log /dev/null
pid_filename none
coredump_dir none
shutdown_lifetime 0 seconds
pinger_enable off
netdb_filename none
visible_hostname proxy.site
"""
