"""What leaks when the database, the logs or the answers do: nothing that lets anybody in."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from pathlib import Path

import pytest

from farsite_cloud.logs import quiet_libraries
from farsite_cloud.testing import OWNER_PASSWORD, run_cloud
from farsite_cloud.vault import KEY_FILE, Vault
from farsite_signaling.identity import generate_key, make_request
from farsite_signaling.wire.errors import FarsiteError

PRIVATE_KEY = re.compile(rb"PRIVATE KEY")


async def test_no_secret_is_in_the_database_or_the_logs_in_clear(tmp_path, world_in, caplog):
    caplog.set_level(logging.DEBUG)
    quiet_libraries()
    world = await world_in(tmp_path)
    signed_in = await world.stranger.ok(
        "POST", "/auth/sign-in", {"email": "owner@example.com", "password": OWNER_PASSWORD}
    )
    await world.stranger(
        "POST", "/auth/sign-in", {"email": "owner@example.com", "password": "canary-wrong-password"}
    )
    headers = {"Idempotency-Key": "k1"}
    code = (await world.owner("POST", "~/setup-codes", {"name": "S"}, headers=headers)).body["code"]
    claim = {"code": code, "csr": make_request(generate_key(), "edge")}
    await world.stranger("POST", "/claims", claim, headers=headers)
    edge_id, identity = await world.edge()
    await world.connect(identity)
    client = await world.client()
    ticket = await world.owner.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    secrets = [
        OWNER_PASSWORD,
        "canary-wrong-password",
        signed_in["token"],
        world.owner.token,
        code,
        code.replace("-", ""),
        ticket["grant"],
    ]
    await world.running.cloud.services.database.aclose()
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("farsite.db*"))
    assert b"owner@example.com" in stored, "the right files are read"
    for secret in secrets:
        assert secret.encode() not in stored
        assert secret not in caplog.text
    assert not PRIVATE_KEY.search(stored)
    assert "PRIVATE KEY" not in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
async def test_files_with_secrets_are_the_owners_alone(tmp_path):
    async with run_cloud(tmp_path, turn="auto", owner_password=None, turn_port=0, turn_tls_port=_free_port()):
        files = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if file.is_file()}
    assert {KEY_FILE, "owner-password", "farsite.db", "turn.secret"} <= set(files)
    assert set(files.values()) == {0o600}, files


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_the_owners_password_is_made_and_written_to_a_file(tmp_path):
    async with run_cloud(tmp_path, owner_password=None) as running:
        file = running.cloud.first_run.password_file
        running.owner_password = file.read_text().strip()
        await running.sign_in()
    async with run_cloud(tmp_path, owner_password=None) as again:
        assert again.cloud.first_run is None
        again.owner_password = running.owner_password
        await again.sign_in()


async def test_a_lost_or_foreign_key_file_is_told_and_not_replaced(tmp_path):
    async with run_cloud(tmp_path):
        pass
    key = (tmp_path / KEY_FILE).read_bytes()
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(FarsiteError, match="restore it") as caught:
        async with run_cloud(tmp_path):
            pass
    assert caught.value.code == "storage_failed"
    assert not (tmp_path / KEY_FILE).exists()
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(FarsiteError, match="damaged"):
        async with run_cloud(tmp_path):
            pass
    (tmp_path / KEY_FILE).write_bytes(key)
    async with run_cloud(tmp_path) as running:
        await running.setup_code()


def test_what_is_sealed_opens_with_the_same_key_and_purpose_only(tmp_path: Path):
    vault = Vault.open(tmp_path, create=True)
    sealed = vault.seal(b"secret", "organization a")
    assert vault.seal(b"secret", "organization a") != sealed
    assert vault.unseal(sealed, "organization a") == b"secret"
    for wrong, purpose in [(sealed, "organization b"), (sealed[:-1], "organization a"), (b"", "x")]:
        with pytest.raises(FarsiteError):
            vault.unseal(wrong, purpose)
    with pytest.raises(FarsiteError):
        Vault(os.urandom(32)).unseal(sealed, "organization a")


async def test_one_data_folder_has_one_cloud(tmp_path):
    async with run_cloud(tmp_path):
        with pytest.raises(FarsiteError, match="Another cloud"):
            await asyncio.wait_for(_start(tmp_path), 10)


async def _start(folder: Path) -> None:
    async with run_cloud(folder):
        pass
