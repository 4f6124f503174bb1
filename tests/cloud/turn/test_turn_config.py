"""The rendered file, the server list and the command that writes the one."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from farsite_cloud.turn.command import turn_config
from farsite_cloud.turn.config import TurnSettings, ice_servers, render, urls
from farsite_cloud.turn.credentials import turn_credentials
from farsite_cloud.turn.ranges import parse_range
from farsite_cloud.turn.version import advice, parse_version

SHIPPED = Path(__file__).parents[3] / "turn-config"
SECRET = "0123456789abcdef"


def settings(**more: object) -> TurnSettings:
    return TurnSettings.model_validate({"host": "turn.example.org", "secrets": [SECRET], **more})


@pytest.mark.parametrize("version", [(4, 6, 1), (4, 13, 1)])
def test_the_shipped_example_is_what_the_renderer_writes(version: tuple[int, int, int]) -> None:
    example = SHIPPED / f"turnserver-{'.'.join(map(str, version))}.conf"
    described = settings(
        secrets=("REPLACE-WITH-A-LONG-RANDOM-SECRET",),
        certificate=Path("/etc/farsite/turn/fullchain.pem"),
        key=Path("/etc/farsite/turn/privkey.pem"),
        user="turnserver",
    )
    text = render(described, version)
    if os.environ.get("FARSITE_UPDATE_GOLDEN"):
        example.write_text(text)
    assert example.read_text() == text


def lines(**more: object) -> list[str]:
    return render(settings(**more), (4, 6, 1)).splitlines()


def test_two_secrets_and_the_first_signs() -> None:
    both = settings(secrets=[SECRET, "fedcba9876543210"])
    assert render(both).count("static-auth-secret=") == 2
    username, credential = turn_credentials(SECRET, "s1", both.credential_ttl, 1000)
    [_, turn] = ice_servers(both, "s1", 1000)
    assert (turn.username, turn.credential) == (username, credential) == ("4600:s1", credential)


def test_credential_is_what_coturn_computes() -> None:
    # HMAC-SHA1 of "1700000600:session" under "north", by openssl dgst -sha1 -hmac north -binary | base64
    assert turn_credentials("north", "session", 600, 1_700_000_000) == (
        "1700000600:session",
        "nNM4QDiNGfKanPNgtXfXDriBryY=",
    )


def test_urls_name_every_open_listener() -> None:
    assert urls(settings(host="2a00:1450::5")) == [
        "stun:[2a00:1450::5]:3478",
        "turn:[2a00:1450::5]:3478?transport=udp",
        "turn:[2a00:1450::5]:3478?transport=tcp",
        "turns:[2a00:1450::5]:5349?transport=tcp",
        "turns:[2a00:1450::5]:443?transport=tcp",
    ]
    assert urls(settings(port=None, tls_port=None)) == ["turns:turn.example.org:443?transport=tcp"]


def test_further_relays_are_told_with_the_same_credentials() -> None:
    several = settings(ca="PEM", more_hosts=("turn2.example.com", "2001:db8::2"))
    servers = ice_servers(several, "s1", 0)
    turn = [server for server in servers if server.username is not None]
    assert [server.urls[0] for server in turn] == [
        f"turn:{several.host}:3478?transport=udp",
        "turn:turn2.example.com:3478?transport=udp",
        "turn:[2001:db8::2]:3478?transport=udp",
    ]
    assert len({(server.username, server.credential) for server in turn}) == 1
    assert [server.ca for server in turn] == ["PEM", None, None]  # ours is signed by an authority made here
    # While our own does not run, peers are told of the others alone.
    others = [url for server in ice_servers(several, "s1", 0, own=False) for url in server.urls]
    assert others
    assert not any(several.host in url for url in others)


def test_443_opens_on_every_listening_address() -> None:
    found = lines(listening_ips=["5.1.1.1", "2a00::1"])
    assert "aux-server=5.1.1.1:443" in found
    assert "aux-server=[2a00::1]:443" in found
    assert "tls-listening-port=443" in lines(tls_port=None)
    assert {"no-tls", "no-dtls"} <= set(lines(tls_port=None, alt_tls_port=None))


def test_behind_nat_sites_still_meet_at_the_private_address() -> None:
    found = lines(listening_ips=["10.0.0.5"], external_ip="5.1.1.1/10.0.0.5")
    assert {"external-ip=5.1.1.1/10.0.0.5", "allowed-peer-ip=10.0.0.5"} <= set(found)
    assert "allowed-peer-ip=10.0.0.5" in lines(listening_ips=["10.0.0.5"], external_ip="5.1.1.1")
    assert not any(line.startswith("allowed-peer-ip") for line in lines(listening_ips=["5.1.1.1"]))


def test_exceptions_are_written_as_ranges() -> None:
    assert "allowed-peer-ip=198.18.0.0-198.19.255.255" in lines(allowed_peers=["198.18.0.0/15"])
    assert parse_range("10.0.0.1 - 10.0.0.9") == "10.0.0.1-10.0.0.9"
    assert parse_range("fd00::1") == "fd00::1"
    for wrong in ("10.0.0.9-10.0.0.1", "10.0.0.1-::1", "10.0.0.1/8", "x"):
        with pytest.raises(ValueError):
            parse_range(wrong)


def test_newer_versions_get_no_option_they_dropped() -> None:
    dropped = {"no-cli", "no-rfc5780", "no-software-attribute", "no-tlsv1", "no-tlsv1_1"}
    assert dropped <= set(lines())
    assert not dropped & set(render(settings(), (4, 13, 1)).splitlines())


@pytest.mark.parametrize(
    "wrong",
    [
        {"secrets": ["short"]},
        {"secrets": ["0123456789abcdef\nno-auth"]},
        {"secrets": [SECRET] * 3},
        {"realm": "a\nno-auth"},
        {"realm": "a#b"},
        {"host": "a b"},
        {"user": "root\nno-auth"},
        {"data_dir": "/tmp/a\nb"},
        {"listening_ips": ["5.1.1.1\nno-auth"]},
        {"external_ip": "5.1.1.1/x"},
        {"external_ip": "5.1.1.1/10.0.0.5"},
        {"allowed_peers": ["10.0.0.0/8\nno-auth"]},
        {"port": 70000},
        {"min_port": 60000, "max_port": 50000},
        {"certificate": "/tmp/c.pem"},
        {"port": None, "tls_port": None, "alt_tls_port": None},
        {"unknown": 1},
    ],
)
def test_settings_that_cannot_be_written_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(settings())


def test_old_versions_come_with_advice() -> None:
    assert parse_version("Version Coturn-4.6.1 'Gorst'") == (4, 6, 1)
    assert parse_version("4.6") is None
    assert "CVE-2026-27624" in (advice((4, 6, 1)) or "")
    assert advice((4, 13, 1)) is None


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(turn_config, [*arguments], env={"FARSITE_TURN_SECRET": None})
    return result.exit_code, result.output


def test_command_writes_to_stdout() -> None:
    code, output = run("--host", "turn.example.org", "--secret", SECRET, "--coturn", "4.6.1")
    assert code == 0
    assert output == render(settings(), (4, 6, 1))


def test_command_writes_a_file_for_its_owner_only(tmp_path: Path) -> None:
    target = tmp_path / "turnserver.conf"
    code, output = run("--host", "t.example", "--secret", SECRET, "--port", "0", "-o", str(target), "--json")
    assert code == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    answer = json.loads(output)
    assert answer["config"] == target.read_text()
    assert answer["urls"][0] == "turns:t.example:5349?transport=tcp"


def test_command_reads_a_file_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "farsite.toml"
    file.write_text(f'[turn]\nhost = "file.example"\nsecrets = ["{SECRET}"]\nuser_quota = 5\n')
    code, output = run("--config", str(file), "--user-quota", "7")
    assert code == 0
    assert "user-quota=7" in output.splitlines()


def test_command_takes_lists_from_the_environment() -> None:
    environment = {"FARSITE_TURN_SECRET": SECRET, "FARSITE_TURN_LISTENING_IP": "5.1.1.1, 5.1.1.2"}
    result = CliRunner().invoke(turn_config, ["--host", "t.example"], env=environment)
    assert result.exit_code == 0
    assert {"listening-ip=5.1.1.1", "listening-ip=5.1.1.2"} <= set(result.output.splitlines())


def test_command_names_the_closest_setting(tmp_path: Path) -> None:
    file = tmp_path / "farsite.toml"
    file.write_text("[turn]\nlistening_ip = 'x'\n")
    code, output = run("--config", str(file))
    assert code == 1
    assert "setting_unknown" in output
    assert "'listening_ips'" in output


def test_command_says_what_is_wrong() -> None:
    assert run("--host", "t")[1] == "error: secrets is missing; give --secret. [setting_invalid]\n"
    code, output = run("--host", "t", "--secret", "short", "--json")
    assert code == 1
    assert json.loads(output.splitlines()[0])["code"] == "setting_invalid"
