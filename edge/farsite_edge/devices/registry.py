"""All devices the edge host knows, by serial number."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from farsite_edge.devices.record import MAX_ADDRESSES, DeviceRecord, Found, Sighting, short
from farsite_edge.store import Database
from farsite_edge.store.failures import StorageProblem
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_DISCOVERED = 30_000
SEEN = (
    "state",
    "last_error",
    "last_seen",
    "model",
    "product",
    "device_type",
    "version",
    "hostname",
    "setup_required",
)
logger = logging.getLogger(__name__)


class Registry:
    """In memory, written through. `on_change` is called when there are more or fewer devices, `on_write` after
    whatever was written."""

    def __init__(self, database: Database, on_change: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._records: dict[str, DeviceRecord] = {}
        self.unkept: set[str] = set()
        self.on_change = on_change
        self.on_write: Callable[[], None] = lambda: None

    async def load(self) -> None:
        for row in await self._database.fetch("SELECT id, record FROM devices"):
            try:
                self._records[row["id"]] = DeviceRecord.model_validate_json(row["record"])
            except ValidationError:
                logger.error("the stored device %s cannot be read and is left out", row["id"])

    def get(self, device: str) -> DeviceRecord:
        """Raises `device_unknown`."""
        record = self._records.get(device)
        if record is None:
            raise FarsiteError(ErrorCode.DEVICE_UNKNOWN, f"There is no device {device} on this edge host.")
        return record

    def knows(self, device: str) -> bool:
        return device in self._records

    def managed(self, device: str) -> DeviceRecord:
        """Raises `device_unknown` for one that is not managed."""
        record = self.get(device)
        if not record.managed:
            raise FarsiteError(
                ErrorCode.DEVICE_UNKNOWN,
                f"The device {device} is not managed; add it to the edge host first.",
            )
        return record

    def all(self, *, managed: bool | None = None) -> list[DeviceRecord]:
        """By serial number."""
        chosen = (one for one in self._records.values() if managed is None or one.managed == managed)
        return sorted(chosen, key=lambda record: record.id)

    def count(self, *, managed: bool) -> int:
        return sum(record.managed == managed for record in self._records.values())

    def count_others(self) -> int:
        """Managed devices of other makers."""
        return sum(record.managed and record.other_make for record in self._records.values())

    async def found(self, answers: Iterable[Found]) -> list[DeviceRecord]:
        """Merge discovery answers; returns the devices they are of."""
        merged: dict[str, DeviceRecord] = {}
        for answer in answers:
            known = merged.get(answer.serial) or self._records.get(answer.serial)
            record = self._merge(known, answer)
            if record is not None:
                merged[record.id] = record
        await self._write([one for one in merged.values() if self._worth_writing(one)])
        self._records.update(merged)
        return [self._records[device] for device in merged]

    async def update(self, device: str, **values: Any) -> DeviceRecord:
        """Change fields; writes only when something lasting changed."""
        old = self.get(device)
        new = old.model_copy(update=values)
        if old.state != new.state:
            logger.info("device %s: %s -> %s", device, old.state, new.state)
        if _changed(old, new):
            await self._keep(old, new)
        self._records[device] = new
        return new

    async def _keep(self, old: DeviceRecord, new: DeviceRecord) -> None:
        """What is only seen of a device is shown, and kept later, when it cannot be kept now."""
        try:
            await self._write([new])
        except StorageProblem:
            if not _only_seen(old, new):
                raise
            self.unkept.add(new.id)

    async def keep_waiting(self) -> None:
        """Storage is usable again."""
        waiting = set(self.unkept)
        await self._write([self._records[device] for device in sorted(waiting) if device in self._records])
        self.unkept -= waiting

    async def manage(self, device: str) -> DeviceRecord:
        """Discovered -> managed. Adding a managed device again changes nothing."""
        record = self.get(device)
        if record.managed:
            return record
        state = DeviceState.SETUP_REQUIRED if record.setup_required else DeviceState.CREDENTIALS_REQUIRED
        record = await self.update(device, managed=True, state=state, last_error=None)
        self.on_change()
        return record

    async def release(self, device: str) -> DeviceRecord:
        """Managed -> discovered; the pin is forgotten with it."""
        self.managed(device)
        values = {"managed": False, "state": DeviceState.DISCOVERED, "log_in": False, "pin": None}
        forgotten = {
            "shown_pin": None,
            "elsewhere": None,
            "service_account": False,
            "password_changed_at": None,
        }
        record = await self.update(device, **values, **forgotten, last_error=None)
        self.on_change()
        return record

    def _merge(self, known: DeviceRecord | None, answer: Found) -> DeviceRecord | None:
        now = datetime.now(UTC)
        if known is None:
            if len(self._records) >= MAX_DISCOVERED:
                logger.warning("more than %d devices: %s is left out", MAX_DISCOVERED, short(answer.serial))
                return None
            self.on_change()
            try:
                known = DeviceRecord(id=answer.serial, address=answer.address, first_seen=now)
            except ValidationError:
                return None
        values: dict[str, Any] = dict(_texts(known, answer))
        if not known.managed or answer.address == known.address:
            values["last_seen"] = now
        values["found_by"] = sorted({*known.found_by, *_ways(answer.by)})
        values["addresses"] = _addresses(known, answer)
        if not known.managed:
            # A managed device's address is followed only after its serial number is verified there.
            values |= {"address": _better(known, answer.address)}
            moved = values["address"] != known.address
            values |= _ports(None if moved else known, answer)
            if answer.setup_required is not None:
                values["setup_required"] = answer.setup_required
        elif known.https_port is None and answer.address == known.address:
            # Found out later than it was added: from now on with TLS.
            values["https_port"] = answer.https_port
        if known.managed:
            values["elsewhere"] = _elsewhere(known, answer)
        return known.model_copy(update=values)

    def _worth_writing(self, record: DeviceRecord) -> bool:
        old = self._records.get(record.id)
        return old is None or _changed(old, record)

    async def _write(self, records: list[DeviceRecord]) -> None:
        if not records:
            return
        rows = [(record.id, int(record.managed), record.model_dump_json()) for record in records]
        sql = "INSERT OR REPLACE INTO devices VALUES (?, ?, ?)"
        await self._database.write(lambda connection: connection.executemany(sql, rows))
        self.on_write()


def _changed(old: DeviceRecord, new: DeviceRecord) -> bool:
    """In anything that lasts."""
    return old.model_copy(update={"last_seen": new.last_seen}) != new


def _only_seen(old: DeviceRecord, new: DeviceRecord) -> bool:
    return old.model_copy(update={name: getattr(new, name) for name in SEEN}) == new


def _texts(known: DeviceRecord, answer: Found) -> dict[str, str]:
    names = ("model", "product", "device_type", "version", "brand")
    told = {name: short(getattr(answer, name)) for name in names}
    if not known.managed:
        return {name: told[name] or getattr(known, name) for name in names}
    # Anyone may say its serial number: what is known of a managed device stays, but a version it says where it is.
    if answer.address != known.address or "http" not in _ways(answer.by):
        return {}
    kept = {name: getattr(known, name) or told[name] for name in names}
    return kept | {"version": told["version"] or known.version}


def _ways(by: object) -> list[str]:
    if isinstance(by, str):
        return [short(by)]
    return [short(way) for way in by] if isinstance(by, Iterable) else []


def _ports(known: DeviceRecord | None, answer: Found) -> dict[str, int | None]:
    """Ports belong to an address: a way to look that does not tell one of them says nothing against it."""
    http = answer.http_port or (known.http_port if known and known.first_seen else None) or 80
    return {"http_port": http, "https_port": answer.https_port or (known.https_port if known else None)}


def _addresses(known: DeviceRecord, answer: Found) -> list[str]:
    told = getattr(answer, "addresses", ())
    every = list(dict.fromkeys([*known.addresses, *told, answer.address]))
    routable = [address for address in every if not _link_local(address)]
    return (routable or every)[-MAX_ADDRESSES:]


def _elsewhere(known: DeviceRecord, answer: Found) -> Sighting | None:
    """What was asked there and said this serial number; announcements name any address."""
    if answer.address == known.address or "http" not in _ways(answer.by) or _link_local(answer.address):
        return known.elsewhere
    before = known.elsewhere if known.elsewhere and known.elsewhere.address == answer.address else None
    return Sighting(
        address=answer.address,
        http_port=answer.http_port or (before.http_port if before else 80),
        https_port=answer.https_port or (before.https_port if before else None),
    )


def _better(known: DeviceRecord, address: str) -> str:
    """A routable address rather than a link-local one (RFC 3927, RFC 4291)."""
    return known.address if _link_local(address) and known.address != address else address


def _link_local(address: str) -> bool:
    return address.startswith("169.254.") or address.lower().startswith("fe80:")
