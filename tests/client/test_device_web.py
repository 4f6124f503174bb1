"""What `open` and `forward` find out of a device before they listen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from farsite_client.cli.forwarding import _service
from farsite_client.device_web import check_stream, https_only
from farsite_client.session import RemoteSession
from farsite_client.testing import Site, memory_session, served
from farsite_signaling.wire.edge_api import Device, DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import DeviceTarget

ONE = "ACCC8E000001"


class _Refusing(Site):
    """Streams to the device only."""

    async def accept(self, tunnel, request):  # type: ignore[no-untyped-def]
        if isinstance(request.target, DeviceTarget) and self.refuse is not None:
            raise self.refuse
        self_refuse, self.refuse = self.refuse, None
        try:
            return await super().accept(tunnel, request)
        finally:
            self.refuse = self_refuse


@asynccontextmanager
async def _session(
    location: str = "", *, https: int | None = 443, refuse: FarsiteError | None = None
) -> AsyncIterator[RemoteSession]:
    async def device(request: web.Request) -> web.Response:
        state, address = DeviceState.REACHABLE, "10.0.0.2"
        found = Device(id=ONE, managed=True, state=state, address=address, https_port=https)
        return web.Response(text=found.model_dump_json(), content_type="application/json")

    async def page(request: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": location}) if location else web.Response()

    api, pages, site = web.Application(), web.Application(), _Refusing()
    api.router.add_get(f"/api/v1/devices/{ONE}", device)
    pages.router.add_get("/", page)
    site.refuse = refuse
    async with served(api) as site.api, served(pages) as site.device, memory_session(site) as (session, _):
        yield session


@pytest.mark.parametrize(
    ("location", "https", "expected"),
    [
        ("https://10.0.0.2/", 443, True),
        ("https://10.0.0.2/", None, False),
        ("/index.html", 443, False),
        ("", 443, False),
    ],
)
async def test_a_device_that_sends_to_https_is_opened_by_it(
    location: str, https: int | None, expected: bool
) -> None:
    """The browser followed it to the site's own address, which it cannot reach."""
    async with _session(location, https=https) as session:
        assert await https_only(session, ONE) is expected


async def test_one_without_http_is_opened_by_https() -> None:
    away = FarsiteError(ErrorCode.DEVICE_UNREACHABLE, "Port 80 is closed.")
    async with _session(refuse=away) as session:
        assert await https_only(session, ONE)
        await check_stream(session, ONE, "http")


async def test_what_every_connection_would_be_refused_is_said_at_once() -> None:
    """A viewer was given a port whose every connection failed."""
    async with _session(refuse=FarsiteError(ErrorCode.FORBIDDEN, "No right.")) as session:
        with pytest.raises(FarsiteError, match="No right"):
            await check_stream(session, ONE, "http")


async def test_an_older_edge_host_is_told_from_a_mistake() -> None:
    old = FarsiteError(ErrorCode.PROTOCOL_ERROR, "Open request not understood.")
    async with _session(refuse=old) as session:
        with pytest.raises(FarsiteError, match="Update it"):
            await check_stream(session, ONE, "rtsp")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Shop/ACCC8E000001", ("Shop/ACCC8E000001", "http")),
        ("Shop/ACCC8E000001:rtsp", ("Shop/ACCC8E000001", "rtsp")),
        ("Shop/ac:cc:8e:00:00:01", ("Shop/ac:cc:8e:00:00:01", "http")),
        ("Shop/ac:cc:8e:00:00:01:https", ("Shop/ac:cc:8e:00:00:01", "https")),
        ("Site: A/ACCC8E000001", ("Site: A/ACCC8E000001", "http")),
    ],
)
def test_the_service_comes_last(typed: str, meant: tuple[str, str]) -> None:
    assert _service(typed) == meant


def test_a_service_there_is_not_is_said() -> None:
    with pytest.raises(FarsiteError, match="http, https, rtsp"):
        _service("Shop/ACCC8E000001:ssh")
