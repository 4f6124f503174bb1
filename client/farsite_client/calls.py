"""What the parts of the cloud's client ask through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from farsite_signaling.wire.cloud_api import PageAnswer

ModelT = TypeVar("ModelT", bound=BaseModel)
PageT = TypeVar("PageT", bound=PageAnswer)
ItemT = TypeVar("ItemT")


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

    async def _each(
        self,
        path: str,
        model: type[PageT],
        rows: Callable[[PageT], Sequence[ItemT]],
        page_size: int,
        /,
        **query: str | None,
    ) -> AsyncIterator[ItemT]:
        """The rows of a list, fetched page by page as they are read; what is None is not asked for."""
        given = {name: value for name, value in query.items() if value is not None}
        given["limit"] = str(page_size)
        while True:
            page = await self._ask("GET", path, model, query=given)
            for row in rows(page):
                yield row
            if page.next_cursor is None:
                return
            given["cursor"] = page.next_cursor

    @abstractmethod
    def _download(self, path: str, query: dict[str, str] | None = None) -> AsyncIterator[bytes]: ...


def organization_path(organization: str) -> str:
    return f"/organizations/{quote(organization, safe='')}"


def query_of(model: BaseModel) -> dict[str, str]:
    """What was given, as a query string has it."""
    return {name: str(value) for name, value in model.model_dump(mode="json", exclude_none=True).items()}
