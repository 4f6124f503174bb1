"""What devices are sorted and searched by; free of I/O."""

from __future__ import annotations

import ipaddress
import re

from farsite_signaling.wire.inventory import DeviceFacts
from farsite_signaling.wire.os_versions import parse

_DIGITS = re.compile(r"[0-9]{1,12}")


def name_key(name: str) -> str:
    """Upper and lower case alike, numbers by their size: `cam 9` before `Cam 10`. Of at most 200 bytes: it is indexed."""
    return cut(_DIGITS.sub(lambda found: found[0].zfill(6), name.casefold()), 200)


def version_key(version: str) -> str:
    return ".".join(f"{number:09d}" for number in parse(version)[:8])


def address_key(address: str) -> str:
    """IPv4 before IPv6 before what is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return cut(f"9 {address}", 100)
    return f"{parsed.version} {parsed.packed.hex()}"


def search_text(facts: DeviceFacts) -> str:
    """Of at most 400 bytes: it is indexed."""
    parts = (
        facts.serial,
        facts.name,
        facts.hostname,
        facts.model,
        facts.address,
        *facts.addresses,
    )
    return cut(" ".join(dict.fromkeys(part.casefold() for part in parts if part)), 400)


def cut(text: str, most: int) -> str:
    """So many bytes at most, whole letters."""
    return text.encode()[:most].decode(errors="ignore")
