"""`ssh -L` over a link, with a server and keys of its own that are gone afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from farsite_client.lab.namespaces import Namespace, run, which
from tests.lab.wan.link import WanLink

SSH_PORT = 22022
START_SECONDS = 30.0
# Where sshd wants it, with root's rights only; the package's service would make it too.
_SEPARATION = Path("/run/sshd")


@asynccontextmanager
async def ssh_forward(link: WanLink, folder: Path, local: int, remote: int) -> AsyncIterator[None]:
    """Port `local` of the right side's loopback leads to port `remote` of the left side's."""
    _SEPARATION.mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "user"):
        await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    config = _config(folder, link.left_address)
    server = [which("sshd") or "sshd", "-D", "-q", "-f", str(config)]
    client = ["ssh", "-q", "-N", "-F", "none", "-i", str(folder / "user"), "-p", str(SSH_PORT)]
    options = {
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "ExitOnForwardFailure": "yes",
        "Compression": "no",
    }
    client += [f"-o{key}={value}" for key, value in options.items()]
    client += ["-L", f"127.0.0.1:{local}:127.0.0.1:{remote}", f"root@{link.left_address}"]
    async with _running(link.left, server):
        await _listens(link.left, link.left_address, SSH_PORT)
        async with _running(link.right, client):
            await _listens(link.right, "127.0.0.1", local)
            for side in (link.left, link.right):
                await _assert_cubic(side)
            yield


def _config(folder: Path, address: str) -> Path:
    keys = folder / "authorized"
    keys.write_text((folder / "user.pub").read_text())
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress {address}:{SSH_PORT}\n"
        f"HostKey {folder}/host\n"
        f"AuthorizedKeysFile {keys}\n"
        "PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nCompression no\nUseDNS no\n"
    )
    return config


@asynccontextmanager
async def _running(namespace: Namespace, command: list[str]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *namespace.command(*command), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(namespace: Namespace, address: str, port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not await namespace.run("ss", "-Hltn", f"src {address}:{port}"):
            await asyncio.sleep(0.1)


async def _assert_cubic(namespace: Namespace) -> None:
    """What is compared with is what we say."""
    connections = await namespace.run("ss", "-Htin", f"( sport = :{SSH_PORT} or dport = :{SSH_PORT} )")
    assert " cubic " in f"{connections} ", connections
