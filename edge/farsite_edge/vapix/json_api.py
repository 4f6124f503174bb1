"""The envelope of the JSON CGIs: `{"apiVersion", "method", "params"}` and `{"data"}` or `{"error"}` back."""

from __future__ import annotations

import json
from typing import Any

from farsite_edge.vapix.errors import ApiError, bad_answer
from farsite_edge.vapix.request import Answer
from farsite_edge.vapix.text import clean

JSON = "application/json"


def build(method: str, params: dict[str, Any] | None = None, version: str = "1.0") -> bytes:
    envelope: dict[str, Any] = {"apiVersion": version, "method": method}
    if params is not None:
        envelope["params"] = params
    return json.dumps(envelope).encode()


def parse(answer: Answer) -> dict[str, Any]:
    """The `data` object. Answers may leave out `method` and `context` and name a higher `apiVersion`.

    Raises `ApiError` for `{"error": …}`, `device_answer` for what is not such an envelope.
    """
    envelope = _object(answer)
    error = envelope.get("error")
    if error is not None:
        raise _error(error)
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise bad_answer("a JSON answer without data")
    return data


def _object(answer: Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.text)
    except (ValueError, RecursionError):
        raise bad_answer("an answer that is not JSON") from None
    if not isinstance(value, dict):
        raise bad_answer("a JSON answer that is not an object")
    return value


def _error(error: object) -> ApiError:
    if not isinstance(error, dict):
        return ApiError(0, clean(str(error)[:100]) or "unknown")
    return ApiError(_code(error.get("code")), clean(error.get("message")).rstrip(".") or "no message")


def _code(value: object) -> int:
    """Numbers come as numbers or as text."""
    text = str(value)[:10]
    return int(text) if text.isascii() and text.isdigit() else 0
