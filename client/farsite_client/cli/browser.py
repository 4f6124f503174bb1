"""`farsite login --browser`: the address and code that are shown, and the browser that is opened."""

from __future__ import annotations

import os
import sys
import webbrowser
from urllib.parse import urlencode

from farsite_client.cli.invocation import Invocation
from farsite_client.cloud import CloudClient
from farsite_client.profile import machine_name
from farsite_signaling.wire.cloud_api import SignInResult
from farsite_signaling.wire.device_sign_in import DeviceSignIn
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


async def in_browser(
    invocation: Invocation, cloud: CloudClient, *, open_it: bool, provider_of: str | None = None
) -> SignInResult:
    """`provider_of`: the organization (id or domain) whose identity provider says who it is."""
    settings = invocation.settings
    name = settings.device_name or machine_name()
    started = await cloud.start_device_sign_in(f"farsite on {name}"[:100], settings.email)
    if provider_of is not None:
        started = _by_provider(started, provider_of)
    _check_address(cloud, started)
    _show(invocation, started, whole=provider_of is not None)
    if open_it and has_browser():
        webbrowser.open(started.verification_uri_complete)
    return await cloud.wait_for_device_sign_in(started)


def _by_provider(started: DeviceSignIn, organization: str) -> DeviceSignIn:
    page = f"{started.verification_uri}/sso"
    query = urlencode({"organization": organization, "user_code": started.user_code})
    changed = {"verification_uri": page, "verification_uri_complete": f"{page}?{query}"}
    return started.model_copy(update=changed)


def _check_address(cloud: CloudClient, started: DeviceSignIn) -> None:
    """A browser is opened at web addresses only, whatever the cloud says."""
    for address in (started.verification_uri, started.verification_uri_complete):
        if not address.startswith(("https://", "http://")):
            raise FarsiteError(
                ErrorCode.PROTOCOL_ERROR, f"{cloud.host} names an address that is no web page."
            )


def _show(invocation: Invocation, started: DeviceSignIn, *, whole: bool) -> None:
    output = invocation.output
    if output.as_json:
        shown = started.model_dump(mode="json", exclude={"device_code"})
        output.json({"event": "waiting", **shown})
        return
    if whole:
        output.note(f"Open  {started.verification_uri_complete}")
        output.note(f"and approve when it shows the code  {started.user_code}")
        return
    output.note(f"Open  {started.verification_uri}")
    output.note(f"and type the code  {started.user_code}  (good for {started.expires_in // 60} minutes)")


def has_browser() -> bool:
    """Not on a machine without a screen, nor at the far end of SSH; text browsers would take over the terminal."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if not (screen or sys.platform in ("darwin", "win32")):
        return False
    try:
        return not isinstance(webbrowser.get(), webbrowser.GenericBrowser)
    except webbrowser.Error:
        return False
