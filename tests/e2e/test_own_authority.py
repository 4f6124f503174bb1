"""HTTPS and WSS under an authority of one's own, from sign-in to the session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from farsite_client.cloud import CloudClient
from farsite_client.profile import Profile
from farsite_client.session import connect
from farsite_cloud.testing import RunningCloud, run_cloud
from farsite_edge.testing import run_edge
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

from .conftest import EDGE_NAME, sign_in


@dataclass
class Secured:
    cloud: RunningCloud
    ca_file: Path


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    ca, chain, key = (tmp_path / name for name in ("ca.pem", "chain.pem", "key.pem"))
    authority.cert_pem.write_to_path(str(ca))
    leaf.cert_chain_pems[0].write_to_path(str(chain))
    leaf.private_key_pem.write_to_path(str(key))
    async with run_cloud(bind="127.0.0.1", tls_certificate=chain, tls_key=key) as cloud:
        assert cloud.url.startswith("https://") and cloud.hub_url.startswith("wss://")
        yield Secured(cloud, ca)


async def test_an_unknown_authority_is_named_with_what_to_do(secured: Secured) -> None:
    async with CloudClient(secured.cloud.url) as cloud:
        with pytest.raises(FarsiteError, match="--ca-file") as refused:
            await cloud.sign_in(secured.cloud.owner_email, secured.cloud.owner_password)
    assert refused.value.code == ErrorCode.CERTIFICATE_INVALID


async def test_a_session_under_an_authority_of_ones_own(secured: Secured, tmp_path: Path) -> None:
    profile = await sign_in(secured.cloud, tmp_path / "client", ca_file=str(secured.ca_file))
    async with run_edge(cloud_ca=secured.ca_file) as edge:
        async with profile.cloud() as cloud:
            code = await cloud.setup_code(profile.load().organization_id, EDGE_NAME)
        await edge.claim(secured.cloud.url, code.code)
        await edge.wait_for("cloud_online")
        # The file named at sign-in is remembered: nothing is said about it again.
        async with connect(Profile(profile.home), EDGE_NAME) as session:
            assert (await session.edge.status()).name == EDGE_NAME
