"""What groups of API calls are written on: `CloudClient` is made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from pydantic import BaseModel

ModelT = TypeVar("ModelT", bound=BaseModel)


class Calls(ABC):
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
