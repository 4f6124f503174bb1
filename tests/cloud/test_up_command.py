"""`farsite up` and `farsite cloud` as processes, the way people and programs use them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from alembic.script import ScriptDirectory

from farsite_cloud.database.schema import MIGRATIONS

# Several processes one after another, each of which imports half the world.
pytestmark = pytest.mark.timeout(240)

RUN = "from typer.main import get_command; from farsite_cloud import cli; get_command(cli.{})()"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _start(app: str, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN.format(app),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )


@pytest.fixture
def run(commands):
    async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        ran = await commands.run(*arguments, env=os.environ | environment)
        return ran.code, ran.out, ran.err

    return run


@asynccontextmanager
async def _up(folder: Path, *arguments: str, **environment: str) -> AsyncIterator[dict[str, object]]:
    process = await _start(
        "up", "--data-dir", str(folder), "--port", "0", "--json", *arguments, **environment
    )
    try:
        # As long as the machine is busy: a process that ends without a word ends this as well.
        line = await asyncio.wait_for(process.stdout.readline(), 120)
        assert line, (await process.stderr.read()).decode()
        yield json.loads(line)
        process.send_signal(signal.SIGTERM)
        rest, _ = await asyncio.wait_for(process.communicate(), 60)
        assert json.loads(rest) == {"event": "stopped"}
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _sign_in(url: str, email: str, password: str) -> int:
    body = {"email": email, "password": password}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/api/v1/auth/sign-in", json=body) as reply:
        return reply.status


async def test_up_says_when_it_is_ready_and_stops_cleanly(tmp_path, run):
    environment = {"FARSITE_OWNER_EMAIL": "me@example.com"}
    async with _up(tmp_path, "--turn", "off", **environment) as ready:
        assert ready["event"] == "ready"
        assert ready["hub_url"] == f"ws://127.0.0.1:{ready['port']}/hub"
        assert ready["turn"]["running"] is False
        assert "relay is off" in ready["turn"]["warning"]
        password = Path(ready["password_file"]).read_text().strip()
        assert await _sign_in(ready["url"], "me@example.com", password) == 200
    folder = ("--data-dir", str(tmp_path))
    code, out, _ = await run("cloud", "reset-password", "me@example.com", *folder, "--json")
    assert code == 0
    fresh = json.loads(out)["password"]
    async with _up(tmp_path, "--turn", "off") as again:
        assert again["first_run"] is False
        assert again["password_file"] is None
        assert await _sign_in(again["url"], "me@example.com", password) == 401
        assert await _sign_in(again["url"], "me@example.com", fresh) == 200


async def test_up_runs_the_relay(tmp_path):
    port = _free_port()
    ports = ("--turn-port", str(port), "--turn-tls-port", "0")
    async with _up(tmp_path, *ports, FARSITE_OWNER_PASSWORD="password") as ready:
        assert ready["turn"] == {
            "mode": "auto",
            "running": True,
            "urls": [
                f"stun:127.0.0.1:{port}",
                f"turn:127.0.0.1:{port}?transport=udp",
                f"turn:127.0.0.1:{port}?transport=tcp",
            ],
            "warning": None,
        }
        assert ready["password_file"] is None


async def test_up_without_turnserver_says_what_is_lost(tmp_path):
    async with _up(tmp_path, PATH="/nowhere") as ready:
        assert ready["turn"]["running"] is False
        assert "symmetric NATs" in ready["turn"]["warning"]
        async with aiohttp.ClientSession() as http, http.get(f"{ready['url']}/readyz") as reply:
            assert reply.status == 200
            assert "relay is off" in (await reply.json())["warnings"][0]


async def test_a_taken_port_is_one_sentence_and_a_code(tmp_path, run):
    folder = ("--data-dir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = await run("up", *folder, "--port", port, "--turn", "off")
        assert (code, out) == (1, "")
        assert err.startswith(f"error: Port {port}") and err.endswith("[port_taken]\n")
        code, out, err = await run("up", *folder, "--port", port, "--json")
        assert (code, json.loads(out)["code"], err) == (1, "port_taken", "")


async def test_mistakes_are_one_sentence_and_a_code(tmp_path, run):
    folder = ("--data-dir", str(tmp_path))
    code, _, err = await run("up", *folder, FARSITE_TRUN="off")
    assert code == 1 and "FARSITE_TURN" in err and "[setting_unknown]" in err
    code, _, err = await run("up", "--prot", "1")
    assert code == 2
    code, _, err = await run("cloud", "reset-password", "x@example.com", *folder)
    assert code == 1 and "There is no cloud in" in err


async def test_migrating_and_describing_need_no_running_cloud(tmp_path, run):
    code, out, _ = await run("cloud", "migrate", "--data-dir", str(tmp_path), "--json")
    assert (code, json.loads(out)) == (0, {"revision": ScriptDirectory(str(MIGRATIONS)).get_current_head()})
    code, out, _ = await run("cloud", "openapi")
    assert code == 0
    assert "/api/v1/claims" in json.loads(out)["paths"]
