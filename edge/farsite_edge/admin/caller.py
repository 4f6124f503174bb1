"""The other end: what `farsite edge …` asks a running edge host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from farsite_signaling.wire.admin import FILE, AdminAddress
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, Problem

Answer = TypeVar("Answer", bound=BaseModel)
TIMEOUT = 90.0


class NotRunning(FarsiteError):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            ErrorCode.UNAVAILABLE,
            f"No edge host runs with the data folder {folder}. Start it with 'farsite edge run'.",
        )


class AdminCaller:
    """Raises `NotRunning` when there is no edge host to ask, else the edge host's own errors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def call(
        self, method: str, path: str, answer: type[Answer], body: dict[str, Any] | None = None
    ) -> Answer:
        address = self._address()
        connector = aiohttp.UnixConnector(address.unix) if address.unix else aiohttp.TCPConnector()
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=timeout, headers=address.headers
                ) as session,
                session.request(method, f"{address.base}/api/v1{path}", json=body) as response,
            ):
                return _read(response.status, await response.read(), answer)
        except aiohttp.ClientConnectionError:
            raise NotRunning(self._folder) from None

    def _address(self) -> AdminAddress:
        try:
            return AdminAddress.model_validate_json((self._folder / FILE).read_bytes())
        except FileNotFoundError:
            raise NotRunning(self._folder) from None
        except OSError as error:
            raise FarsiteError(
                ErrorCode.STORAGE_FAILED,
                f"{self._folder} cannot be read: {error.strerror}. Run this as the user the edge host runs as.",
            ) from None
        except ValidationError:
            raise NotRunning(self._folder) from None


def _read(status: int, data: bytes, answer: type[Answer]) -> Answer:
    if status >= 400:
        raise FarsiteError.from_problem(Problem.model_validate_json(data))
    return answer.model_validate_json(data)
