"""What processes of one cloud say to one another over Redis' channels. JSON; unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from farsite_signaling.wire.hub import Bye


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Alive(_Frozen):
    """To all, every other second: still there, and `version` is what there is to know."""

    kind: Literal["alive"] = "alive"
    process: str
    version: int


class Changed(_Frozen):
    """To all: a peer came (`since`: ms of Redis' clock) or left."""

    kind: Literal["changed"] = "changed"
    process: str
    version: int
    name: str
    since: int | None = None


class Left(_Frozen):
    """To all: this process ends; its peers were sent away."""

    kind: Literal["left"] = "left"
    process: str


class Deliver(_Frozen):
    """To one: a hub message for a peer of yours."""

    kind: Literal["deliver"] = "deliver"
    id: str
    sender: str
    name: str
    text: str


class Dismiss(_Frozen):
    """To one: send a peer of yours away."""

    kind: Literal["dismiss"] = "dismiss"
    id: str
    sender: str
    name: str
    bye: Bye


class Forget(_Frozen):
    """To one: what you remember of who may do what is no longer so."""

    kind: Literal["forget"] = "forget"
    id: str
    sender: str


class Done(_Frozen):
    """To one: whether what it asked for was done."""

    kind: Literal["done"] = "done"
    id: str
    ok: bool


Message = Alive | Changed | Left | Deliver | Dismiss | Forget | Done
ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])
