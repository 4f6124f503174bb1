"""`param.cgi`: a device's settings as `Group.Name=value` lines.

Names are given and returned without the leading `root.`. A masked value (`******`), a missing parameter and an
error line are three different things, and stay so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from farsite_edge.vapix.errors import Refused, bad_answer
from farsite_edge.vapix.request import FORM, KIB, Answer, ApiRequest, form
from farsite_edge.vapix.text import clean
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PATH = "/axis-cgi/param.cgi"
MAX_PARAMETERS = 20_000
MAX_VALUE = 8192
_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*")
_GROUP = re.compile(r"[A-Za-z0-9_\-*]+(\.[A-Za-z0-9_\-*]+)*")
_MASK = re.compile(r"\*{4,}")
_IN_GROUP = re.compile(r"in group '([^']*)'")


def is_masked(value: str) -> bool:
    """A secret the device does not show."""
    return _MASK.fullmatch(value) is not None


def short_name(name: str) -> str:
    return name.removeprefix("root.")


@dataclass(frozen=True)
class ParameterList:
    """`missing` are the groups the device has not, by its own error lines."""

    values: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


class ListParameters(ApiRequest[ParameterList]):
    """No group means everything: 600 to 1600 lines."""

    path = PATH
    method = "GET"
    limit = 2048 * KIB

    def __init__(self, groups: Sequence[str] = ()) -> None:
        for group in groups:
            check_group(group)
        self.groups = [f"root.{short_name(group)}" for group in groups]

    def query(self) -> dict[str, str]:
        groups = {"group": ",".join(self.groups)} if self.groups else {}
        return {"action": "list"} | groups

    def parse(self, answer: Answer) -> ParameterList:
        values: dict[str, str] = {}
        missing: list[str] = []
        for line in answer.text.split("\n")[:MAX_PARAMETERS]:
            _read_line(line.rstrip("\r"), values, missing)
        if not values and not missing and answer.body.strip():
            raise bad_answer("parameters in an unknown form")
        return ParameterList(values, tuple(missing))


def _read_line(line: str, values: dict[str, str], missing: list[str]) -> None:
    if line.startswith("#"):
        match = _IN_GROUP.search(line)
        missing.append(short_name(clean(match[1] if match else line)))
        return
    name, equals, value = line.partition("=")
    if equals and len(name) <= MAX_VALUE and _NAME.fullmatch(name):
        values[short_name(name)] = value[:MAX_VALUE]


class UpdateParameters(ApiRequest[None]):
    """Changes several parameters; the device does not do so in one transaction, so read them back."""

    path = PATH
    content_type = FORM

    def __init__(self, values: Mapping[str, str]) -> None:
        if not values:
            raise FarsiteError(ErrorCode.INVALID_REQUEST, "Name at least one parameter to change.")
        for name, value in values.items():
            _check(name, _NAME, "parameter name")
            _check_value(name, value)
        self.values = {f"root.{short_name(name)}": value for name, value in values.items()}

    def body(self) -> bytes:
        return form({"action": "update"} | self.values)

    def parse(self, answer: Answer) -> None:
        text = answer.text.strip()
        if text == "OK":
            return
        errors = [clean(line.lstrip("# ")) for line in text.splitlines()[:20] if line.startswith("#")]
        if not errors:
            raise bad_answer("neither OK nor an error for a change of parameters")
        raise Refused(
            f"The device refused the change: {'; '.join(errors)}. Read the values back: others may have changed."
        )


def check_group(group: str) -> None:
    """Raises `invalid_request`."""
    _check(group, _GROUP, "parameter group")


def _check(name: str, form: re.Pattern[str], what: str) -> None:
    if len(name) > 200 or not form.fullmatch(name):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{clean(name)!r} is not a {what}.")


def _check_value(name: str, value: str) -> None:
    if is_masked(value):
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST,
            f"{name}: {value} is the mask shown instead of a secret. Give the secret itself or leave it out.",
        )
    if len(value) > MAX_VALUE or "\n" in value or "\r" in value or "\0" in value:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, f"{name}: a value is one line of at most {MAX_VALUE} characters."
        )
