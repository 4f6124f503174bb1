"""`farsite tasks EDGE list|show|cancel|retry`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from farsite_client.cli.devices import Edge
from farsite_client.cli.following import SHORT, follow
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import ago
from farsite_client.cli.reach import Lan, reach
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.edge_tasks import Task, TaskDetail, TaskState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

tasks = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    cls=Listing,
    help="Tasks of an edge host: list, show, cancel, retry.",
)
T = TypeVar("T")
One = Annotated[str, typer.Argument(metavar="TASK", help="Its id, or the beginning of it.")]
WaitFlag = Annotated[
    bool, typer.Option("--wait", help="Stay until it is finished; exit code 1 unless it succeeds.")
]
COLUMNS = ("ID", "TASK", "STATE", "DEVICES", "FAILED", "SKIPPED", "STARTED", "DETAIL")


@tasks.callback()
def group(ctx: typer.Context, edge: Edge) -> None:
    """Tasks of an edge host: list, show, cancel, retry."""
    ctx.ensure_object(dict)["edge"] = edge


def on(invocation: Invocation, edge: str, lan: str | None, act: Callable[[EdgeClient], Awaitable[T]]) -> T:
    async def work() -> T:
        async with reach(invocation, edge, lan) as client:
            return await act(client)

    return invocation.run(work())


@tasks.command("list")
def list_(ctx: typer.Context, lan: Lan = None) -> None:
    """Ongoing and completed tasks, newest first."""
    invocation = Invocation(ctx)
    page = on(invocation, ctx.obj["edge"], lan, lambda client: client.tasks.page())
    rows = [task_row(task) for task in page.tasks]
    invocation.output.table(page.tasks, COLUMNS, rows, "No tasks yet.")


def task_row(task: Task) -> tuple[object, ...]:
    counts = task.counts
    done = f"{counts.succeeded}/{counts.total}"
    started = ago(task.started_at) if task.started_at else "-"
    return (
        task.id[:SHORT],
        task.title,
        task.state,
        done,
        counts.failed,
        counts.skipped,
        started,
        task.detail,
    )


@tasks.command("show")
def show(
    ctx: typer.Context,
    task: One,
    wait: WaitFlag = False,
    steps: Annotated[bool, typer.Option("--steps", help="The step log of every device.")] = False,
    lan: Lan = None,
) -> None:
    """What became of each device, and why."""
    invocation = Invocation(ctx)

    async def act(client: EdgeClient) -> TaskDetail:
        found = await find(client, task)
        return await follow(client.tasks, found, invocation.output) if wait else await client.tasks.get(found)

    detail = on(invocation, ctx.obj["edge"], lan, act)
    report(invocation, detail, steps=steps)
    if wait:
        leave(detail)


@tasks.command("cancel")
def cancel(ctx: typer.Context, task: One, wait: WaitFlag = False, lan: Lan = None) -> None:
    """Cancel a task: devices at work stop where that is safe, the others are left alone."""
    invocation = Invocation(ctx)

    async def act(client: EdgeClient) -> Task:
        found = await find(client, task)
        cancelled = await client.tasks.cancel(found)
        return await follow(client.tasks, found, invocation.output) if wait else cancelled

    shown = on(invocation, ctx.obj["edge"], lan, act)
    invocation.output.table(shown, COLUMNS, [task_row(shown)], "")


@tasks.command("retry")
def retry(
    ctx: typer.Context,
    task: One,
    devices: Annotated[
        list[str] | None, typer.Argument(metavar="DEVICE...", help="Serial numbers; all that failed without.")
    ] = None,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Try again, as a new task, what failed, was cancelled or was left out."""
    invocation = Invocation(ctx)

    async def act(client: EdgeClient) -> Task:
        made = await client.tasks.retry(await find(client, task), devices or [])
        return await follow(client.tasks, made.id, invocation.output) if wait else made

    finish(invocation, on(invocation, ctx.obj["edge"], lan, act))


async def find(client: EdgeClient, task: str) -> str:
    """The full id. Raises `not_found`, `invalid_request` when several begin so."""
    if len(task) >= 32:
        return task
    cursor: str | None = None
    found: list[str] = []
    while True:
        page = await client.tasks.page(cursor, 200)
        found += [one.id for one in page.tasks if one.id.startswith(task)]
        cursor = page.next_cursor
        if cursor is None or len(found) > 1:
            break
    if len(found) > 1:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, f"Several tasks begin with {task}. Give more of the id."
        )
    if not found:
        raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no task {task} on this edge host.")
    return found[0]


def finish(invocation: Invocation, task: Task) -> None:
    """Of a task that was made: its row, or its devices when it was waited for."""
    if isinstance(task, TaskDetail):
        report(invocation, task)
        leave(task)
        return
    invocation.output.table(task, COLUMNS, [task_row(task)], "")


def report(invocation: Invocation, task: TaskDetail, *, steps: bool = False) -> None:
    output = invocation.output
    if steps and not output.as_json:
        log = [(step.at, step.device, step.step, step.detail) for one in task.devices for step in one.steps]
        rows = [(f"{at.astimezone():%Y-%m-%d %H:%M:%S}", *rest) for at, *rest in sorted(log)]
        output.table(task, ("AT", "DEVICE", "STEP", "DETAIL"), rows, "Nothing yet.")
        return
    shown = [(one.device, one.state, one.step, one.detail) for one in task.devices]
    output.table(task, ("DEVICE", "STATE", "STEP", "DETAIL"), shown, "No devices.")
    output.note(f"{task.title}: {task.state}. {task.detail}".strip())


def leave(task: Task) -> None:
    if task.state is not TaskState.SUCCEEDED:
        raise typer.Exit(1)
