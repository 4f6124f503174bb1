"""ONVIF accounts of a device: kept by the device apart from its own, with passwords of their own.

Who changes the password of an account means both. One of the same name gets the same password, after the device's own has
proven to work; none is ever made. What it was given is remembered, as a digest: nobody can ask for it.
"""

from __future__ import annotations

from typing import Any

from farsite_edge.devices.credentials import Account, CredentialStore
from farsite_edge.vapix.onvif_users import OnvifUser


async def keep_in_step(client: Any, credentials: CredentialStore, device: str, account: Account) -> bool:
    """Whether there is one of that name. Raises what the device says against the password."""
    user = await _of(client, account.username)
    if user is None:
        await credentials.forget_onvif(device)
        return False
    await client.set_onvif_user(user, account.password)
    await credentials.keep_onvif(device, account)
    return True


async def is_in_step(client: Any, credentials: CredentialStore, device: str, account: Account) -> bool:
    """There is none of that name, or it was given this password last."""
    if await _of(client, account.username) is None:
        return True
    return await credentials.is_onvif(device, account)


async def _of(client: Any, name: str) -> OnvifUser | None:
    users: list[OnvifUser] = await client.onvif_users()
    return next((one for one in users if one.name == name), None)
