"""What the parts of `CloudClient` have in common: asking and being answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from pydantic import BaseModel

ModelT = TypeVar("ModelT", bound=BaseModel)


class Calls(ABC):
    """The REST API's transport, as the features' methods use it."""

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
