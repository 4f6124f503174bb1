"""How far the cloud is told; free of I/O."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Self

from pydantic import Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True)
class Cursor:
    """Numbers are the journal's. `acked`: the cloud has everything up to it; `sent`: it may have that much; `whole`: the
    journal's end when the epoch began, up to which a snapshot is sent; `told`: the cloud knows that it is complete.
    """

    epoch: str
    acked: int = Field(default=0, ge=0)
    sent: int = Field(default=0, ge=0)
    whole: int = Field(default=0, ge=0)
    told: bool = False

    @classmethod
    def anew(cls, head: int) -> Self:
        """Another numbering: everything there is will be sent."""
        return cls(epoch=uuid.uuid4().hex, whole=head)

    def sending(self, last: int) -> Cursor:
        return replace(self, sent=max(self.sent, last))

    def accepted(self, epoch: str, position: int, *, complete: bool) -> Cursor:
        """Answers to another epoch's delta, or to more than was sent, count for nothing."""
        if epoch != self.epoch or not self.acked <= position <= self.sent:
            return self
        return replace(self, acked=position, told=self.told or complete)

    def wanted(self, epoch: str | None, position: int, *, floor: int) -> Cursor | None:
        """Go on from where the cloud is. None when that cannot be: it is of another time than this journal, whose
        records of what is gone reach back to `floor` only; everything is sent anew then."""
        if epoch != self.epoch or not floor <= position <= self.sent:
            return None
        return replace(self, acked=position)
