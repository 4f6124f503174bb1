"""`systemready.cgi` (AXIS OS 9.50 and newer): is the device up, does it need a first account, has it restarted."""

from __future__ import annotations

from dataclasses import dataclass

from farsite_edge.vapix import json_api
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.text import clean


@dataclass(frozen=True)
class SystemReady:
    """`uptime` and `preview` are seconds. A changed `boot_id` means a restart (11.11 and newer tell it). Not `told`: the
    firmware cannot say any of this (before 9.50)."""

    ready: bool
    setup_required: bool
    uptime: int | None = None
    boot_id: str | None = None
    preview: int | None = None
    passphrase_policy: str | None = None
    told: bool = True


class GetSystemReady(ApiRequest[SystemReady]):
    """Needs no account. `wait` is how many seconds the device may hold the answer until it is ready."""

    path = "/axis-cgi/systemready.cgi"
    content_type = json_api.JSON
    anonymous = True

    def __init__(self, wait: int = 0) -> None:
        self.wait = wait

    def body(self) -> bytes:
        return json_api.build("systemready", {"timeout": self.wait})

    def parse(self, answer: Answer) -> SystemReady:
        data = json_api.parse(answer)
        if "systemready" not in data:
            raise bad_answer("a readiness answer without its state")
        return SystemReady(
            ready=_yes(data.get("systemready")),
            setup_required=_yes(data.get("needsetup")),
            uptime=_seconds(data.get("uptime")),
            boot_id=clean(data.get("bootid"), 64) or None,
            preview=_seconds(data.get("previewmode")),
            passphrase_policy=clean(data.get("passphrasepolicy"), 32) or None,
        )


def _yes(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "yes")


def _seconds(value: object) -> int | None:
    """Sent as text."""
    text = str(value)[:12]
    return int(text) if text.isascii() and text.isdigit() else None
