"""Certificates of a device by the REST API `cert` (v1 on AXIS OS 11.11 and newer, a beta of it from 11.6 on).

Source: developer.axis.com, certificate management of the Device Configuration APIs.
"""

from __future__ import annotations

import json

from farsite_edge.vapix.device_config import CallConfig, GetConfig, PatchConfig
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.json_api import JSON
from farsite_edge.vapix.request import KIB, Answer
from farsite_edge.vapix.text import clean

MAX_CERTIFICATES = 200
MAX_PEM = 64 * KIB


class ListCertificates(GetConfig):
    """PEM by alias."""

    def __init__(self, root: str) -> None:
        super().__init__(f"{root}/certificates")

    def parse(self, answer: Answer) -> dict[str, str]:
        listed = super().parse(answer)
        entries = listed[:MAX_CERTIFICATES] if isinstance(listed, list) else []
        found = {
            clean(one.get("alias"), 200): _pem(one.get("certificate"))
            for one in entries
            if isinstance(one, dict)
        }
        return {alias: pem for alias, pem in found.items() if alias}


def _pem(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= MAX_PEM else ""


class CreateCertificate(CallConfig):
    """A new key on the device, with a certificate it signs itself."""

    def __init__(self, root: str, alias: str, subject: str, names: list[str]) -> None:
        data = {"alias": alias, "subject": subject, "subject_alt_names": names, "key_type": "EC-P256"}
        super().__init__(f"{root}/create_certificate", data)


class GetRequest(CallConfig):
    """The request for a key, PEM."""

    def __init__(self, root: str, alias: str) -> None:
        super().__init__(f"{root}/certificates/{alias}/get_csr", {})

    def parse(self, answer: Answer) -> str:
        pem = _pem(super().parse(answer))
        if "CERTIFICATE REQUEST" not in pem:
            raise bad_answer("a certificate request that is none")
        return pem


class InstallCertificate(PatchConfig):
    """The signed certificate of a key that is on the device."""

    def __init__(self, root: str, alias: str, pem: str) -> None:
        super().__init__(f"{root}/certificates/{alias}", {"certificate": pem})


class DeleteCertificate(GetConfig):
    """With its key."""

    method = "DELETE"
    content_type = JSON

    def __init__(self, root: str, alias: str) -> None:
        super().__init__(f"{root}/certificates/{alias}")

    def body(self) -> bytes:
        return json.dumps({}).encode()
