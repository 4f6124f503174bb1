"""What reached a TURN server from each network this machine was on: a site that blocks UDP is not made to wait twice.

A file of its own, shared by processes, owner-only, bounded, and dispensable: one that is damaged or cannot be written
costs the head starts it would have saved.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from farsite_signaling.peer.addresses import own_addresses
from farsite_signaling.peer.servers import RelayTransport

logger = logging.getLogger(__name__)

MAX_NETWORKS = 32
MAX_SIZE = 16 * 1024
KEPT = 7 * 86400.0
"""Seconds after which a network is a new one."""
_ROUTES = Path("/proc/net/route")


class Remembered(BaseModel):
    transport: RelayTransport
    at: float


class _File(BaseModel):
    networks: dict[str, Remembered] = Field(default_factory=dict)


class NetworkMemory:
    """`fingerprint` names the network this machine is on now; None: nothing is remembered."""

    def __init__(
        self,
        file: Path,
        *,
        fingerprint: Callable[[], str | None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._fingerprint = fingerprint or network_fingerprint
        self._clock = clock

    def recall(self) -> RelayTransport | None:
        """How a TURN server was reached last, when UDP did not get through."""
        network = self._fingerprint()
        found = self._load().get(network) if network is not None else None
        return found.transport if found is not None else None

    def blocked(self, transport: RelayTransport) -> None:
        """UDP got no answer here, and this way did."""
        if (network := self._fingerprint()) is not None:
            kept = self._load()
            kept[network] = Remembered(transport=transport, at=self._clock())
            self._save(kept)

    def open(self) -> None:
        """A TURN server answers over UDP here."""
        network = self._fingerprint()
        kept = self._load()
        if network is not None and kept.pop(network, None) is not None:
            self._save(kept)

    def _load(self) -> dict[str, Remembered]:
        try:
            with self._file.open("rb") as file:
                networks = _File.model_validate_json(file.read(MAX_SIZE)).networks
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            logger.info("%s is not used: %s", self._file, type(error).__name__)
            return {}
        oldest = self._clock() - KEPT
        return {network: found for network, found in networks.items() if found.at > oldest}

    def _save(self, networks: dict[str, Remembered]) -> None:
        newest = sorted(networks.items(), key=lambda item: item[1].at)[-MAX_NETWORKS:]
        try:
            _replace(self._file, _File(networks=dict(newest)).model_dump_json().encode())
        except OSError as error:
            logger.info("%s cannot be written: %s", self._file, error)


def _replace(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "wb") as target:
            target.write(data)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def network_fingerprint(
    addresses: Callable[[], Iterable[str]] = own_addresses, routes: Path = _ROUTES
) -> str | None:
    """Of own networks and default gateways, hashed: the file tells nobody where this machine has been."""
    try:
        networks = sorted({network for address in addresses() if (network := _network(address))})
    except (OSError, ValueError):
        return None
    if not networks:
        return None
    text = " ".join([*networks, *sorted(_gateways(routes))])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _network(address: str) -> str | None:
    """IPv4 as it is; of IPv6 the prefix, since the rest changes by itself."""
    ip = ipaddress.ip_address(address)
    if ip.is_loopback or ip.is_link_local:
        return None
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network(f"{ip}/64", strict=False))


def _gateways(routes: Path) -> Iterator[str]:
    """Linux tells; elsewhere the addresses have to do."""
    try:
        lines = routes.read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) > 2 and fields[1] == "00000000":
            yield fields[2]
