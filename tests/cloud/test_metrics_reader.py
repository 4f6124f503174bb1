"""Who may read `/metrics`."""

from __future__ import annotations

import pytest

from farsite_cloud.api.metrics_reader import check_reader
from farsite_cloud.settings import is_loopback, load_settings
from farsite_cloud.testing import run_cloud
from farsite_signaling.wire.errors import FarsiteError

TOKEN = "a long enough token"


def answer(headers: dict[str, str] | None = None, **settings: object) -> str:
    """`read`, or the code of the refusal."""
    try:
        check_reader(load_settings(settings, environ={}), headers or {})
    except FarsiteError as error:
        return str(error.code)
    return "read"


@pytest.mark.parametrize(
    ("settings", "headers", "expected"),
    [
        ({}, {}, "read"),
        ({"bind": "::1"}, {}, "read"),
        ({"bind": "localhost", "public_url": "http://localhost:8080"}, {}, "read"),
        ({"bind": "0.0.0.0"}, {}, "forbidden"),
        ({"bind": "::"}, {}, "forbidden"),
        ({"bind": "cloud.example.com"}, {}, "forbidden"),
        ({"tls_certificate": "c.pem", "tls_key": "k.pem"}, {}, "forbidden"),
        ({"public_url": "https://cloud.example.com"}, {}, "forbidden"),
        ({"trusted_proxies": "127.0.0.1"}, {}, "forbidden"),
        ({}, {"X-Forwarded-For": "192.0.2.1"}, "forbidden"),
        ({}, {"Forwarded": "for=192.0.2.1"}, "forbidden"),
        ({}, {"Authorization": f"Bearer {TOKEN}"}, "read"),
    ],
)
def test_without_a_token_it_is_for_programs_of_a_machine_that_serves_nobody_else(settings, headers, expected):
    assert answer(headers, **settings) == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (f"Bearer {TOKEN}", "read"),
        (f"bearer {TOKEN}", "read"),
        (None, "unauthenticated"),
        ("", "unauthenticated"),
        ("Bearer", "unauthenticated"),
        ("Bearer wrong", "unauthenticated"),
        (f"Basic {TOKEN}", "unauthenticated"),
        ("Bearer \udcff", "unauthenticated"),
    ],
)
@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0"])
def test_with_a_token_it_is_for_whoever_shows_it(bind, shown, expected):
    headers = {} if shown is None else {"Authorization": shown}
    assert answer(headers, bind=bind, metrics_token=TOKEN) == expected


def test_a_token_that_can_be_guessed_is_refused():
    with pytest.raises(FarsiteError) as refused:
        load_settings(environ={"FARSITE_METRICS_TOKEN": "short"})
    assert refused.value.code == "setting_invalid" and "FARSITE_METRICS_TOKEN" in refused.value.detail


@pytest.mark.parametrize(
    ("address", "expected"),
    [(None, True), ("127.8.8.8", True), ("http://[::1]:8080", True), ("", False), ("10.0.0.1", False)],
)
def test_what_is_this_machine_alone(address, expected):
    assert is_loopback(address) is expected


async def test_it_is_asked_for_over_http(world):
    async with run_cloud(metrics_token=TOKEN) as running:
        url = f"{running.url}/metrics"
        async with world.http.get(url) as refused:
            assert (refused.status, refused.content_type) == (401, "application/problem+json")
            assert TOKEN not in await refused.text()
        async with world.http.get(url, headers={"Authorization": f"Bearer {TOKEN}"}) as shown:
            assert shown.status == 200 and "farsite_request_seconds" in await shown.text()
