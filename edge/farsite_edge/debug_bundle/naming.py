"""Other names for what tells of people and places: the same thing has the same name all over one bundle."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from typing import Any

_SECRET_FIELDS = ("pin", "shown_pin", "next_pin")
_NAMED = {"id": "device", "address": "address", "hostname": "host", **dict.fromkeys(_SECRET_FIELDS, "pin")}


class OtherNames:
    """Made with a key that is thrown away: nobody finds the serial number behind one by trying them all."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def of(self, kind: str, text: str) -> str:
        return f"{kind}-{hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:10]}"

    def of_devices(self, devices: Iterable[dict[str, Any]]) -> dict[str, str]:
        return {text: self.of(kind, text) for one in devices for kind, text in _texts(one)}

    def of_site(self, texts: Iterable[tuple[str, str | None]]) -> dict[str, str]:
        """Names of the edge host, its organization, its cloud."""
        return {text: self.of(kind, text) for kind, text in texts if text and len(text) > 2}


def _texts(device: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, kind in _NAMED.items():
        if isinstance(text := device.get(name), str) and text:
            yield kind, text
    for address in device.get("addresses") or []:
        yield "address", str(address)
    if isinstance(elsewhere := device.get("elsewhere"), dict) and elsewhere.get("address"):
        yield "address", str(elsewhere["address"])
    for tag in device.get("tags") or []:
        yield "tag", str(tag)
