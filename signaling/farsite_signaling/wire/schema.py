"""What messages are made from: answers may grow fields, requests may not have unknown ones.

Their validators are built when they are first used: a command needs few of those that it imports.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Tag = Annotated[str, Field(description="for `If-Match` of an edit: what one of it alone has as `ETag`")]
"""Of each in a list of what is edited."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
