"""`farsite orgs delete|restore|export|exports`, `farsite account delete`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation, read_password
from farsite_client.cli.output import size_text
from farsite_client.cli.risks import Yes, confirm
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.cloud_api import Organization
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.lifecycle_api import Export

PASSWORD = "FARSITE_CLIENT_PASSWORD"
Progress = Callable[[Export], None]


def add_lifecycle(orgs: typer.Typer) -> None:
    orgs.command("delete")(delete)
    orgs.command("restore")(restore)
    orgs.command("export")(export)
    orgs.command("exports")(exports)


def delete(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Its name, to be sure.")]) -> None:
    """Delete the organization you are in. It can be restored for a while; then all is erased."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Organization:
        return await cloud.delete_organization(organization, name)

    deleting = on_cloud(invocation, act)
    at = f"{deleting.deletes_at:%Y-%m-%d %H:%M} UTC" if deleting.deletes_at else "now"
    invocation.output.result(deleting, f"{deleting.name} is erased at {at}. Until then: farsite orgs restore")


def restore(ctx: typer.Context) -> None:
    """Take the organization's deletion back."""
    invocation = Invocation(ctx)
    kept = on_cloud(invocation, lambda cloud, organization: cloud.restore_organization(organization))
    invocation.output.result(kept, f"{kept.name} stays.")


def export(
    ctx: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write (here).")] = None,
    again: Annotated[
        str | None, typer.Option("--id", help="Download this one instead of making another.")
    ] = None,
) -> None:
    """All of the organization's data as a ZIP of JSON Lines and CSV, without secrets."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[Export, Path]:
        asked = again or (await cloud.request_export(organization)).id
        with _progress(invocation) as progress:
            made = await cloud.wait_for_export(organization, asked, progress)
        file = output or Path(f"farsite-export-{made.created_at:%Y%m%d-%H%M%S}.zip")
        await _download(cloud, organization, made, file)
        return made, file

    made, file = on_cloud(invocation, act)
    invocation.output.result(
        {"file": str(file), **made.model_dump(mode="json")},
        f"{file}: {made.rows_done} rows, {size_text(made.size)}.",
    )


async def _download(cloud: CloudClient, organization: str, made: Export, file: Path) -> None:
    """Whole or not at all, and readable by oneself only. Raises `protocol_error`, `storage_failed`."""
    digest, partial = hashlib.sha256(), file.with_name(f"{file.name}.part")
    try:
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        with partial.open("wb") as writing:
            async for piece in cloud.download_export(organization, made.id):
                digest.update(piece)
                writing.write(piece)
        if digest.hexdigest() != made.sha256:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "The file did not arrive as it was made. Try again.")
        partial.replace(file)
    except OSError as error:
        detail = f"{file} cannot be written: {error.strerror or error}."
        raise FarsiteError(ErrorCode.STORAGE_FAILED, detail) from None
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _progress(invocation: Invocation) -> Iterator[Progress | None]:
    import sys

    if invocation.output.as_json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Export", total=None)
        yield lambda export: bar.update(
            task,
            description=f"Export {export.step}",
            total=export.rows_total or None,
            completed=export.rows_done,
        )


def exports(ctx: typer.Context) -> None:
    """Exports of the organization that were made, and that expired."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.exports(organization))
    rows = [
        (
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.state,
            size_text(one.size) if one.size else "",
            f"{one.expires_at:%Y-%m-%d %H:%M}" if one.expires_at else "",
            one.requested_by,
            one.id,
        )
        for one in found
    ]
    columns = ("ASKED FOR (UTC)", "STATE", "SIZE", "UNTIL", "BY", "ID")
    invocation.output.table(found, columns, rows, "None.")


def delete_account(
    ctx: typer.Context,
    code: Annotated[str | None, typer.Option(help="Of the authenticator app, or a recovery code.")] = None,
    yes: Yes = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Delete your account, at once and for good, and sign this machine out."""
    invocation = Invocation(ctx)
    confirm("Your account, its sign-ins and access tokens go for good. Go on?", yes)
    password = read_password(PASSWORD, "Password", from_stdin=password_stdin)
    on_cloud(invocation, lambda cloud, organization: cloud.delete_account(password, code))
    invocation.profile.remove()
    invocation.output.result({"deleted": True}, "Your account is deleted.")
