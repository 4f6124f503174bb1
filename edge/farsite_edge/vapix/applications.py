"""`/axis-cgi/applications/…`: apps (ACAP) on a device. Needs an administrator."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from farsite_edge.vapix.errors import Refused, bad_answer
from farsite_edge.vapix.request import FORM, KIB, Answer, ApiRequest, form
from farsite_edge.vapix.text import clean
from farsite_signaling.wire.apps_api import AppStatus, DeviceApp

MAX_APPS = 200
LICENCE_PATH = "/axis-cgi/applications/license.cgi"
_ERROR = re.compile(r"Error:\s*([0-9]{1,4})", re.IGNORECASE)
_STATUS = {"running": AppStatus.RUNNING, "stopped": AppStatus.STOPPED, "idle": AppStatus.IDLE}
_UPLOAD = {
    1: "it says that this is no app package",
    2: "the signature of the package is missing or invalid, and the device takes signed ones only",
    3: "the package is too large for it, or its memory is full",
    5: "the package is not for this device or its AXIS OS",
    10: "it could not install it",
    12: "another installation is under way",
    13: "the user or group of the app is not allowed",
    14: "an app of the same name in other letters is installed",
    15: "it took too long",
    27: "the app installed is of another vendor",
    29: "the manifest of the package is wrong",
}
_CONTROL = {
    1: "the app cannot be controlled",
    4: "the app is not installed",
    8: "the app does not start",
    9: "too many apps run already",
    10: "it could not do it",
    15: "it took too long",
}
_LICENCE = {
    21: "it says that this is no licence key",
    22: "it could not take the key",
    23: "it could not remove the key",
    24: "the app is not installed",
    25: "the key is for another app",
    26: "the key is for another version of the app",
    30: "the key is for a device with another serial number",
    31: "the key has expired",
}
ALREADY = frozenset({6, 7})
"""It runs, or is stopped, as it should."""


class AppRefused(Refused):
    """`number` is the device's own."""

    def __init__(self, number: int, said: str) -> None:
        super().__init__(f"The device refuses: {said} (error {number}).")
        self.number = number


class ListApplications(ApiRequest[list[DeviceApp]]):
    path = "/axis-cgi/applications/list.cgi"
    method = "GET"
    limit = 1024 * KIB

    def parse(self, answer: Answer) -> list[DeviceApp]:
        try:
            root = fromstring(answer.body)
        except (ParseError, DefusedXmlException, ValueError):
            raise bad_answer("a list of apps that is not XML") from None
        if root.tag != "reply" or root.get("result") != "ok":
            raise Refused("The device does not list its apps.")
        return [_app(one) for one in root.findall("application")[:MAX_APPS] if one.get("Name")]


def _app(one: Element) -> DeviceApp:
    signed = one.get("SignatureStatus")
    return DeviceApp(
        name=clean(one.get("Name"), 64),
        title=clean(one.get("NiceName"), 100),
        vendor=clean(one.get("Vendor"), 100),
        version=clean(one.get("Version"), 64),
        status=_STATUS.get(clean(one.get("Status"), 16).lower(), AppStatus.UNKNOWN),
        license=clean(one.get("License"), 32),
        license_expires=clean(one.get("LicenseExpirationDate"), 32).strip("0"),
        bundled=clean(one.get("Bundled"), 8).lower() == "yes",
        signed=None if signed is None else clean(signed, 16).lower() == "signed",
    )


class ControlApplication(ApiRequest[None]):
    """`start`, `stop`, `restart`, `remove`. What is so already is no error."""

    path = "/axis-cgi/applications/control.cgi"
    content_type = FORM

    def __init__(self, action: str, package: str) -> None:
        self.fields = {"action": action, "package": package}

    def body(self) -> bytes:
        return form(self.fields)

    def parse(self, answer: Answer) -> None:
        number = _number(answer, "a change of an app")
        if number and number not in ALREADY:
            raise AppRefused(number, _CONTROL.get(number, "it does not say why"))


class UploadApplication(ApiRequest[None]):
    """Installs a package, or puts it in the place of the version before; answers when that is done (10 to 120 s)."""

    path = "/axis-cgi/applications/upload.cgi"

    def __init__(self, blocks: Callable[[], AsyncIterable[bytes]], size: int) -> None:
        self._blocks = blocks
        self._size = size
        boundary = f"farsite-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"  # type: ignore[misc]  # differs each time
        self._head = (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="packfil"; filename="package.eap"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def length(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def stream(self) -> AsyncIterable[bytes]:
        return self._stream()

    async def _stream(self) -> AsyncIterator[bytes]:
        yield self._head
        async for block in self._blocks():
            yield block
        yield self._tail

    def parse(self, answer: Answer) -> None:
        if number := _number(answer, "an installation"):
            raise AppRefused(number, _UPLOAD.get(number, "it does not say why"))


class UploadLicence(ApiRequest[None]):
    """Installs the licence key of an app: the file its vendor gave for this device."""

    path = LICENCE_PATH
    action = "uploadlicensekey"

    def __init__(self, package: str, key: bytes) -> None:
        self._package = package
        boundary = f"farsite-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"  # type: ignore[misc]  # differs each time
        head = (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="fileData"; filename="license.key"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._body = head.encode() + key + f"\r\n--{boundary}--\r\n".encode()

    def query(self) -> dict[str, str]:
        return {"action": self.action, "package": self._package}

    def body(self) -> bytes:
        return self._body

    def parse(self, answer: Answer) -> None:
        if number := _number(answer, "a licence key"):
            raise AppRefused(number, _LICENCE.get(number, "it does not say why"))


class RemoveLicence(ApiRequest[None]):
    path = LICENCE_PATH
    content_type = FORM

    def __init__(self, package: str) -> None:
        self._package = package

    def query(self) -> dict[str, str]:
        return {"action": "removelicensekey", "package": self._package}

    def body(self) -> bytes:
        return b""

    def parse(self, answer: Answer) -> None:
        if number := _number(answer, "the removal of a licence key"):
            raise AppRefused(number, _LICENCE.get(number, "it does not say why"))


def _number(answer: Answer, what: str) -> int:
    """0 when it was done."""
    text = answer.text[:4096].strip()
    if match := _ERROR.search(text):
        return int(match[1])
    if text.upper().startswith("OK"):
        return 0
    raise bad_answer(f"an unknown answer to {what}")
