"""The two ways to certificates of devices: the REST API `cert`, and SOAP on firmware before it (AXIS OS 7.x to 11.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from farsite_edge.vapix.certificates import (
    CreateCertificate,
    DeleteCertificate,
    GetRequest,
    InstallCertificate,
    ListCertificates,
)
from farsite_edge.vapix.errors import Refused
from farsite_edge.vapix.soap_certificates import (
    DeleteStored,
    GetRequestFor,
    ListStored,
    LoadSigned,
    LoadWithKey,
    MakeKey,
)
from farsite_signaling.identity.certificates import load_certificate

SOAP = "soap"
"""In place of a REST API's root."""
CARRIER = timedelta(days=30)
"""How long the certificate is good that only carries a new key."""
Sign = Callable[[str], Awaitable[str]]
"""A request (PEM) becomes a certificate (PEM)."""


class Way(Protocol):
    """`client` is a `DeviceClient`. All raise its errors."""

    async def stored(self, client: Any) -> dict[str, str]:
        """PEM by alias, of certificates with a key."""
        ...

    async def request(self, client: Any, alias: str, name: str, now: datetime) -> str:
        """Of the key under the alias, which is made first if it is not there."""
        ...

    async def install(self, client: Any, alias: str, signed: str, sign: Sign) -> None:
        """Afterwards it is stored under the alias, or one that begins with it."""
        ...

    async def delete(self, client: Any, alias: str) -> None: ...


def way_of(root: str) -> Way:
    return SoapWay() if root == SOAP else RestWay(root)


class RestWay:
    def __init__(self, root: str) -> None:
        self._root = root

    async def stored(self, client: Any) -> dict[str, str]:
        found: dict[str, str] = await client.send(ListCertificates(self._root))
        return found

    async def request(self, client: Any, alias: str, name: str, now: datetime) -> str:
        if alias not in await self.stored(client):
            await client.send(CreateCertificate(self._root, alias, f"CN={name}", [f"DNS:{name}.local"]))
        return str(await client.send(GetRequest(self._root, alias)))

    async def install(self, client: Any, alias: str, signed: str, sign: Sign) -> None:
        await client.send(InstallCertificate(self._root, alias, signed))

    async def delete(self, client: Any, alias: str) -> None:
        await client.send(DeleteCertificate(self._root, alias))


class SoapWay:
    """Whether a signed certificate takes the place of the one that carries its key, or stands beside it under an id of
    its own, is not documented: the one is tried after the other. A device that takes neither gets certificate and key
    together, over HTTPS; the key is made for it here and kept nowhere."""

    async def stored(self, client: Any) -> dict[str, str]:
        found: dict[str, str] = await client.send(ListStored())
        return found

    async def request(self, client: Any, alias: str, name: str, now: datetime) -> str:
        if alias not in await self.stored(client):
            await client.send(MakeKey(alias, name, now - timedelta(days=1), now + CARRIER))
        return str(await client.send(GetRequestFor(alias, name)))

    async def install(self, client: Any, alias: str, signed: str, sign: Sign) -> None:
        der = _der(signed)
        for name in (alias, f"{alias}-s"):
            try:
                await client.send(LoadSigned(name, der))
            except Refused as error:
                refused = error
                continue
            if await self._has(client, name, der):
                return
            refused = Refused("The device took the certificate and does not have it.")
        await self._with_key(client, f"{alias}-k", sign, refused)

    async def _has(self, client: Any, alias: str, der: bytes) -> bool:
        pem = (await self.stored(client)).get(alias, "")
        return bool(pem) and _der(pem) == der

    async def _with_key(self, client: Any, alias: str, sign: Sign, refused: Refused) -> None:
        if not client.secure:
            raise Refused(f"{refused.detail} Its key is sent to a device over HTTPS only.")
        key = await asyncio.to_thread(rsa.generate_private_key, public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, alias)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        signed = await sign(csr.public_bytes(Encoding.PEM).decode())
        private = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        await client.send(LoadWithKey(alias, _der(signed), private))

    async def delete(self, client: Any, alias: str) -> None:
        await client.send(DeleteStored(alias))


def _der(pem: str) -> bytes:
    return load_certificate(pem).public_bytes(Encoding.DER)
