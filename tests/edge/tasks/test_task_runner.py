"""Tasks in the database: leases, limits, thresholds, cancelling, retrying, coming back after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.store import Database
from farsite_edge.tasks import Outcome, TaskRecord, TaskRunner, TaskStore, Work, WorkRow
from farsite_edge.tasks.store import LeaseLost
from farsite_signaling.wire.edge_tasks import Rollout, Task, TaskState, UpdateWindow, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class Bench:
    """A job that waits to be let go, device by device; `fails` and `breaks` end otherwise."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.held: list[str] = []
        self.fails: set[str] = set()
        self.breaks: set[str] = set()
        self.most = self.running = 0
        self.go = asyncio.Event()
        self.changed = asyncio.Event()

    def hold(self, device: str) -> None:
        self.held.append(device)

    async def release(self, device: str) -> None:
        pass

    async def __call__(self, work: Work) -> Outcome:
        await work.checkpoint({"begun": len(self.begun)}, "begun")
        self.begun.append(work.device)
        self.running += 1
        self.most = max(self.most, self.running)
        self.changed.set()
        try:
            async with asyncio.TaskGroup() as group:
                waits = [group.create_task(one.wait()) for one in (self.go, work.cancelling)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for one in waits:
                    one.cancel()
        finally:
            self.running -= 1
        return self._end(work)

    def _end(self, work: Work) -> Outcome:
        if work.cancelling.is_set() and not self.go.is_set():
            return Outcome(WorkState.CANCELLED, "Cancelled.")
        if work.device in self.breaks:
            raise RuntimeError("a fault of ours")
        if work.device in self.fails:
            raise FarsiteError(ErrorCode.DEVICE_UNREACHABLE, "No answer.")
        return Outcome(WorkState.SUCCEEDED)

    async def begins(self, count: int) -> None:
        while len(self.begun) < count:
            self.changed.clear()
            await self.changed.wait()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "edge.db") as opened:
        yield opened


@asynccontextmanager
async def running(database: Database, job: Bench, **options: Any) -> AsyncIterator[TaskRunner]:
    async def done(_record: TaskRecord, _row: WorkRow) -> None:
        pass

    values: dict[str, Any] = {"parallel": 8, "zone": UTC, "work_done": done}
    runner = TaskRunner(TaskStore(database), {"bench": job}, **(values | options))
    await runner.load()
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(runner.run(), name="runner")
        try:
            yield runner
        finally:
            loop.cancel()


def made(task: str, devices: str, **rollout: Any) -> tuple[TaskRecord, list[WorkRow]]:
    record = TaskRecord(
        id=task,
        kind="bench",
        title="Bench",
        actor="ann",
        created_at=datetime.now(UTC),
        rollout=Rollout(**rollout),
    )
    return record, [WorkRow(task, number, device, {}) for number, device in enumerate(devices)]


async def finished(runner: TaskRunner, task: str) -> Task:
    async with asyncio.timeout(20):
        while not (shown := await runner.shown(task)).state.finished:
            await runner.changed(1)
    return shown


async def test_limits_of_the_task_and_of_the_edge_host(database: Database) -> None:
    job = Bench()
    async with running(database, job, parallel=3) as runner:
        await runner.submit(*made("one", "abcdef", parallel=2))
        await job.begins(2)
        await runner.submit(*made("two", "ghi", parallel=4))
        await job.begins(3)
        job.go.set()
        assert (await finished(runner, "one")).counts.succeeded == 6
        assert (await finished(runner, "two")).state is TaskState.SUCCEEDED
    assert job.most == 3


async def test_one_writer_for_each_device(database: Database) -> None:
    job = Bench()
    async with running(database, job) as runner:
        await runner.submit(*made("one", "a"))
        await job.begins(1)
        await runner.submit(*made("two", "ab"))
        await job.begins(2)
        assert job.begun == ["a", "b"]
        job.go.set()
        await finished(runner, "two")
    assert job.begun == ["a", "b", "a"]


async def test_it_stops_at_its_threshold(database: Database) -> None:
    job = Bench()
    job.fails, job.breaks = {"b"}, {"a"}
    job.go.set()
    async with running(database, job) as runner:
        await runner.submit(*made("one", "abcdef", parallel=1, max_failures=2, stages=[50, 100]))
        shown = await finished(runner, "one")
        assert (shown.state, shown.counts.failed, shown.counts.skipped) == (TaskState.FAILED, 2, 4)
        assert "2 devices failed" in shown.detail
        devices = {one.device: one for one in await runner.devices("one")}
        assert devices["a"].code == ErrorCode.INTERNAL and devices["b"].detail == "No answer."
        assert "limit" in devices["f"].detail
        # The rest may be tried again, and then all of it.
        job.fails = job.breaks = set()
        again = await runner.retry("one", [], "bob", None, None)
        assert (await finished(runner, again.id)).counts.succeeded == 6
        assert again.retry_of == "one"
        with pytest.raises(FarsiteError) as caught:
            await runner.retry(again.id, [], "bob", None, None)
        assert caught.value.code is ErrorCode.CONFLICT


async def test_cancelled(database: Database) -> None:
    job = Bench()
    async with running(database, job) as runner:
        await runner.submit(*made("one", "abcd", parallel=2))
        await job.begins(2)
        await runner.cancel("one")
        shown = await finished(runner, "one")
        assert (shown.state, shown.counts.cancelled) == (TaskState.CANCELLED, 4)
        with pytest.raises(FarsiteError) as caught:
            await runner.cancel("one")
        assert caught.value.code is ErrorCode.CONFLICT
        with pytest.raises(FarsiteError) as caught:
            await runner.cancel("none")
        assert caught.value.code is ErrorCode.NOT_FOUND
    assert job.begun == ["a", "b"]


async def test_it_goes_on_after_a_crash_and_ends_once(tmp_path: Path) -> None:
    job = Bench()
    async with Database(tmp_path / "edge.db") as database, running(database, job) as runner:
        await runner.submit(*made("one", "abc", parallel=2), "key")
        await job.begins(2)
        await database.close()
    other = Bench()
    other.go.set()
    async with Database(tmp_path / "edge.db") as database, running(database, other) as runner:
        assert {"a", "b"} <= set(other.held)
        assert (await finished(runner, "one")).counts.succeeded == 3
        steps = await runner.store.steps("one")
        assert sorted(step.device for step in steps if step.step == "succeeded") == ["a", "b", "c"]
        # Sent again after the crash, the request makes no second task.
        known = await runner.submit(*made("two", "abc"), "key")
        assert known.id == "one"
    assert sorted(other.begun) == ["a", "b", "c"]


async def test_who_lost_the_lease_writes_nothing(database: Database) -> None:
    old, new = TaskStore(database), TaskStore(database)
    record, rows = made("one", "a")
    await old.create(record, rows, None)
    assert await old.take(rows[:1]) == [True] and await new.take(rows[:1]) == [False]
    await new.open()
    assert await new.take(rows[:1]) == [True]
    with pytest.raises(LeaseLost):
        await old.checkpoint(rows[0], {}, "late", "")
    with pytest.raises(LeaseLost):
        await old.finish(rows[0], Outcome(WorkState.FAILED, "late"))
    await new.finish(rows[0], Outcome(WorkState.SUCCEEDED))
    with pytest.raises(LeaseLost):
        await new.finish(rows[0], Outcome(WorkState.FAILED, "twice"))
    assert (await new.rows("one"))[0].state is WorkState.SUCCEEDED


async def test_it_waits_for_its_window(database: Database) -> None:
    job, now = Bench(), datetime(2026, 11, 23, 12, tzinfo=UTC)
    job.go.set()
    clock = [now]
    window = UpdateWindow.model_validate({"start": "22:00", "end": "23:00"})
    async with running(database, job, now=lambda: clock[0]) as runner:
        await runner.submit(*made("one", "a", window=window))
        await runner.submit(*made("two", "b"))
        await finished(runner, "two")
        shown = await runner.shown("one")
        assert (shown.state, job.begun) == (TaskState.QUEUED, ["b"])
        assert "2026-11-23 22:00 UTC" in shown.detail
        clock[0] = now + timedelta(hours=10)
        await runner.submit(*made("three", "c"))
        assert (await finished(runner, "one")).state is TaskState.SUCCEEDED


async def test_a_full_disk_is_waited_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farsite_edge.tasks.runner.STORAGE_PAUSE", 0.01)
    job = Bench()
    job.go.set()
    async with running(database, job) as runner:
        finish, failures = runner.store.finish, [3]

        async def full(row: WorkRow, outcome: Outcome) -> None:
            if failures[0]:
                failures[0] -= 1
                raise FarsiteError(ErrorCode.DISK_FULL, "The disk is full.")
            await finish(row, outcome)

        monkeypatch.setattr(runner.store, "finish", full)
        await runner.submit(*made("one", "a"))
        assert (await finished(runner, "one")).state is TaskState.SUCCEEDED
    assert job.begun == ["a"]


async def test_an_unknown_kind_of_a_newer_version_fails_alone(database: Database) -> None:
    async with running(database, Bench()) as runner:
        record, rows = made("one", "a")
        await runner.submit(record.model_copy(update={"kind": "later"}), rows)
        shown = await finished(runner, "one")
        assert shown.state is TaskState.FAILED
        assert (await runner.devices("one"))[0].code == ErrorCode.UNAVAILABLE


async def test_what_has_just_ended_is_counted_once(database: Database) -> None:
    """A task is looked at while the end of a device is written down."""
    seen: list[float] = []

    async def done(record: TaskRecord, _row: WorkRow) -> None:
        seen.append((await runner.shown(record.id)).progress)

    class Telling(Bench):
        def _end(self, work: Work) -> Outcome:
            work.progress(1.0)
            return super()._end(work)

    job = Telling()
    job.go.set()
    async with running(database, job, work_done=done) as runner:
        await runner.submit(*made("t1", "ab", parallel=1))
        async with asyncio.timeout(10):
            while not (await runner.shown("t1")).state.finished:
                await runner.changed(5)
    assert seen == [0.5, 1.0]
