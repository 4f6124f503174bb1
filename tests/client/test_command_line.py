"""The `farsite` command as processes of its own: exit codes, JSON, one line for every error."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from farsite_client.testing import EMAIL, PASSWORD, FakeCloud, edge_host
from farsite_signaling.wire.cloud_api import Organization
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Role

Cli = Callable[..., Awaitable[Any]]


async def log_in(cli: Cli, cloud: FakeCloud, *arguments: str, **variables: str) -> Any:
    variables = {"FARSITE_CLIENT_PASSWORD": PASSWORD} | variables
    return await cli("login", cloud.url, "--email", EMAIL, *arguments, **variables)


async def test_signing_in_is_kept_where_only_its_owner_reads(
    cli: Cli, fake_cloud: FakeCloud, tmp_path: Path
) -> None:
    ran = await log_in(cli, fake_cloud)
    assert ran.code == 0, ran.err
    assert str(tmp_path / "home") in ran.out and PASSWORD not in ran.out
    files = [file for file in (tmp_path / "home").rglob("*") if file.is_file()]
    assert {file.name for file in files} == {"profile.json", "identity.key", "identity.crt"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    who = await cli("whoami", "--json")
    assert json.loads(who.out)["email"] == EMAIL and "token" not in json.loads(who.out)


async def test_the_password_may_come_on_standard_input(cli: Cli, fake_cloud: FakeCloud) -> None:
    ran = await cli("login", fake_cloud.url, "--email", EMAIL, "--password-stdin", stdin=PASSWORD + "\n")
    assert ran.code == 0, ran.err


async def test_a_wrong_password_is_one_line_and_stores_nothing(
    cli: Cli, fake_cloud: FakeCloud, tmp_path: Path
) -> None:
    ran = await log_in(cli, fake_cloud, FARSITE_CLIENT_PASSWORD="wrong")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: The e-mail address or the password is wrong. [sign_in_failed]\n"
    assert not (tmp_path / "home" / "profile.json").exists()


async def test_without_a_terminal_nothing_is_asked(cli: Cli, fake_cloud: FakeCloud) -> None:
    ran = await cli("login", fake_cloud.url, "--email", EMAIL)
    assert ran.code == 1 and "--password-stdin" in ran.err
    ran = await cli("login")
    assert ran.code == 1 and "no terminal" in ran.err


async def test_one_of_several_organizations_is_chosen(cli: Cli, fake_cloud: FakeCloud) -> None:
    fake_cloud.organizations.append(
        Organization(id="org2", name="Other", role=Role.VIEWER, default_folder_id="f2")
    )
    ran = await log_in(cli, fake_cloud)
    assert ran.code == 1 and "Acme, Other" in ran.err
    ran = await log_in(cli, fake_cloud, "--organization", "acme", "--json")
    assert json.loads(ran.out)["organization_id"] == "org1"


async def test_nobody_signed_in_is_exit_code_3(cli: Cli) -> None:
    ran = await cli("edges")
    assert ran.code == 3 and "farsite login" in ran.err
    ran = await cli("--json", "edges")
    assert ran.code == 3 and json.loads(ran.out)["code"] == "unauthenticated"


async def test_an_expired_sign_in_is_exit_code_3(cli: Cli, fake_cloud: FakeCloud) -> None:
    await log_in(cli, fake_cloud)
    fake_cloud.tokens.clear()
    ran = await cli("edges")
    assert ran.code == 3 and "token_expired" in ran.err


async def test_edges_as_table_and_json(cli: Cli, fake_cloud: FakeCloud) -> None:
    await log_in(cli, fake_cloud)
    assert "farsite claim" in (await cli("edges")).out
    fake_cloud.edge_hosts = [edge_host(2, "Ware[red]house\x1b[31m")]
    table = await cli("edges")
    assert "Ware[red]house" in table.out and "\x1b" not in table.out
    rows = json.loads((await cli("edges", "--json")).out)
    assert rows[0]["id"] == "edge2" and rows[0]["online"] is True


async def test_a_cloud_that_is_down_is_named(cli: Cli, fake_cloud: FakeCloud) -> None:
    await log_in(cli, fake_cloud)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    ran = await cli("login", f"http://127.0.0.1:{port}", "--email", EMAIL, FARSITE_CLIENT_PASSWORD=PASSWORD)
    assert ran.code == 1 and f"127.0.0.1:{port}" in ran.err and "cloud_unreachable" in ran.err


async def test_a_clock_far_off_is_warned_of(cli: Cli, fake_cloud: FakeCloud) -> None:
    fake_cloud.clock = 700
    ran = await log_in(cli, fake_cloud)
    assert ran.code == 0 and "clock is" in ran.err and "NTP" in ran.err
    assert (await log_in(cli, fake_cloud, "--json")).err == ""


async def test_a_session_with_a_clock_far_off_names_it(cli: Cli, fake_cloud: FakeCloud) -> None:
    await log_in(cli, fake_cloud)
    fake_cloud.clock, fake_cloud.edge_hosts = 700, [edge_host(2)]
    ran = await cli("devices", "edge2")
    assert ran.code == 1 and "clock_skew" in ran.err


@pytest.mark.parametrize(
    ("edge", "code"), [("Nowhere", "not_found"), ("Twin", "conflict"), ("edge1", "edge_offline")]
)
async def test_edge_hosts_that_cannot_be_reached(
    cli: Cli, fake_cloud: FakeCloud, edge: str, code: str
) -> None:
    await log_in(cli, fake_cloud)
    fake_cloud.edge_hosts = [edge_host(1), edge_host(2, "Twin"), edge_host(4, "twin")]
    for command in (("devices", edge), ("open", f"{edge}/00408C123456", "--no-browser")):
        ran = await cli(*command, "--json")
        assert (ran.code, json.loads(ran.out)["code"]) == (1, code)


async def test_a_setup_code_with_the_command_to_type(cli: Cli, fake_cloud: FakeCloud) -> None:
    await log_in(cli, fake_cloud)
    ran = await cli("claim", "--code-only", "--name", "Shop")
    assert f"farsite edge claim ABCD-EFGH --cloud {fake_cloud.url}" in ran.out


async def test_audit(cli: Cli, fake_cloud: FakeCloud) -> None:
    await log_in(cli, fake_cloud)
    assert json.loads((await cli("audit", "--json")).out)[0]["action"] == "session.granted"


async def test_signing_out_forgets_everything(cli: Cli, fake_cloud: FakeCloud, tmp_path: Path) -> None:
    await log_in(cli, fake_cloud)
    assert (await cli("logout")).code == 0
    assert not fake_cloud.tokens
    assert [file for file in (tmp_path / "home").rglob("*") if file.is_file()] == []
    assert "Nobody" in (await cli("logout")).out


async def test_a_damaged_profile_is_said(cli: Cli, fake_cloud: FakeCloud, tmp_path: Path) -> None:
    await log_in(cli, fake_cloud)
    (tmp_path / "home" / "profile.json").write_text("{")
    ran = await cli("edges")
    assert ran.code == 1 and "damaged" in ran.err


async def test_a_home_that_cannot_be_written_is_said(cli: Cli, fake_cloud: FakeCloud, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = await log_in(cli, fake_cloud, "--home", str(tmp_path / "file" / "home"))
    assert ran.code == 1 and "storage_failed" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("edgs",),
        ("edges", "--frob"),
        ("forward",),
        ("forward", "a/b", "99999"),
        ("remote-access", "a", "maybe"),
    ],
)
async def test_wrong_usage_is_exit_code_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    ran = await cli(*arguments)
    assert ran.code == 2 and ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("users", "list", "--role", "king"), "'--role': 'king' is not one of 'owner', 'admin', 'operator'"),
        (
            ("policies", "X", "edit", "P", "--mode", "loud"),
            "'--mode': 'loud' is not one of 'enforce', 'report_only'",
        ),
        (
            ("campaigns", "upgrade", "--stages", "0,100"),
            "--stages: '0,100': shares grow from 1 to 100 percent",
        ),
        (("campaigns", "upgrade", "--window", "at night"), "'at night' is not written like 22:00-05:00"),
        (
            ("os", "X", "upgrade", "--window", "22:00-05:00", "--days", "sat,foo"),
            "--days: 'foo' is not one of mon, tue, wed, thu, fri, sat, sun",
        ),
    ],
)
async def test_a_wrong_choice_is_told_with_those_there_are(
    cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    ran = await cli(*arguments)
    assert ran.code == 2 and said in ran.err and "[invalid_request]" in ran.err, ran.err
    assert "Value error" not in ran.err and "Usage: farsite" in ran.err
    ran = await cli(*arguments, "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["code"], ran.err) == (2, "invalid_request", "") and said in told["detail"]


async def test_a_group_alone_shows_its_help(cli: Cli) -> None:
    for arguments in ((), ("device",)):
        ran = await cli(*arguments)
        assert ran.code == 2 and "Commands:" in ran.err and "[invalid_request]" not in ran.err


async def test_unknown_settings_name_the_nearest(cli: Cli, tmp_path: Path) -> None:
    ran = await cli("status", FARSITE_CLIENT_PROXI="x")
    assert ran.code == 1 and "setting_unknown" in ran.err and "FARSITE_CLIENT_PROXY" in ran.err
    file = tmp_path / "settings.toml"
    file.write_text('prox = "http://x"')
    ran = await cli("status", "--config", str(file))
    assert ran.code == 1 and "Did you mean proxy" in ran.err


async def test_an_error_inside_is_one_line(cli: Cli, fake_cloud: FakeCloud) -> None:
    await log_in(cli, fake_cloud)
    fake_cloud.failures = [FarsiteError(ErrorCode.INTERNAL, "line one\nline two\x1b[31m")]
    ran = await cli("whoami")
    assert ran.code == 1 and ran.err.count("\n") == 1 and "\x1b" not in ran.err


async def test_the_help_lists_every_part_without_loading_it(cli: Cli) -> None:
    ran = await cli("--help")
    for command in ("login", "open", "status", "up", "edge", "simulator", "demo"):
        assert f"  {command} " in ran.out
    code = (
        "import sys; from farsite_client.cli.main import application; from farsite_client.cli.lazy import command_of\n"
        "try: command_of(application(), 'farsite')(args=['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('pydantic', 'aiohttp', 'aiortc', 'rich.table', 'farsite_cloud', 'farsite_edge') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


async def test_version_and_completion(cli: Cli) -> None:
    assert (await cli("--version")).out.startswith("farsite ")
    ran = await cli(_FARSITE_COMPLETE="complete_bash", COMP_WORDS="farsite ed", COMP_CWORD="1")
    assert "edges" in ran.out.split()


async def test_an_interrupt_is_exit_code_130_and_a_watch_ends_well(tmp_path: Path) -> None:
    async def start(*arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "farsite_client",
            "--home",
            str(tmp_path),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Shells start background jobs, and what these start, deaf to interrupts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    for number in (signal.SIGINT, signal.SIGTERM):
        watch = await start("status", "--watch", "--json")
        assert watch.stdout is not None
        await watch.stdout.readline()
        watch.send_signal(number)
        _, err = await watch.communicate()
        assert (watch.returncode, err) == (0, b"")

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        port = str(sock.getsockname()[1])
        looking = await start("lan", "--timeout", "60", "--group", "127.0.0.1", "--port", port)
        # Its loop runs once its query has left.
        await asyncio.get_running_loop().sock_recv(sock, 2000)
        looking.send_signal(signal.SIGINT)
        _, err = await looking.communicate()
    assert (looking.returncode, err) == (130, b"")
