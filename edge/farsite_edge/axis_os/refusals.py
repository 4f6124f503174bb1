"""Errors of `firmwaremanagement.cgi` in words; all of them come before anything is installed."""

from __future__ import annotations

from farsite_edge.axis_os.exchange import Broken, Event, Info, LoginRefused, Refused, Unreachable, Wrong

BUSY = 423
NONE_BEFORE = 404
_WORDS = {
    400: "The device did not understand the request.",
    404: "The device has no earlier version to go back to.",
    405: "This firmware does not know what was asked of it.",
    409: "The device takes an older version only with a factory default.",
    410: "Axis has revoked this version; choose a newer one.",
    412: "An earlier upgrade of the device is not committed yet. Commit it or roll it back first.",
    415: "The device says that the image is damaged or no AXIS OS image.",
    417: "This firmware speaks another version of the upgrade API.",
    421: "The image is not for this device.",
    422: "The signature of the image is missing or wrong.",
    423: "The device is busy with another upgrade.",
    424: "A custom firmware certificate is not known to the device.",
    500: "The device failed inside while it took the image.",
}


def explain(code: int, message: str) -> str:
    """A sentence, and the device's own words after it."""
    words = _WORDS.get(code, "The device refused.")
    return f"{words} (error {code}: {message[:200]})"


def said(event: Event) -> str:
    """What the device said, as a sentence; empty when it said nothing wrong."""
    match event:
        case Refused():
            return explain(event.code, event.message)
        case LoginRefused() | Unreachable() | Broken() | Wrong():
            return event.detail
        case Info():
            return f"It runs {event.version}."
        case _:
            return ""
