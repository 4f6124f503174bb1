"""An order as it is stored."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.work import Order, Wanted


@dataclass
class OrderRecord:
    """`task` is the local task once there is one; without one an order that `ended` was refused, cancelled before it
    began, or had no device here.

    `steps_sent` and `devices_sent` tell how much of the task the cloud has, `closed` that it has all there will be, and
    `touched` counts what was done to the order here.
    """

    order: Order
    task: str | None = None
    ended: str | None = None
    code: str | None = None
    detail: str = ""
    revision: int = 0
    steps_sent: int = 0
    devices_sent: int = 0
    closed: bool = False
    touched: int = 0

    @property
    def id(self) -> str:
        return self.order.id

    @property
    def wanted(self) -> Wanted:
        return self.order.wanted

    def end(self, ended: str, error: FarsiteError | None = None, detail: str = "") -> None:
        self.ended = ended
        self.code = str(error.code) if error is not None else None
        self.detail = (error.detail if error is not None else detail)[:500]

    @classmethod
    def read(cls, row: sqlite3.Row) -> OrderRecord:
        return cls(
            Order.model_validate_json(row["claims"]),
            row["task"],
            row["ended"],
            row["code"],
            row["detail"],
            row["revision"],
            row["steps_sent"],
            row["devices_sent"],
            bool(row["closed"]),
            row["touched"],
        )
