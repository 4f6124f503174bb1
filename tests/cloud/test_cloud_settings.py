from __future__ import annotations

import socket

import pytest

from farsite_cloud.relay import turn_settings
from farsite_cloud.settings import CloudSettings, load_settings
from farsite_cloud.testing import run_cloud
from farsite_cloud.turn.config import render
from farsite_cloud.urls import public_urls
from farsite_signaling.wire.errors import FarsiteError


def _refusal(*args, **kwargs) -> FarsiteError:
    with pytest.raises(FarsiteError) as caught:
        load_settings(*args, **kwargs)
    return caught.value


def test_flags_win_over_the_environment_over_the_file_over_defaults(tmp_path):
    file = tmp_path / "cloud.toml"
    file.write_text('port = 1\norganization = "File"\nowner_email = "file@example.com"\n')
    environ = {"FARSITE_PORT": "2", "FARSITE_ORGANIZATION": "Environment"}
    settings = load_settings({"port": 3, "bind": None}, file=file, environ=environ)
    assert (settings.port, settings.organization, settings.owner_email, settings.turn) == (
        3,
        "Environment",
        "file@example.com",
        "auto",
    )


def test_every_setting_can_be_given_by_the_environment():
    values = {"FARSITE_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1", "FARSITE_TURN_ALLOW_LOOPBACK": "true"}
    settings = load_settings(environ=values | {"FARSITE_OWNER_PASSWORD": "canary"})
    assert settings.trusted_proxies == ["10.0.0.0/8", "192.0.2.1/32"]
    assert settings.turn_allow_loopback
    assert "canary" not in repr(settings)
    assert settings.owner_password.get_secret_value() == "canary"


def test_unknown_settings_are_errors_that_name_the_closest(tmp_path):
    error = _refusal(environ={"FARSITE_PUBLIC_ULR": "x"})
    assert error.code == "setting_unknown"
    assert "FARSITE_PUBLIC_URL" in error.detail
    file = tmp_path / "cloud.toml"
    file.write_text('organisation = "x"')
    error = _refusal(file=file, environ={})
    assert error.code == "setting_unknown"
    assert "'organization'" in error.detail
    assert str(file) in error.detail
    assert _refusal({"prot": 1}, environ={}).code == "setting_unknown"


def test_the_other_commands_variables_are_left_alone():
    load_settings(environ={"FARSITE_EDGE_NAME": "x", "FARSITE_CLIENT_HOME": "y", "FARSITE_TURN_REALM": "z"})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"port": 70000}, "port"),
        ({"turn": "maybe"}, "turn"),
        ({"owner_email": "nobody"}, "not an e-mail address"),
        ({"tls_certificate": "/x"}, "tls_certificate and tls_key go together"),
        ({"turn": "external"}, "turn_host and turn_secret"),
        ({"trusted_proxies": "everyone"}, "trusted_proxies"),
    ],
)
def test_bad_values_say_which_setting(given, told):
    error = _refusal(given, environ={})
    assert error.code == "setting_invalid"
    assert told in error.detail


def test_a_missing_or_broken_file_is_told(tmp_path):
    assert "There is no settings file" in _refusal(file=tmp_path / "none.toml", environ={}).detail
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 1")
    assert str(broken) in _refusal(file=broken, environ={}).detail


def test_without_tls_the_default_is_this_machine_alone():
    plain = CloudSettings()
    assert (plain.listen_address, plain.listen_port) == ("127.0.0.1", 8080)
    tls = CloudSettings(tls_certificate="c", tls_key="k")
    assert (tls.listen_address, tls.listen_port) == ("0.0.0.0", 443)


def test_public_addresses():
    given = public_urls("https://cloud.example.com/", bind="127.0.0.1", port=1, tls=False)
    assert (given.api, given.hub) == ("https://cloud.example.com", "wss://cloud.example.com/hub")
    assert (
        public_urls("https://a.example:8443/x", bind="", port=1, tls=False).origin == "https://a.example:8443"
    )
    assert public_urls(None, bind="::1", port=8080, tls=True).api == "https://[::1]:8080"
    anywhere = public_urls(None, bind="0.0.0.0", port=80, tls=False)
    assert "0.0.0.0" not in anywhere.api
    for bad in ("cloud.example.com", "ftp://x", "https://u:p@x", "https://x?y", "https://x:99999"):
        with pytest.raises(FarsiteError, match="public_url"):
            public_urls(bad, bind="127.0.0.1", port=1, tls=False)


async def _starting(*args, **settings) -> FarsiteError:
    with pytest.raises(FarsiteError) as caught:
        async with run_cloud(*args, **settings):
            pass
    return caught.value


async def test_a_taken_port_is_named_and_nothing_is_written(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = await _starting(tmp_path / "data", port=port)
    assert error.code == "port_taken"
    assert f"Port {port}" in error.detail and "--port" in error.detail
    assert not (tmp_path / "data").exists()


async def test_an_address_of_another_machine_is_told():
    error = await _starting(bind="192.0.2.1")
    assert error.code == "setting_invalid"
    assert "192.0.2.1" in error.detail


async def test_an_unusable_data_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    error = await _starting(tmp_path / "file")
    assert error.code == "storage_failed"
    assert "--data-dir" in error.detail


async def test_a_database_that_is_none_is_told(tmp_path):
    (tmp_path / "farsite.db").write_bytes(b"not a database" * 100)
    error = await _starting(tmp_path)
    assert error.code == "storage_failed"
    assert "damaged" in error.detail and "backup" in error.detail


async def test_unreadable_tls_files_are_told(tmp_path):
    missing = await _starting(tls_certificate=tmp_path / "c", tls_key=tmp_path / "k")
    assert (missing.code, "Cannot read" in missing.detail) == ("setting_invalid", True)
    (tmp_path / "c").write_text("x")
    (tmp_path / "k").write_text("x")
    assert (await _starting(tls_certificate=tmp_path / "c", tls_key=tmp_path / "k")).code == "setting_invalid"


def test_the_relay_gets_all_its_settings(tmp_path):
    given = {
        "data_dir": tmp_path,
        "turn_secret": "a" * 20,
        "turn_secret_previous": "b" * 20,
        "turn_user_quota": 3,
        "turn_total_quota": 30,
        "turn_max_bps": 100_000,
        "turn_credential_ttl": 600,
        "turn_user": "nobody",
    }
    urls = public_urls("http://cloud.example.com", bind="", port=1, tls=False)
    turn = turn_settings(load_settings(given, environ={}), urls)
    assert turn.secrets == ("a" * 20, "b" * 20)
    assert (turn.user_quota, turn.total_quota, turn.max_bps) == (3, 30, 100_000)
    assert (turn.credential_ttl, turn.user) == (600, "nobody")
    rendered = render(turn)
    for line in ("user-quota=3", "total-quota=30", "max-bps=100000", f"static-auth-secret={'b' * 20}"):
        assert line in rendered
    with pytest.raises(FarsiteError) as caught:
        turn_settings(load_settings(given | {"turn_secret_previous": "short"}, environ={}), urls)
    assert caught.value.code == "setting_invalid" and "short" not in caught.value.detail
    assert load_settings({}, environ={"FARSITE_TURN_USER": "nobody"}).turn_user == "nobody"
