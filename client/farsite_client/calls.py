"""What the parts of the cloud's client ask through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel

ModelT = TypeVar("ModelT", bound=BaseModel)


class CloudCalls(ABC):
    """`CloudClient` answers these; features are classes on top of it."""

    token: str | None

    @abstractmethod
    async def _ask(
        self,
        method: str,
        path: str,
        model: type[ModelT],
        body: BaseModel | None = None,
        *,
        query: dict[str, str] | None = None,
    ) -> ModelT: ...

    @abstractmethod
    async def _send(
        self, method: str, path: str, body: BaseModel | None = None, query: dict[str, str] | None = None
    ) -> bytes: ...

    @abstractmethod
    def _download(self, path: str, query: dict[str, str] | None = None) -> AsyncIterator[bytes]: ...


def organization_path(organization: str) -> str:
    return f"/organizations/{quote(organization, safe='')}"


def query_of(model: BaseModel) -> dict[str, str]:
    """What was given, as a query string has it."""
    return {name: str(value) for name, value in model.model_dump(mode="json", exclude_none=True).items()}
