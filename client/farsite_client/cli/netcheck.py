"""`farsite netcheck`: what works from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from farsite_client.cli.invocation import Invocation
from farsite_client.cloud import check_url, tls_context
from farsite_client.profile import Stored
from farsite_signaling.checks import show
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.netcheck import RelayCheck

if TYPE_CHECKING:
    from farsite_signaling.peer.netcheck import Target

netcheck = typer.Typer(add_completion=False, rich_markup_mode=None)
SIGN_IN = "Sign in to have the relays checked: farsite login"


@netcheck.command("netcheck")
def netcheck_command(
    ctx: typer.Context,
    cloud: Annotated[
        str | None,
        typer.Option("--cloud", metavar="URL", help="Check another cloud than the one signed in to."),
    ] = None,
) -> None:
    """Check DNS, UDP, NAT, proxy, hub, clock and every relay from here; exit code 1 when something fails."""
    from farsite_signaling.peer.netcheck import netcheck as check

    invocation = Invocation(ctx)
    report = invocation.run(check(target_of(invocation, cloud)))
    code = show(report, as_json=invocation.output.as_json)
    raise typer.Exit(code)


def target_of(invocation: Invocation, cloud: str | None) -> Target:
    """Raises `FarsiteError` (`invalid_request`) when no cloud is known at all."""
    from farsite_signaling.peer.netcheck import Target

    settings, stored = invocation.settings, _stored(invocation)
    wanted = cloud or settings.url
    url = check_url(wanted) if wanted else stored.url if stored else ""
    if not url:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST,
            "Which cloud? Name it with --cloud URL, or sign in with: farsite login URL",
        )
    ours = stored if stored is not None and stored.url == url else None
    ca_file = settings.ca_file or (ours.ca_file if ours else None)
    return Target(
        cloud_url=url,
        hub_url=ours.hub_url if ours else "",
        proxy_address=settings.proxy or (ours.proxy if ours else None),
        tls=tls_context(ca_file),
        turn_ca=ca_file,
        ask_relays=_asker(invocation, ours) if ours else None,
        no_relays=SIGN_IN,
    )


def _stored(invocation: Invocation) -> Stored | None:
    try:
        return invocation.profile.load()
    except FarsiteError as error:
        if error.code is not ErrorCode.UNAUTHENTICATED:
            raise
        return None


def _asker(invocation: Invocation, stored: Stored) -> Callable[[], Awaitable[RelayCheck]]:
    async def ask() -> RelayCheck:
        async with invocation.profile.cloud(stored) as cloud:
            return await cloud.relay_check(stored.organization_id)

    return ask
