"""Tasks and AXIS OS of an edge host: `edge.tasks` and `edge.os` of an `EdgeClient`.

task = await edge.os.upgrade(["B8A44F673CF5"])
async for events in edge.tasks.follow(task.id):
    print(events.task.progress, events.task.state)
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from farsite_signaling.wire.edge_tasks import (
    OsImages,
    OsInventory,
    RetryRequest,
    RollbackRequest,
    Rollout,
    Task,
    TaskDetail,
    TaskEvents,
    TaskList,
    UpgradeRequest,
)
from farsite_signaling.wire.os_catalogue_api import DownloadRequest, OsCatalogue

ModelT = TypeVar("ModelT", bound=BaseModel)
WAIT = 20.0


class Ask(Protocol):
    async def __call__(
        self,
        method: str,
        path: str,
        model: type[ModelT],
        body: BaseModel | None = None,
        *,
        query: Any = None,
        headers: dict[str, str] | None = None,
    ) -> ModelT: ...


class TaskClient:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def page(self, cursor: str | None = None, limit: int = 50) -> TaskList:
        """Newest first."""
        query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return await self._ask("GET", "/tasks", TaskList, query=query)

    async def get(self, task: str) -> TaskDetail:
        """With its devices and the step log of each."""
        return await self._ask("GET", _task(task), TaskDetail)

    async def cancel(self, task: str) -> Task:
        return await self._ask("POST", f"{_task(task)}/cancel", Task)

    async def retry(self, task: str, devices: Iterable[str] = ()) -> Task:
        """A new task for what did not succeed."""
        request = RetryRequest(devices=list(devices))
        return await self._ask("POST", f"{_task(task)}/retry", Task, request, headers=_once())

    async def events(self, task: str, cursor: int = 0, wait: float = 0.0) -> TaskEvents:
        query = {"cursor": str(cursor), "wait": f"{wait:g}"}
        return await self._ask("GET", f"{_task(task)}/events", TaskEvents, query=query)

    async def follow(self, task: str, cursor: int = 0) -> AsyncGenerator[TaskEvents, None]:
        """What happens, until the task is finished."""
        while True:
            events = await self.events(task, cursor, WAIT)
            yield events
            if events.task.state.finished and events.cursor == cursor:
                return
            cursor = events.cursor

    async def wait(self, task: str) -> TaskDetail:
        """The finished task."""
        async for _ in self.follow(task):
            pass
        return await self.get(task)


class OsClient:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def inventory(self) -> OsInventory:
        return await self._ask("GET", "/os/inventory", OsInventory)

    async def images(self) -> OsImages:
        return await self._ask("GET", "/os/images", OsImages)

    async def catalogue(self, *, refresh: bool = False) -> OsCatalogue:
        """Images the edge host can download; `refresh`: as it is now."""
        if refresh:
            return await self._ask("POST", "/os/catalogue/refresh", OsCatalogue)
        return await self._ask("GET", "/os/catalogue", OsCatalogue)

    async def download(
        self, images: Iterable[str] = (), *, model: str | None = None, version: str | None = None
    ) -> Task:
        """Images by their id, or one of a model: a version, or its newest."""
        request = DownloadRequest(images=list(images), model=model, version=version)
        return await self._ask("POST", "/os/downloads", Task, request, headers=_once())

    async def upgrade(
        self,
        devices: Iterable[str],
        version: str | None = None,
        *,
        rollout: Rollout | None = None,
        factory_default: str = "none",
        direct: bool = False,
    ) -> Task:
        """To `version`, or each device to its recommended one."""
        values = {
            "ids": list(devices),
            "version": version,
            "factory_default": factory_default,
            "direct": direct,
            "rollout": rollout or Rollout(),
        }
        return await self._ask(
            "POST", "/os/upgrades", Task, UpgradeRequest.model_validate(values), headers=_once()
        )

    async def rollback(self, devices: Iterable[str], *, rollout: Rollout | None = None) -> Task:
        """To the version before."""
        request = RollbackRequest(ids=list(devices), rollout=rollout or Rollout())
        return await self._ask("POST", "/os/rollbacks", Task, request, headers=_once())


def _once() -> dict[str, str]:
    """Sent again after a broken connection, the request makes no second task."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def _task(task: str) -> str:
    return f"/tasks/{quote(task, safe='')}"
