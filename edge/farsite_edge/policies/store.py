"""Policies in the database. What was read once is kept in memory; writes go through."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pydantic import ValidationError

from farsite_edge.policies.record import DeviceRow, PolicyRecord, Result
from farsite_edge.store import Database
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_POLICIES = 500
logger = logging.getLogger(__name__)


class PolicyStore:
    """Every method that writes raises `FarsiteError` (`disk_full`, `storage_failed`) and then has changed nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._policies: dict[str, PolicyRecord] = {}
        self._rows: dict[str, dict[str, DeviceRow]] = {}  # by policy, by device

    async def load(self) -> None:
        for row in await self._database.fetch("SELECT id, record FROM policies ORDER BY seq"):
            try:
                self._policies[row["id"]] = PolicyRecord.model_validate_json(row["record"])
            except ValidationError:
                logger.error("the stored policy %s cannot be read and is left out", row["id"])
        for row in await self._database.fetch("SELECT policy, device, result FROM policy_devices"):
            if row["policy"] in self._policies:
                self._rows_of(row["policy"])[row["device"]] = _row(
                    row["policy"], row["device"], row["result"]
                )

    # Policies

    def all(self) -> list[PolicyRecord]:
        """The oldest first."""
        return list(self._policies.values())

    def find(self, policy: str) -> PolicyRecord | None:
        return self._policies.get(policy)

    def get(self, policy: str) -> PolicyRecord:
        """Raises `not_found`."""
        record = self._policies.get(policy)
        if record is None:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no policy {policy[:64]} on this edge host.")
        return record

    def of_template(self, template: str) -> PolicyRecord | None:
        return next((one for one in self._policies.values() if one.template == template), None)

    async def was_made(self, idempotency: str) -> bool:
        sql = "SELECT 1 FROM policies WHERE idempotency = ?"
        return bool(await self._database.fetch(sql, (idempotency,)))

    async def create(self, record: PolicyRecord, idempotency: str | None) -> PolicyRecord:
        """With an idempotency key used before, the policy made then. Raises `conflict` for one too many."""
        async with self._database.transaction() as transaction:
            if idempotency is not None:
                sql = "SELECT record FROM policies WHERE idempotency = ?"
                if known := await transaction.fetch(sql, (idempotency,)):
                    return PolicyRecord.model_validate_json(known[0]["record"])
            if len(self._policies) >= MAX_POLICIES:
                raise FarsiteError(
                    ErrorCode.CONFLICT,
                    f"There are {MAX_POLICIES} policies already. Delete one you do not need.",
                )
            sql = "INSERT INTO policies (id, idempotency, record) VALUES (?, ?, ?)"
            await transaction.execute(sql, (record.id, idempotency, record.model_dump_json()))
        self._policies[record.id] = record
        return record

    async def change(self, record: PolicyRecord) -> None:
        sql = "UPDATE policies SET record = ? WHERE id = ?"
        await self._database.execute(sql, (record.model_dump_json(), record.id))
        self._policies[record.id] = record

    async def delete(self, policy: str) -> None:
        async with self._database.transaction() as transaction:
            await transaction.execute("DELETE FROM policy_devices WHERE policy = ?", (policy,))
            await transaction.execute("DELETE FROM policies WHERE id = ?", (policy,))
        self._policies.pop(policy, None)
        self._rows.pop(policy, None)

    # Devices

    def devices(self, policy: str) -> list[DeviceRow]:
        """By serial number."""
        return sorted(self._rows_of(policy).values(), key=lambda row: row.device)

    def row(self, policy: str, device: str) -> DeviceRow | None:
        return self._rows.get(policy, {}).get(device)

    def of_device(self, device: str) -> list[DeviceRow]:
        return [rows[device] for rows in self._rows.values() if device in rows]

    def of_kind(self, kind: str, device: str) -> PolicyRecord | None:
        """The policy of a kind a device has."""
        for row in self.of_device(device):
            if self._policies[row.policy].kind == kind:
                return self._policies[row.policy]
        return None

    async def assign(
        self, policy: str, devices: Iterable[str], leave: Iterable[tuple[str, str]] = ()
    ) -> None:
        """`leave` are (policy, device) to be removed in the same moment."""
        gone, new = list(leave), [one for one in devices if one not in self._rows_of(policy)]
        rows = [DeviceRow(policy=policy, device=device) for device in new]
        async with self._database.transaction() as transaction:
            await transaction.execute_many("DELETE FROM policy_devices WHERE policy = ? AND device = ?", gone)
            sql = "INSERT INTO policy_devices (policy, device, result) VALUES (?, ?, ?)"
            values = [(row.policy, row.device, row.result.model_dump_json()) for row in rows]
            await transaction.execute_many(sql, values)
        for left, device in gone:
            self._rows_of(left).pop(device, None)
        self._rows_of(policy).update({row.device: row for row in rows})

    async def unassign(self, policy: str, devices: Iterable[str]) -> None:
        await self.assign(policy, (), [(policy, device) for device in devices])

    async def keep(self, policy: str, device: str, result: Result) -> None:
        """Unless the device has left the policy meanwhile."""
        row = self.row(policy, device)
        if row is None:
            return
        sql = "UPDATE policy_devices SET result = ? WHERE policy = ? AND device = ?"
        await self._database.execute(sql, (result.model_dump_json(), policy, device))
        if self.row(policy, device) is row:
            self._rows[policy][device] = row.model_copy(update={"result": result})

    def _rows_of(self, policy: str) -> dict[str, DeviceRow]:
        return self._rows.setdefault(policy, {})


def _row(policy: str, device: str, text: str) -> DeviceRow:
    try:
        return DeviceRow(policy=policy, device=device, result=Result.model_validate_json(text))
    except ValidationError:
        return DeviceRow(policy=policy, device=device)  # it is looked at again
