"""A TLS certificate that is renewed while the cloud runs is the one that is shown, without a start anew."""

from __future__ import annotations

import asyncio
import ssl

import trustme

from farsite_cloud import cloud as cloud_module
from farsite_cloud.testing import run_cloud


def _write(folder, leaf, key=None) -> None:
    (folder / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (folder / "key.pem").write_bytes((key or leaf).private_key_pem.bytes())


async def _shown(port: int, authority) -> bytes:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return shown


def _der(leaf) -> bytes:
    return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())


async def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cloud_module, "CERTIFICATE_SECONDS", 0)
    authority = trustme.CA()
    first, second, third = (authority.issue_cert("localhost") for _ in range(3))
    _write(tmp_path, first)
    files = {"tls_certificate": tmp_path / "chain.pem", "tls_key": tmp_path / "key.pem"}
    async with run_cloud(bind="127.0.0.1", **files) as running, asyncio.timeout(60):
        port = running.cloud.port
        assert await _shown(port, authority) == _der(first)
        _write(tmp_path, second)
        while await _shown(port, authority) != _der(second):
            await running.cloud.services.sweeper.wake()
            await asyncio.sleep(0.01)
        # A new certificate beside the key of another one.
        _write(tmp_path, third, key=first)
        while "the former goes on" not in caplog.text:
            await running.cloud.services.sweeper.wake()
            await asyncio.sleep(0.01)
        assert await _shown(port, authority) == _der(second)
        _write(tmp_path, third)
        while await _shown(port, authority) != _der(third):
            await running.cloud.services.sweeper.wake()
            await asyncio.sleep(0.01)
