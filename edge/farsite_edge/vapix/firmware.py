"""`firmwaremanagement.cgi` (API id `fwmgr`, AXIS OS 7.40 and newer): upgrade, commit, rollback, restart."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from farsite_edge.vapix import json_api
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.text import clean

PATH = "/axis-cgi/firmwaremanagement.cgi"
UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class FirmwareStatus:
    """`inactive` is the version a rollback leads to (None: there is none; empty: unknown). `committed` is None when
    there is nothing to commit; `seconds_to_rollback` runs while an upgrade waits for its commit."""

    active: str
    inactive: str | None = None
    committed: bool | None = None
    seconds_to_rollback: int | None = None


class _Firmware(ApiRequest[None]):
    path = PATH
    content_type = json_api.JSON
    api_method: ClassVar[str]

    def params(self) -> dict[str, Any] | None:
        return None

    def body(self) -> bytes:
        return json_api.build(self.api_method, self.params())

    def parse(self, answer: Answer) -> None:
        json_api.parse(answer)


class GetFirmwareStatus(ApiRequest[FirmwareStatus]):
    path = PATH
    content_type = json_api.JSON

    def body(self) -> bytes:
        return json_api.build("status")

    def parse(self, answer: Answer) -> FirmwareStatus:
        data = json_api.parse(answer)
        active = clean(data.get("activeFirmwareVersion"), 64)
        if not active:
            raise bad_answer("a firmware status without the version that runs")
        inactive = clean(data.get("inactiveFirmwareVersion"), 64) or None
        committed = data.get("isCommited")  # the device's spelling
        return FirmwareStatus(
            active=active,
            inactive="" if inactive == UNKNOWN else inactive,
            committed=committed if isinstance(committed, bool) else None,
            seconds_to_rollback=_seconds(data.get("timeToRollback")),
        )


class CommitFirmware(_Firmware):
    """Keep the version that runs. Doing it twice does no harm."""

    api_method = "commit"


class RollbackFirmware(_Firmware):
    """Back to the version before and its settings; restarts. Error 404: there is none."""

    api_method = "rollback"


class PurgeFirmware(_Firmware):
    """Delete the version before. Error 412: the one that runs is not committed."""

    api_method = "purge"


class StopAutoRollback(_Firmware):
    """Stop the timer without committing."""

    api_method = "stopAuto"


class RebootDevice(_Firmware):
    api_method = "reboot"


class FactoryDefault(_Firmware):
    """`soft` keeps network settings, `hard` nothing; restarts."""

    api_method = "factoryDefault"

    def __init__(self, mode: str = "soft") -> None:
        self.mode = mode

    def params(self) -> dict[str, Any]:
        return {"factoryDefaultMode": self.mode}


class UpgradeFirmware(ApiRequest[str]):
    """Sends an image of `size` bytes; the answer is the version installed, the device then restarts.

    `blocks` is called once for each time the image is sent. `on_sent` is told how many bytes of it have left.
    """

    path = PATH

    def __init__(
        self,
        blocks: Callable[[], AsyncIterable[bytes]],
        size: int,
        *,
        auto_commit: str = "never",
        auto_rollback: str = "30",
        factory_default: str = "none",
        on_sent: Callable[[int], None] = lambda _sent: None,
    ) -> None:
        self._blocks = blocks
        self._size = size
        self._on_sent = on_sent
        boundary = f"farsite-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"  # type: ignore[misc]  # differs each time
        params = {
            "autoCommit": auto_commit,
            "autoRollback": auto_rollback,
            "factoryDefaultMode": factory_default,
        }
        self._head = _head(boundary, params)
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def length(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def stream(self) -> AsyncIterable[bytes]:
        return self._stream()

    async def _stream(self) -> AsyncIterator[bytes]:
        yield self._head
        sent = 0
        async for block in self._blocks():
            yield block
            sent += len(block)
            self._on_sent(sent)
        yield self._tail

    def parse(self, answer: Answer) -> str:
        version = clean(json_api.parse(answer).get("firmwareVersion"), 64)
        if not version:
            raise bad_answer("an upgrade answer without the version installed")
        return version


def _head(boundary: str, params: dict[str, str]) -> bytes:
    call = json.dumps({"apiVersion": "1.0", "method": "upgrade", "params": params})
    return (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="json"\r\n'
        "Content-Type: application/json\r\n\r\n"
        f"{call}\r\n"
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="image.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()


def _seconds(value: object) -> int | None:
    text = str(value)[:12]
    return int(text) if text.isascii() and text.isdigit() else None
