"""`farsite policies EDGE …`: make, apply and edit policies; see what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farsite_client.cli.devices import Edge
from farsite_client.cli.following import follow
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import ago, counted
from farsite_client.cli.policy_reports import add_reports
from farsite_client.cli.policy_settings import merged, read_document, secrets_of
from farsite_client.cli.reach import Lan
from farsite_client.cli.risks import Yes, confirm
from farsite_client.cli.tasks import WaitFlag, finish, on
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.edge_tasks import Task
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import (
    AssignResults,
    DevicePolicy,
    Policy,
    PolicyChange,
    PolicyKind,
    PolicyMode,
    PolicyState,
    Selection,
    TemplateResult,
)

policies = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    cls=Listing,
    help="Policies: settings that devices are compared with, and kept at.",
)
One = Annotated[str, typer.Argument(metavar="POLICY", help="Its name, its id, or the beginning of the id.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[DEVICE]...", help="Serial numbers.")]
All = Annotated[bool, typer.Option("--all", help="All managed devices.")]
Model = Annotated[list[str] | None, typer.Option(help="All managed devices of a model; may be repeated.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="on, off, a value; leave: not looked at. May be repeated."
    ),
]
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="JSON file with all settings.")]
Secret = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="A secret to be asked for, such as root_password.")
]
SecretStdin = Annotated[
    bool, typer.Option("--secret-stdin", help="Read secrets from standard input, one a line.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Devices with another policy of the kind leave that one.")
]
COLUMNS = ("ID", "NAME", "KIND", "MODE", "DEVICES", "GOOD", "DEVIATING", "FAILED", "PENDING")


@policies.callback()
def group(ctx: typer.Context, edge: Edge) -> None:
    """Policies: settings that devices are compared with, and kept at."""
    ctx.ensure_object(dict)["edge"] = edge


def policy_row(one: Policy) -> tuple[object, ...]:
    counts = one.counts
    good = counts.compliant + counts.applied
    mode = one.mode.value.replace("_", " ")
    return (
        one.id,
        one.name,
        one.kind,
        mode,
        one.devices,
        good,
        counts.deviating,
        counts.failed,
        counts.pending,
    )


async def find(client: EdgeClient, policy: str) -> Policy:
    """Raises `not_found`, `invalid_request` when several are meant."""
    known = await client.policies.all()
    for exact in (
        [one for one in known if one.id == policy],
        [one for one in known if one.name.casefold() == policy.casefold()],
        [one for one in known if one.id.startswith(policy)],
    ):
        if len(exact) == 1:
            return exact[0]
        if exact:
            raise FarsiteError(
                ErrorCode.INVALID_REQUEST, f"Several policies are meant by {policy!r}. Give an id."
            )
    raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no policy {policy!r} on this edge host.")


@policies.command("list")
def list_(ctx: typer.Context, lan: Lan = None) -> None:
    """All policies and how their devices are doing."""
    invocation = Invocation(ctx)
    found = on(invocation, ctx.obj["edge"], lan, lambda client: client.policies.all())
    invocation.output.table(found, COLUMNS, [policy_row(one) for one in found], "No policies yet.")


@policies.command("kinds")
def kinds(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Argument(help="Show the settings of one kind.")] = None,
    lan: Lan = None,
) -> None:
    """What policies there can be, and their settings with the recommended values."""
    invocation = Invocation(ctx)
    found = on(invocation, ctx.obj["edge"], lan, lambda client: client.policies.kinds())
    if kind is None:
        rows = [(one.name, one.title, len(one.settings)) for one in found]
        invocation.output.table(found, ("KIND", "TITLE", "SETTINGS"), rows, "None.")
        return
    one = _kind(found, kind)
    rows2 = [
        (
            info.name,
            info.title,
            info.group,
            _word(info.recommended),
            info.weight,
            ", ".join(info.choices),
            info.warning,
        )
        for info in one.settings
    ]
    columns = ("SETTING", "TITLE", "GROUP", "RECOMMENDED", "WEIGHT", "CHOICES", "WARNING")
    invocation.output.table(one, columns, rows2, "None.")


def _kind(found: list[PolicyKind], name: str) -> PolicyKind:
    for one in found:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in found)
    raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no kind {name!r}. There are: {known}.")


def tell_policy(invocation: Invocation, policy: Policy) -> None:
    """What was made or changed, and what stands in its way."""
    for warning in policy.warnings:
        invocation.output.note(f"warning: {warning}")
    invocation.output.table(policy, COLUMNS, [policy_row(policy)], "")


def _word(value: object) -> str:
    if value is None:
        return "leave"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


@policies.command("show")
def show(
    ctx: typer.Context,
    policy: One,
    settings: Annotated[
        bool, typer.Option("--settings", help="Its settings instead of its devices.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="One device, setting by setting.")] = None,
    state: Annotated[PolicyState | None, typer.Option(help="Only devices in this state.")] = None,
    lan: Lan = None,
) -> None:
    """The devices of a policy and what it is worth on each."""
    invocation = Invocation(ctx)

    async def act(client: EdgeClient) -> tuple[Policy, list[DevicePolicy]]:
        one = await find(client, policy)
        return one, await client.policies.results(one.id, state)

    one, results = on(invocation, ctx.obj["edge"], lan, act)
    if settings:
        rows = [(name, _word(value)) for name, value in one.settings.items()]
        invocation.output.table(one, ("SETTING", "WANTED"), rows, "No settings.")
    elif device is not None:
        _show_device(invocation, results, device)
    else:
        rows2 = [(row.device, row.state, ago(row.checked_at), _bad(row), row.detail) for row in results]
        columns = ("DEVICE", "STATE", "CHECKED", "OTHER THAN WANTED", "DETAIL")
        invocation.output.table(results, columns, rows2, "It is applied to no device.")


def _bad(row: DevicePolicy) -> str:
    bad = (PolicyState.DEVIATING, PolicyState.FAILED)
    return ", ".join(one.setting for one in row.settings if one.state in bad)


def _show_device(invocation: Invocation, results: list[DevicePolicy], device: str) -> None:
    for row in results:
        if row.device == device:
            rows = [(one.setting, one.state, one.wanted, one.found, one.detail) for one in row.settings]
            columns = ("SETTING", "STATE", "WANTED", "FOUND", "DETAIL")
            invocation.output.table(row, columns, rows, row.detail or "It has not been checked yet.")
            return
    raise FarsiteError(ErrorCode.DEVICE_UNKNOWN, f"The policy is not applied to {device}.")


@policies.command("create")
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is to be called.")],
    kind: Annotated[str, typer.Option(help="See: farsite policies EDGE kinds")] = "security",
    report_only: Annotated[bool, typer.Option("--report-only", help="Compare, and change nothing.")] = False,
    only: Annotated[
        bool, typer.Option("--only", help="Begin with no settings, not the recommended ones.")
    ] = False,
    change: Set = None,
    settings: SettingsFile = None,
    secret: Secret = None,
    secret_stdin: SecretStdin = False,
    lan: Lan = None,
) -> None:
    """Make a policy with the recommended settings, and others as given. It is applied with: policies EDGE apply."""
    invocation = Invocation(ctx)
    given = secrets_of(secret or [], from_stdin=secret_stdin)
    document = read_document(settings)

    async def act(client: EdgeClient) -> Policy:
        one = _kind(await client.policies.kinds(), kind)
        base = document if document is not None else {} if only else None
        mode = PolicyMode.REPORT_ONLY if report_only else PolicyMode.ENFORCE
        return await client.policies.create(
            kind, name, {**merged(one, base, change or []), **given}, mode=mode
        )

    made = on(invocation, ctx.obj["edge"], lan, act)
    tell_policy(invocation, made)


@policies.command("edit")
def edit(
    ctx: typer.Context,
    policy: One,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    mode: Annotated[PolicyMode | None, typer.Option(help="enforce or report_only")] = None,
    change: Set = None,
    settings: SettingsFile = None,
    secret: Secret = None,
    secret_stdin: SecretStdin = False,
    lan: Lan = None,
) -> None:
    """Change a policy; its devices follow."""
    invocation = Invocation(ctx)
    given = secrets_of(secret or [], from_stdin=secret_stdin)
    document = read_document(settings)

    async def act(client: EdgeClient) -> Policy:
        known = await find(client, policy)
        values = None
        if change or given or document is not None:
            one = _kind(await client.policies.kinds(), known.kind)
            values = {
                **merged(one, document if document is not None else known.settings, change or []),
                **given,
            }
        request = PolicyChange(name=name, mode=mode, settings=values)
        return await client.policies.change(known.id, request, revision=known.revision)

    changed = on(invocation, ctx.obj["edge"], lan, act)
    tell_policy(invocation, changed)


@policies.command("delete")
def delete(ctx: typer.Context, policy: One, yes: Yes = False, lan: Lan = None) -> None:
    """Delete a policy. Devices keep the settings, which are enforced no more."""
    invocation, edge = Invocation(ctx), ctx.obj["edge"]
    known = on(invocation, edge, lan, lambda client: find(client, policy))
    # Not while the tunnel stands: nobody would answer its heartbeats.
    confirm(_at_stake(known), yes)

    async def act(client: EdgeClient) -> None:
        await client.policies.delete(known.id, revision=known.revision)

    on(invocation, edge, lan, act)
    invocation.output.result({"deleted": known.id, "name": known.name}, f"{known.name} is deleted.")


def _at_stake(policy: Policy) -> str:
    if not policy.devices:
        return f"The policy {policy.name} to be deleted. Go on?"
    return f"The policy {policy.name} to be deleted; {counted(policy.devices, 'device')} kept at it no more. Go on?"


@policies.command("apply")
def apply(
    ctx: typer.Context,
    policy: One,
    ids: Ids = None,
    model: Model = None,
    everything: All = False,
    replace: Replace = False,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Apply a policy to devices; without devices: to those it has, now."""
    invocation = Invocation(ctx)

    async def act(client: EdgeClient) -> Task | AssignResults:
        known = await find(client, policy)
        chosen = await _chosen(client, ids or [], model or [], everything)
        task: Task | None
        if chosen is None:
            task = await client.policies.apply(known.id)
        else:
            results = await client.policies.assign(known.id, chosen, replace=replace)
            _say_refusals(invocation, results)
            task = results.task
            if task is None:
                return results
        return await follow(client.tasks, task.id, invocation.output) if wait else task

    done = on(invocation, ctx.obj["edge"], lan, act)
    if isinstance(done, AssignResults):
        if invocation.output.as_json:
            invocation.output.json(done)
        raise typer.Exit(1)
    finish(invocation, done)


async def _chosen(
    client: EdgeClient, ids: list[str], models: list[str], everything: bool
) -> list[str] | None:
    if not ids and not models and not everything:
        return None
    wanted = {model.casefold() for model in models}
    managed = await client.devices(managed=True) if models or everything else []
    more = [one.id for one in managed if everything or one.model.casefold() in wanted]
    chosen = list(dict.fromkeys([*ids, *more]))
    if not chosen:
        raise FarsiteError(ErrorCode.NOT_FOUND, "No managed device is meant.")
    return chosen


def _say_refusals(invocation: Invocation, results: AssignResults) -> None:
    for one in results.results:
        if not one.ok:
            invocation.output.note(f"{one.device}: {one.detail}")


@policies.command("remove")
def remove(
    ctx: typer.Context, policy: One, ids: Ids = None, everything: All = False, lan: Lan = None
) -> None:
    """Take devices out of a policy; they keep the settings."""
    invocation = Invocation(ctx)
    if bool(ids) == everything:
        raise typer.BadParameter("name devices, or --all: one of them", param_hint="DEVICE")

    async def act(client: EdgeClient) -> AssignResults:
        return await client.policies.unassign((await find(client, policy)).id, ids or [])

    done = on(invocation, ctx.obj["edge"], lan, act)
    rows = [(one.device, "removed" if one.ok else "failed", one.detail) for one in done.results]
    invocation.output.table(done, ("DEVICE", "RESULT", "DETAIL"), rows, "It is applied to no device.")
    if not all(one.ok for one in done.results):
        raise typer.Exit(1)


@policies.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A policy as JSON.")],
    ids: Ids = None,
    model: Model = None,
    everything: All = False,
    replace: Replace = False,
    secret: Secret = None,
    secret_stdin: SecretStdin = False,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Make a policy from a document, or change the one made from it before, and apply it to devices."""
    from farsite_client.cli.policy_settings import read_template

    invocation = Invocation(ctx)
    template = read_template(file)
    given = secrets_of(secret or [], from_stdin=secret_stdin)
    selection = Selection(ids=ids or [], models=model or [], everything=everything, replace=replace)

    async def act(client: EdgeClient) -> TemplateResult | Task:
        result = await client.policies.apply_template(template, selection, given)
        _say_refusals(invocation, AssignResults(results=result.results))
        if wait and result.task is not None:
            return await follow(client.tasks, result.task.id, invocation.output)
        return result

    done = on(invocation, ctx.obj["edge"], lan, act)
    if isinstance(done, TemplateResult):
        for warning in done.policy.warnings:
            invocation.output.note(f"warning: {warning}")
        invocation.output.table(done, COLUMNS, [policy_row(done.policy)], "")
    else:
        finish(invocation, done)


add_reports(policies, find)
