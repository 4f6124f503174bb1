"""What an edit that came too late is told: which of the things it wanted to change are different now, and how."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_LONGEST = 200
_MOST_IN_A_SENTENCE = 6


def tell_changes(wanted: BaseModel | None, current: BaseModel) -> FarsiteError:
    """`precondition_failed` whose `errors` name the fields of the edit that differ, with their `current` values.

    Who wants to remove it (`wanted` None) is told everything, as it is now: only they know what they had read.
    """
    errors = changes(wanted, current) if wanted is not None else _everything(current)
    now = ", ".join(f"{error['field']} {error['message']}" for error in errors[:_MOST_IN_A_SENTENCE])
    what = (
        f"Somebody changed it after you read it: {now}." if now else "Somebody changed it after you read it."
    )
    detail = f"{what} Read it again, then repeat your change."
    return FarsiteError(ErrorCode.PRECONDITION_FAILED, detail, errors=errors)


def changes(wanted: BaseModel, current: BaseModel) -> list[dict[str, Any]]:
    asked = wanted.model_dump(mode="json", exclude_unset=True)
    there = current.model_dump(mode="json")
    return [
        {"field": name, "message": f"is now {_shown(there[name])}", "current": there[name]}
        for name in asked
        if name in there and there[name] != asked[name]
    ]


def _everything(current: BaseModel) -> list[dict[str, Any]]:
    return [
        {"field": name, "message": f"is now {_shown(value)}", "current": value}
        for name, value in current.model_dump(mode="json").items()
    ]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
