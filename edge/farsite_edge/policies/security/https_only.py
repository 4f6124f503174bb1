"""HTTPS as the only way in: after it has been proven, with a log-in, that it is a way in at all."""

from __future__ import annotations

from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.kind import Step
from farsite_edge.policies.security import places
from farsite_edge.policies.security.facts import HTTPS_PORT
from farsite_edge.vapix.errors import Refused
from farsite_signaling.wire.errors import FarsiteError


async def apply(access: DeviceAccess, step: Step) -> None:
    """Raises `Refused` when HTTPS does not work: then nothing was changed."""
    if access.record.https_port is None and "https" in step.values.values():
        await _adopt(access)
    await places.write(access, step.values)


async def _adopt(access: DeviceAccess) -> None:
    async with access.client() as client:
        text = (await client.parameters(HTTPS_PORT)).get(HTTPS_PORT, "")
    port = int(text) if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535 else 443
    try:
        client = access.client_at(await access.account(), https_port=port)
        await client.rights()
    except FarsiteError as error:
        raise Refused(f"HTTPS does not work, so it was not made the only way in. {error.detail}") from None
    await access.adopt_https(port, client.pin)
