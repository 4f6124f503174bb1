"""Settings: precedence, unknown names, effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from farsite_edge.settings import EdgeSettings, load_settings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


def test_flag_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('name = "file"\nhttps_port = 1\npoll_interval = 7\n')
    environ = {"FARSITE_EDGE_NAME": "environment", "FARSITE_EDGE_HTTPS_PORT": "2", "PATH": "/"}
    settings = load_settings({"name": "flag", "http_port": None}, file=file, environ=environ)
    assert (settings.name, settings.https_port, settings.poll_interval) == ("flag", 2, 7)
    assert settings.http_port == 37080


def test_lists_from_the_environment() -> None:
    environ = {"FARSITE_EDGE_BIND": "127.0.0.1, ::1", "FARSITE_EDGE_DISCOVERY_PORTS": "80,8080"}
    settings = load_settings(environ=environ)
    assert settings.bind == ["127.0.0.1", "::1"]
    assert settings.discovery_ports == [80, 8080]


@pytest.mark.parametrize("where", ["environment", "file", "flag"])
def test_an_unknown_setting_names_the_nearest(where: str, tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text("http_prt = 1\n" if where == "file" else "")
    environ = {"FARSITE_EDGE_HTTP_PRT": "1"} if where == "environment" else {}
    flags = {"http_prt": 1} if where == "flag" else {}
    with pytest.raises(FarsiteError) as caught:
        load_settings(flags, file=file, environ=environ)
    assert caught.value.code is ErrorCode.SETTING_UNKNOWN
    assert "http_port" in caught.value.detail.lower()


@pytest.mark.parametrize(("name", "value"), [("http_port", "99999"), ("poll_interval", "never")])
def test_an_unusable_value_is_named(name: str, value: str) -> None:
    with pytest.raises(FarsiteError) as caught:
        load_settings(environ={f"FARSITE_EDGE_{name.upper()}": value})
    assert caught.value.code is ErrorCode.SETTING_INVALID
    assert name in caught.value.detail


def test_the_proxy_password_is_not_shown() -> None:
    settings = load_settings(environ={"FARSITE_EDGE_PROXY_ADDRESS": "http://a:canary@h:1"})
    assert isinstance(settings, EdgeSettings)
    assert "canary" not in repr(settings)
