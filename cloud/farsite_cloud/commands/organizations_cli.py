"""`farsite cloud organizations …`. Imports nothing heavy: `farsite --help` loads this module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from farsite_cloud.commands.operating import Config, DataDir, Json, do, lines

organizations = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Organizations of this cloud: how much they use; suspend, delete. What is theirs is not shown.",
)
Which = Annotated[str, typer.Argument(metavar="ORGANIZATION", help="Its id, or its name.")]


@organizations.command("list")
def list_them(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """All of them: users, edge hosts, devices, licence, when somebody was last here."""
    from farsite_cloud.commands import organizations as work

    do(work.list_organizations, _table, config, data_dir, json, key="organizations")


def _table(found: list[dict[str, Any]]) -> str:
    rows: list[tuple[str, ...]] = [
        ("ID", "NAME", "STATE", "USERS", "EDGE HOSTS", "DEVICES", "LICENCE", "LAST USED")
    ]
    names = ("id", "name", "state", "users", "edge_hosts", "devices", "licence")
    rows += [(*(str(one[name]) for name in names), (one["last_used"] or "-")[:16]) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


@organizations.command("show")
def show(organization: Which, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """One of them: its owners' addresses, its rules, how much it stores."""
    from farsite_cloud.commands import organizations as work

    do(lambda desk: work.show(desk, organization), lines, config, data_dir, json)


@organizations.command("suspend")
def suspend(
    organization: Which,
    reason: Annotated[str, typer.Option("--reason", help="Told to its members.")],
    config: Config = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Let it be seen and not changed; remote access to its edge hosts ends within seconds. Members are told by mail."""
    from farsite_cloud.commands import organizations as work

    def text(done: dict[str, Any]) -> str:
        return f"{done['name']} is suspended: {done['sessions_ended']} sessions ended, {done['told']} people told."

    do(lambda desk: work.suspend(desk, organization, reason), text, config, data_dir, json)


@organizations.command("reactivate")
def reactivate(
    organization: Which, config: Config = None, data_dir: DataDir = None, json: Json = False
) -> None:
    """Take a suspension back. Members are told by mail."""
    from farsite_cloud.commands import organizations as work

    do(lambda desk: work.reactivate(desk, organization), _said("is active again"), config, data_dir, json)


@organizations.command("delete")
def delete(
    organization: Which,
    name: Annotated[str, typer.Option("--name", help="Its name as it stands, so that it is the right one.")],
    config: Config = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Delete it after the time of grace, until which it works on and can be restored. Members are told by mail."""
    from farsite_cloud.commands import organizations as work

    def text(done: dict[str, Any]) -> str:
        return f"{done['name']} is erased at {done['deletes_at']}, unless it is restored before."

    do(lambda desk: work.delete(desk, organization, name), text, config, data_dir, json)


@organizations.command("restore")
def restore(organization: Which, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Take a deletion back, before its time."""
    from farsite_cloud.commands import organizations as work

    do(lambda desk: work.restore(desk, organization), _said("stays"), config, data_dir, json)


@organizations.command("storage")
def storage(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """How much room the database takes, its largest tables, and each organization's rows."""
    from farsite_cloud.commands import organizations as work

    def text(found: dict[str, Any]) -> str:
        tables = [f"  {name}: {size} bytes" for name, size in found["tables"].items()]
        theirs = [
            f"  {one['name']} ({one['id']}): {one['devices']} devices, {one['audit_rows']} audit rows, "
            f"{one['export_bytes']} bytes of exports"
            for one in found["organizations"]
        ]
        return "\n".join([f"database: {found['database_bytes']} bytes", *tables, "organizations:", *theirs])

    do(work.storage, text, config, data_dir, json)


def _said(what: str) -> Callable[[dict[str, Any]], str]:
    return lambda done: f"{done['name']} {what}; {done['told']} people told."
