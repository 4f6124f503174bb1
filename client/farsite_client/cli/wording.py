"""Errors speak of the API's fields; whoever typed a command knows its options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.refusals import plain

# Where an option is not called as the field it fills.
_ALSO = {
    "folder_ids": ("folder", "folders"),
    "folder_id": ("folder",),
    "edge_hosts": ("edges", "edge"),
    "edge_host": ("site", "edge"),
    "organization_id": ("here", "organization"),
    "expires_in_days": ("days",),
    "expires_in_hours": ("expires",),
    "overlap_hours": ("overlap",),
    "offline_after_minutes": ("offline_after",),
    "invited_start_as_viewers": ("invited_as_viewers",),
    "risk_confirmed": ("aware",),
    "emails": ("emails",),
    "scopes": ("scope",),
}
_VALUES = " There are: "
_FIELD = re.compile(r"(?<![\w./-])[a-z]+(?:_[a-z]+)+(?:=true)?(?![\w/-])")


def in_options(error: FarsiteError, command: Any) -> FarsiteError:
    """The error with the options of `command` in its sentence where fields were; what is no option stays."""
    spelled = _spelled(command)
    said, there_are, values = error.detail.partition(_VALUES)
    # What can be chosen are values, even where one is called as a field is.
    detail = _FIELD.sub(lambda match: _option(match[0], spelled), said) + there_are + values
    for row in error.errors:
        field = str(row.get("field", ""))
        detail = detail.replace(f"({field})", f"({_option(field, spelled)})")
    error.detail = detail
    return error


def refused_values(error: Any) -> FarsiteError:
    """What a request's model (pydantic's `ValidationError`) refuses before anybody is asked."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    rows = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in problems]
    first = rows[0]
    message = plain(first["message"], first["field"])
    where = f" ({first['field']})" if first["field"] else ""
    return FarsiteError(ErrorCode.INVALID_REQUEST, f"{message}{where}.", errors=rows)


def _spelled(command: Any) -> dict[str, str]:
    """How each parameter of a command is typed."""
    return {parameter.name: _typed(parameter) for parameter in getattr(command, "params", ())}


def _typed(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return str(max(parameter.opts, key=len))


def _option(field: str, spelled: Mapping[str, str]) -> str:
    """`folder_ids.3` is about one of those that were given, `rollout.stages` about a part with an option of its own."""
    for part in reversed(field.removesuffix("=true").split(".")):
        for name in (part, *_ALSO.get(part, ())):
            if name in spelled:
                return spelled[name]
    return field
