"""The supervised server: starts, is watched, restarts, says what is wrong, stops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from farsite_cloud.turn import certificate as certificates
from farsite_cloud.turn.certificate import ensure_certificate
from farsite_cloud.turn.supervisor import TurnServer, TurnState
from farsite_signaling.wire.errors import ErrorCode
from tests.cloud.turn.conftest import SECRET, client, local_settings


async def test_runs_with_a_private_configuration_and_stops(coturn: str, data_dir: Path) -> None:
    async with TurnServer(local_settings(data_dir)) as server:
        assert server.running, server.problem
        assert server.problem is None
        pid = server.pid
        assert pid is not None
        assert stat.S_IMODE(server.config_file.stat().st_mode) == 0o600
        # The secret is in no other place that other users see.
        assert SECRET.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert server.ice_servers("s", 0)
    assert server.state is TurnState.STOPPED
    assert server.pid is None
    assert server.ice_servers("s", 0) == []
    assert not Path(f"/proc/{pid}").exists()


async def test_gives_root_up(relay: TurnServer) -> None:
    if os.geteuid() != 0:
        return
    status = Path(f"/proc/{relay.pid}/status").read_text()
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert set(uids) == {uids[0]} != {"0"}


async def test_first_credentials_are_accepted_below_a_folder_only_root_enters(
    coturn: str, data_dir: Path
) -> None:
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    async with TurnServer(local_settings(data_dir / "cloud" / "turn")) as server, client(server) as user:
        assert (await user.allocate()).code == 0


async def test_both_tls_ports_show_a_certificate_peers_can_check(relay: TurnServer) -> None:
    [server] = [entry for entry in relay.ice_servers("s", 0) if entry.ca]
    context = ssl.create_default_context(cadata=server.ca)
    for port in (relay.settings.tls_port, relay.settings.alt_tls_port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.close()
        await writer.wait_closed()


async def test_comes_back_when_it_dies(relay: TurnServer) -> None:
    assert relay.pid is not None
    os.kill(relay.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        await relay.wait_for({TurnState.WAITING})
        assert relay.problem is not None
        assert relay.problem.code is ErrorCode.TURN_UNAVAILABLE
        await relay.wait_for({TurnState.RUNNING})
    assert relay.problem is None
    assert relay.restarts == 1
    async with client(relay) as user:
        assert (await user.allocate()).code == 0


async def test_replaces_a_server_left_over_from_a_killed_run(coturn: str, data_dir: Path) -> None:
    settings = local_settings(data_dir)
    async with TurnServer(settings) as first:
        old = first.pid
        async with TurnServer(settings) as second:
            assert second.running, second.problem
            assert second.pid != old
            assert not Path(f"/proc/{old}/fd").exists() or not list(Path(f"/proc/{old}/fd").iterdir())
            # The first finds its port taken by the second only once it tries again: end it here.
            first._task.cancel()  # type: ignore[union-attr]


async def test_says_when_coturn_is_missing(data_dir: Path) -> None:
    async with TurnServer(local_settings(data_dir, executable="no-such-turnserver")) as server:
        assert server.state is TurnState.UNAVAILABLE
        assert server.problem is not None
        assert server.problem.code is ErrorCode.TURN_UNAVAILABLE
        assert "not installed" in server.problem.detail
        assert server.ice_servers("s", 0) == []


async def test_says_which_port_is_taken_and_starts_once_it_is_free(coturn: str, data_dir: Path) -> None:
    settings = local_settings(data_dir)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", settings.port or 0))
        server = TurnServer(settings)
        await server.__aenter__()
        assert server.state is TurnState.WAITING
        assert server.problem is not None
        assert server.problem.code is ErrorCode.PORT_TAKEN
        assert str(settings.port) in server.problem.detail
    async with asyncio.timeout(20):
        await server.wait_for({TurnState.RUNNING})
    await server.__aexit__(None, None, None)


async def test_says_what_is_wrong_with_a_certificate(coturn: str, data_dir: Path) -> None:
    broken = data_dir / "broken.pem"
    broken.write_text("nothing")
    async with TurnServer(local_settings(data_dir, certificate=broken, key=broken)) as server:
        assert server.problem is not None
        assert server.problem.code is ErrorCode.CERTIFICATE_INVALID
        assert str(broken) in server.problem.detail


async def test_says_when_a_certificate_is_missing_or_expired(coturn: str, data_dir: Path) -> None:
    missing = data_dir / "missing.pem"
    async with TurnServer(local_settings(data_dir, certificate=missing, key=missing)) as server:
        assert server.problem is not None
        assert server.problem.code is ErrorCode.SETTING_INVALID
    old = ensure_certificate(data_dir / "old", "127.0.0.1", datetime.now(UTC) - timedelta(days=500))
    given = local_settings(data_dir, certificate=old.certificate, key=old.key)
    async with TurnServer(given) as server:
        assert server.problem is not None
        assert server.problem.code is ErrorCode.CERTIFICATE_EXPIRED


async def test_cancelled_while_starting_leaves_nothing(coturn: str, data_dir: Path) -> None:
    server = TurnServer(local_settings(data_dir))

    async def run() -> None:
        async with server:
            raise AssertionError("entered")

    task = asyncio.get_running_loop().create_task(run())
    await server.wait_for({TurnState.STARTING})
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert server.pid is None


def test_certificate_is_kept_until_it_is_old_or_for_another_host(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    first = ensure_certificate(tmp_path, "turn.example.org", now)
    text = first.certificate.read_text()
    assert ensure_certificate(tmp_path, "turn.example.org", now).certificate.read_text() == text
    other = ensure_certificate(tmp_path, "5.1.1.1", now)
    assert other.certificate.read_text() != text
    assert other.ca == first.ca
    text = other.certificate.read_text()
    later = now + certificates.SERVER_LIFETIME * 0.7
    assert ensure_certificate(tmp_path, "5.1.1.1", later).certificate.read_text() != text
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
