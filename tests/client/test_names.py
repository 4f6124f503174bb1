"""Names as people type them: serial numbers in any spelling, tokens and edge hosts by name, times, columns, TAB."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farsite_client.cli.choosing import since
from farsite_client.cli.inventory_columns import cells, named_columns, titles
from farsite_client.cli.names import serial
from farsite_client.cli.wording import in_options
from farsite_client.lan import with_port
from farsite_client.testing import EMAIL, PASSWORD, FakeCloud, edge_host
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, run_cloud
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory_api import InventoryDevice

Cli = Callable[..., Awaitable[Any]]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "typed", ["B8A44F00000A", "b8a44f00000a", "b8:a4:4f:00:00:0a", "B8-A4-4F-00-00-0A", "b8a4.4f00.000a"]
)
def test_a_serial_number_is_known_however_it_is_written(typed: str) -> None:
    assert serial(typed) == "B8A44F00000A"


@pytest.mark.parametrize("typed", ["dock-4", "b8:a4:4f:00:00", "b8:a4-4f:00:00:0a", "192.168.1.20", "x.y"])
def test_what_is_none_stays_as_it_is(typed: str) -> None:
    assert serial(typed) == typed


async def test_every_command_about_a_device_knows_it(cli: Cli) -> None:
    ran = await cli("device", "tag", "Shop", "b8:a4:4f:00:00:0a", "--add", "x")
    assert ran.code == 3, ran.err  # not signed in: what was typed is no wrong usage


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("10.0.0.5", ("10.0.0.5", 37080)),
        ("10.0.0.5:8080", ("10.0.0.5", 8080)),
        ("fd00::5", ("fd00::5", 37080)),
        ("[fd00::5]", ("fd00::5", 37080)),
        ("[fd00::5]:99", ("fd00::5", 99)),
    ],
)
def test_an_address_may_name_its_port(typed: str, meant: tuple[str, int]) -> None:
    assert with_port(typed) == meant


@pytest.mark.parametrize("typed", ["10.0.0.5:0", "10.0.0.5:http", "10.0.0.5:70000"])
def test_a_port_that_is_none_is_said(typed: str) -> None:
    with pytest.raises(FarsiteError, match="is no port"):
        with_port(typed)


def test_times_are_moments_or_how_long_ago() -> None:
    assert since("7d", NOW) == NOW - timedelta(days=7)
    assert since("2026-02-01") == datetime(2026, 2, 1, tzinfo=UTC)
    with pytest.raises(FarsiteError, match="Write 90m, 8h, 3d, or a day or moment"):
        since("yesterday")


def test_columns_by_the_names_of_the_export() -> None:
    device = InventoryDevice(
        id="1", serial="S", name="Gate", edge_host_id="e", edge_host="Shop", edge_online=True,
        folder_id="f", state="reachable", tags=["a", "b"], changed_at=NOW,
    )  # fmt: skip
    names = named_columns("serial, edge_online,tags,replacement")
    assert titles(names) == ["SERIAL", "EDGE ONLINE", "TAGS", "REPLACEMENT"]
    assert cells(device, names) == ["S", "yes", "a, b", None]
    with pytest.raises(FarsiteError, match="Did you mean 'serial'"):
        named_columns("serail")


def test_values_to_choose_from_are_not_taken_for_options() -> None:
    class Parameter:
        name, opts, param_type_name = "folder_id", ["--folder"], "option"

    class Command:
        params = (Parameter,)

    error = FarsiteError(ErrorCode.INVALID_REQUEST, "Not folder_id. There are: serial, folder_id.")
    assert in_options(error, Command).detail == "Not --folder. There are: serial, folder_id."


async def test_a_code_without_the_network(cli: Cli, fake_cloud: FakeCloud) -> None:
    await cli("login", fake_cloud.url, "--email", EMAIL, FARSITE_CLIENT_PASSWORD=PASSWORD)
    made = json.loads((await cli("claim", "--code-only", "--name", "Dock", "--remote-access", "--json")).out)
    assert made["command"].endswith("--remote-access")


async def test_tab_offers_edge_hosts(cli: Cli, fake_cloud: FakeCloud) -> None:
    fake_cloud.edge_hosts += [edge_host(2, "Head office"), edge_host(4, "Shop")]
    tab = {"_FARSITE_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    assert (await cli(COMP_WORDS="farsite devices H", **tab)).out.strip() == ""
    await cli("login", fake_cloud.url, "--email", EMAIL, FARSITE_CLIENT_PASSWORD=PASSWORD)
    assert (await cli(COMP_WORDS="farsite devices h", **tab)).out.strip() == r"Head\ office"
    assert (await cli(COMP_WORDS="farsite open S", **tab)).out.strip() == "Shop"


async def test_a_token_that_opens_no_session_signs_in(cli: Cli, tmp_path: Path) -> None:
    """It was refused: a machine was enrolled whether or not its token may open sessions."""
    async with run_cloud() as cloud:
        await cli("login", cloud.url, "--email", OWNER_EMAIL, FARSITE_CLIENT_PASSWORD=OWNER_PASSWORD)
        made = await cli("tokens", "create", "nightly", "--scope", "device.read", "--json")
        program = {"FARSITE_CLIENT_HOME": str(tmp_path / "program")}
        token = json.loads(made.out)["token"]
        ran = await cli("login", cloud.url, "--token-stdin", stdin=token + "\n", **program)
        assert ran.code == 0 and "lacks the right remote.access" in ran.err
        assert (await cli("inventory", "devices", **program)).code == 0
        ran = await cli("audit", "verify", "--checkpoint", "none.json", **program)
        assert ran.code == 1
        assert (await cli("tokens", "revoke", "nightly")).out == "Revoked nightly.\n"
        assert (await cli("inventory", "devices", **program)).code == 3
