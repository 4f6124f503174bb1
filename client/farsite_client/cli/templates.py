"""`farsite policy-templates …`: policies as documents in the cloud, for campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import ago
from farsite_client.cli.policy_settings import read_template
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_templates_api import (
    Template,
    TemplateChange,
    TemplateRequest,
    TemplateVersion,
)

templates = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Policy templates: what campaigns apply to many edge hosts.",
)
One = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Its name or id.")]
File = Annotated[Path, typer.Argument(help="A document of `farsite policies EDGE export`.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
COLUMNS = ("ID", "NAME", "KIND", "VERSION", "MODE", "SETTINGS", "CHANGED", "BY")


async def find_template(cloud: CloudClient, organization: str, wanted: str) -> Template:
    """By id or name. Raises `not_found`."""
    async for one in cloud.policy_templates(organization):
        if wanted == one.id or wanted.casefold() == one.name.casefold():
            return one
    detail = f"There is no policy template {wanted!r}. List them: farsite policy-templates list"
    raise FarsiteError(ErrorCode.NOT_FOUND, detail)


def _row(one: Template) -> tuple[object, ...]:
    settings, mode = len(one.document.settings), one.document.mode
    return (one.id, one.name, one.kind, one.version, mode, settings, ago(one.changed_at), one.changed_by)


@templates.command("list")
def list_(ctx: typer.Context) -> None:
    """The organization's templates."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> list[Template]:
        return [one async for one in cloud.policy_templates(organization)]

    found = on_cloud(invocation, act)
    invocation.output.table(found, COLUMNS, [_row(one) for one in found], "No templates yet.")


@templates.command("show")
def show(ctx: typer.Context, template: One) -> None:
    """Its settings, and who made which version."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[Template, list[TemplateVersion]]:
        found = await find_template(cloud, organization, template)
        return found, await cloud.policy_template_versions(organization, found.id)

    found, versions = on_cloud(invocation, act)
    rows = [(name, str(value)) for name, value in sorted(found.document.settings.items())]
    made = "; ".join(f"{one.version} by {one.created_by} {ago(one.created_at)}" for one in versions[:10])
    whole = {"template": found, "versions": versions}
    invocation.output.table(whole, ("SETTING", "VALUE"), rows, "It has no settings.")
    invocation.output.note(f"Versions: {made}")


@templates.command("create")
def create(ctx: typer.Context, name: str, file: File, description: Description = None) -> None:
    """Make a template of a policy's document. Secrets stay on edge hosts."""
    invocation = Invocation(ctx)
    document = read_template(file)
    request = TemplateRequest(
        name=name,
        description=description or "",
        kind=document.kind,
        mode=document.mode,
        settings=document.settings,
    )
    made = on_cloud(invocation, lambda cloud, org: cloud.create_policy_template(org, request))
    invocation.output.table(made, COLUMNS, [_row(made)], "")


@templates.command("update")
def update(
    ctx: typer.Context,
    template: One,
    file: Annotated[Path | None, typer.Argument(help="Its new document.")] = None,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    description: Description = None,
) -> None:
    """A new version. Edge hosts get it with the next campaign."""
    invocation = Invocation(ctx)
    document = read_template(file) if file else None
    given: dict[str, object] = {"name": name, "description": description}
    given |= {"mode": document.mode, "settings": document.settings} if document else {}
    change = TemplateChange.model_validate({key: value for key, value in given.items() if value is not None})

    async def act(cloud: CloudClient, organization: str) -> Template:
        found = await find_template(cloud, organization, template)
        return await cloud.change_policy_template(organization, found.id, change)

    changed = on_cloud(invocation, act)
    invocation.output.table(changed, COLUMNS, [_row(changed)], "")


@templates.command("remove")
def remove(ctx: typer.Context, template: One) -> None:
    """Remove it. Policies made from it stay on their edge hosts."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Template:
        found = await find_template(cloud, organization, template)
        await cloud.remove_policy_template(organization, found.id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"removed": gone.id, "name": gone.name}, f"Removed {gone.name}.")
