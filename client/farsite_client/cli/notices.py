"""`farsite notices …` and `farsite webhooks …`: what one is told, and how."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import ago
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.notices_api import (
    FEWEST_DEVICES,
    Channel,
    Delivery,
    DeliveryState,
    NewWebhook,
    Notice,
    NoticeChoice,
    NoticeKind,
    NoticeSettings,
    NoticeSettingsChange,
    Webhook,
    WebhookChange,
)

notices = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Notices: list, mark as read, choose how to be told.",
)
webhooks = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Webhooks: addresses that get your notices, signed.",
)
Which = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its name or id.")]
HOOKS = ("ID", "NAME", "URL", "STATE", "PROBLEM")
TEST_SECONDS = 30


@notices.command("list")
def list_(
    ctx: typer.Context,
    unread: Annotated[bool, typer.Option("--unread", help="Only those not read yet.")] = False,
    items: Annotated[bool, typer.Option("--items", help="Everything that was gathered in each.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 50,
) -> None:
    """Your notices, newest first."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> list[Notice]:
        found: list[Notice] = []
        async for one in cloud.notices(organization, unread=unread, page_size=min(limit, 500)):
            found.append(one)
            if len(found) == limit:
                break
        return found

    found = on_cloud(invocation, act)
    rows = [
        (ago(one.created_at), "" if one.read_at else "new", one.kind, text, one.id)
        for one in found
        for text in ([item.text for item in one.items] if items else [one.title])
    ]
    invocation.output.table(found, ("WHEN", "", "KIND", "NOTICE", "ID"), rows, "No notices.")


@notices.command("read")
def read(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[NOTICE]...", help="All without.")] = None,
) -> None:
    """Mark notices as read."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> int:
        await cloud.read_notices(organization, ids or [])
        return await cloud.unread_notices(organization)

    left = on_cloud(invocation, act)
    invocation.output.result({"unread": left}, f"{left} unread.")


@notices.command("choices")
def choices(ctx: typer.Context) -> None:
    """How you are told of each kind."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.notice_choices(organization))
    _show_choices(invocation, found)


def _show_choices(invocation: Invocation, found: list[NoticeChoice]) -> None:
    rows = [(one.kind, ", ".join(sorted(one.channels)) or "not at all") for one in found]
    invocation.output.table(found, ("KIND", "TOLD BY"), rows, "None.")


@notices.command("choose")
def choose(
    ctx: typer.Context,
    kind: NoticeKind,
    channel: Annotated[
        list[Channel] | None, typer.Option("--channel", help="May be repeated; without one: not at all.")
    ] = None,
) -> None:
    """Choose how to be told of a kind."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, org: cloud.choose_notices(org, kind, channel or []))
    _show_choices(invocation, [one for one in found if one.kind is kind])


@notices.command("settings")
def settings(
    ctx: typer.Context,
    offline_after: Annotated[
        int | None,
        typer.Option("--offline-after", metavar="MINUTES", min=1, max=1440, help="Tell of absences so long."),
    ] = None,
    unreachable_devices: Annotated[
        int | None,
        typer.Option(
            min=FEWEST_DEVICES,
            metavar="NUMBER",
            help="Tell when so many devices of a site are lost together.",
        ),
    ] = None,
) -> None:
    """Show or change what is the same for everybody in the organization."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> NoticeSettings:
        given = {"offline_after_minutes": offline_after, "unreachable_devices": unreachable_devices}
        wanted = {name: value for name, value in given.items() if value is not None}
        if not wanted:
            return await cloud.notice_settings(organization)
        return await cloud.change_notice_settings(organization, NoticeSettingsChange.model_validate(wanted))

    found = on_cloud(invocation, act)
    invocation.output.result(found, _settings_text(found))


def _settings_text(found: NoticeSettings) -> str:
    away = f"An edge host that is away for {found.offline_after_minutes} minutes is told of"
    lost = f"{found.unreachable_devices} devices of a site that become unreachable together"
    return f"{away}, and so are {lost} (of a small site a fifth of its devices)."


# Webhooks


def _row(one: Webhook) -> tuple[object, ...]:
    state = "off" if not one.enabled else "failing" if one.failing_since else "on"
    return (one.id, one.name, one.url, state, one.problem)


async def _find(cloud: CloudClient, organization: str, wanted: str) -> Webhook:
    found = [one for one in await cloud.webhooks(organization) if wanted in (one.id, one.name)]
    if len(found) != 1:
        code = ErrorCode.CONFLICT if found else ErrorCode.NOT_FOUND
        what = "Several webhooks are" if found else "No webhook is"
        raise FarsiteError(code, f"{what} called {wanted!r}. List them: farsite webhooks list")
    return found[0]


@webhooks.command("list")
def list_webhooks(ctx: typer.Context) -> None:
    """Your webhooks in the organization."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.webhooks(organization))
    invocation.output.table(found, HOOKS, [_row(one) for one in found], "No webhooks yet.")


@webhooks.command("create")
def create(ctx: typer.Context, name: str, url: str) -> None:
    """Send your notices to an address. The secret that verifies them is shown once."""
    invocation = Invocation(ctx)
    made = on_cloud(invocation, lambda cloud, org: cloud.create_webhook(org, name, url))
    _show_secret(invocation, made)


def _show_secret(invocation: Invocation, made: NewWebhook) -> None:
    invocation.output.result(made, f"{made.name} ({made.id}): messages are signed with {made.secret}")


@webhooks.command("secret")
def secret(ctx: typer.Context, webhook: Which) -> None:
    """A new secret; the old one is good for another day."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> NewWebhook:
        found = await _find(cloud, organization, webhook)
        return await cloud.new_webhook_secret(organization, found.id)

    _show_secret(invocation, on_cloud(invocation, act))


@webhooks.command("change")
def change(
    ctx: typer.Context,
    webhook: Which,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    url: Annotated[str | None, typer.Option(help="Another address.")] = None,
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Switch it on (again) or off.")] = None,
) -> None:
    """Rename it, move it, switch it off or on again."""
    invocation = Invocation(ctx)
    given = {"name": name, "url": url, "enabled": enabled}
    changes = WebhookChange.model_validate({key: value for key, value in given.items() if value is not None})

    async def act(cloud: CloudClient, organization: str) -> Webhook:
        found = await _find(cloud, organization, webhook)
        return await cloud.change_webhook(organization, found.id, changes)

    changed = on_cloud(invocation, act)
    invocation.output.table(changed, HOOKS, [_row(changed)], "")


@webhooks.command("remove")
def remove(ctx: typer.Context, webhook: Which) -> None:
    """Remove it, with the messages that wait for it."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Webhook:
        found = await _find(cloud, organization, webhook)
        await cloud.remove_webhook(organization, found.id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"removed": gone.id, "name": gone.name}, f"Removed {gone.name}.")


@webhooks.command("test")
def test(ctx: typer.Context, webhook: Which) -> None:
    """Send a test message, and see how it went; exit code 1 when it did not arrive."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Delivery:
        found = await _find(cloud, organization, webhook)
        sent = await cloud.test_webhook(organization, found.id)
        return await _outcome(cloud, organization, found.id, sent)

    done = on_cloud(invocation, act)
    said = f"{done.state}: {done.problem or done.status or 'no answer yet'}"
    invocation.output.result(done, said)
    if done.state is not DeliveryState.DELIVERED:
        raise typer.Exit(1)


async def _outcome(cloud: CloudClient, organization: str, webhook: str, sent: Delivery) -> Delivery:
    for _ in range(2 * TEST_SECONDS):
        async for one in cloud.webhook_deliveries(organization, webhook, page_size=20):
            if one.id == sent.id and one.state is not DeliveryState.QUEUED:
                return one
            if one.id <= sent.id:
                break
        await asyncio.sleep(0.5)
    return sent


@webhooks.command("deliveries")
def deliveries(
    ctx: typer.Context,
    webhook: Which,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 50,
) -> None:
    """What became of its messages, newest first."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> list[Delivery]:
        found = await _find(cloud, organization, webhook)
        rows: list[Delivery] = []
        async for one in cloud.webhook_deliveries(organization, found.id, page_size=min(limit, 500)):
            rows.append(one)
            if len(rows) == limit:
                break
        return rows

    found = on_cloud(invocation, act)
    rows = [
        (ago(one.created_at), one.kind, one.state, one.attempts, one.status or "", one.problem, one.id)
        for one in found
    ]
    columns = ("WHEN", "KIND", "STATE", "ATTEMPTS", "STATUS", "PROBLEM", "ID")
    invocation.output.table(found, columns, rows, "No messages yet.")
