"""Claiming over HTTPS where only a proxy leads out: squid with CONNECT, and SOCKS5."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from aiohttp.test_utils import TestServer

from farsite_edge import commands
from farsite_edge.core import EdgeCore
from farsite_edge.testing import test_settings
from farsite_signaling.wire.edge_api import ClaimRequest, EdgeState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from tests.edge.conftest import GOOD, SmallCloud
from tests.signaling.peer.conftest import squid  # noqa: F401
from tests.signaling.peer.test_signaling_network import SocksServer


@dataclass
class TlsCloud:
    cloud: SmallCloud
    ca: Path
    port: int


@pytest.fixture
async def tls_cloud(tmp_path: Path) -> AsyncIterator[TlsCloud]:
    authority, cloud = trustme.CA(), SmallCloud()
    ca = tmp_path / "cloud-ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "cloud.invalid").configure_cert(context)
    server = TestServer(cloud.app(), scheme="https")
    await server.start_server(ssl=context)
    assert server.port is not None
    cloud.url = f"https://localhost:{server.port}"
    yield TlsCloud(cloud, ca, server.port)
    await server.close()


async def claim(folder: Path, at: TlsCloud, url: str, proxy: str, ca: Path | None = None) -> EdgeState:
    body = {"cloud_url": url, "code": GOOD, "proxy_address": proxy}
    settings = test_settings(folder / "edge", cloud_ca=ca or at.ca)
    return (await commands.claim(settings, ClaimRequest.model_validate(body))).state


async def refused(folder: Path, at: TlsCloud, url: str, proxy: str, ca: Path | None = None) -> FarsiteError:
    with pytest.raises(FarsiteError) as caught:
        await claim(folder, at, url, proxy, ca)
    async with EdgeCore(test_settings(folder / "edge")) as core:
        assert core.keeper.claim is None
        assert await core.preferences.proxy_address() is None
    assert "canary" not in str(caught.value)
    assert at.cloud.claims == 0
    return caught.value


async def test_through_squid(squid: int, tls_cloud: TlsCloud, tmp_path: Path) -> None:  # noqa: F811
    proxy = f"http://edge:pass%20word@127.0.0.1:{squid}"
    assert await claim(tmp_path, tls_cloud, tls_cloud.cloud.url, proxy) is EdgeState.CLAIMED


@pytest.mark.parametrize("user", ["edge:canary@", ""])
async def test_squid_and_a_wrong_password(
    user: str,
    squid: int,  # noqa: F811
    tls_cloud: TlsCloud,
    tmp_path: Path,
) -> None:
    error = await refused(tmp_path, tls_cloud, tls_cloud.cloud.url, f"http://{user}127.0.0.1:{squid}")
    assert error.code is ErrorCode.PROXY_AUTHENTICATION
    assert "proxy address" in error.detail


async def test_squid_that_finds_no_cloud(squid: int, tls_cloud: TlsCloud, tmp_path: Path) -> None:  # noqa: F811
    proxy = f"http://edge:pass%20word@127.0.0.1:{squid}"
    error = await refused(tmp_path, tls_cloud, "https://127.0.0.1:1", proxy)
    assert error.code in (ErrorCode.PROXY_UNREACHABLE, ErrorCode.CLOUD_UNREACHABLE)


async def test_through_socks(tls_cloud: TlsCloud, tmp_path: Path) -> None:
    """The proxy resolves the name, and TLS is to the cloud, not to the proxy."""
    url = f"https://cloud.invalid:{tls_cloud.port}"
    async with SocksServer(("me", "right")) as socks:
        proxy = f"socks5://me:right@127.0.0.1:{socks.port}"
        assert await claim(tmp_path, tls_cloud, url, proxy) is EdgeState.CLAIMED
    assert set(socks.hosts) == {"cloud.invalid"}


async def test_socks_that_refuses(tls_cloud: TlsCloud, tmp_path: Path) -> None:
    url = f"https://cloud.invalid:{tls_cloud.port}"
    async with SocksServer(("me", "right")) as socks:
        error = await refused(tmp_path, tls_cloud, url, f"socks5://me:canary@127.0.0.1:{socks.port}")
        assert error.code is ErrorCode.PROXY_AUTHENTICATION
    error = await refused(tmp_path, tls_cloud, url, f"socks5://me:canary@127.0.0.1:{socks.port}")
    assert error.code is ErrorCode.PROXY_UNREACHABLE
    async with SocksServer(reply=5) as socks:
        error = await refused(tmp_path, tls_cloud, url, f"socks5://127.0.0.1:{socks.port}")
        assert error.code is ErrorCode.PROXY_UNREACHABLE


async def test_socks_and_a_certificate_nobody_trusts(tls_cloud: TlsCloud, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    async with SocksServer() as socks:
        proxy = f"socks5://127.0.0.1:{socks.port}"
        error = await refused(tmp_path, tls_cloud, f"https://cloud.invalid:{tls_cloud.port}", proxy, other)
    assert error.code is ErrorCode.CERTIFICATE_INVALID
