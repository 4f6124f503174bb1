"""The password of a device's account root: changed so that it is never lost, and checked both ways. An ONVIF account
called root has the same.

Before the device is told, the new password is put into the vault beside the old one (`policy-password:DEVICE`). Whatever
happens then, `settle` finds out which of the two the device has, and goes on with that one.
"""

from __future__ import annotations

import json
from typing import Any

from farsite_edge.devices.credentials import Account
from farsite_edge.devices.onvif import is_in_step, keep_in_step
from farsite_edge.policies.access import DeviceAccess
from farsite_edge.vapix.errors import Refused
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

ROOT = "root"
PREFIX = "policy-password:"
ABSENT, RIGHT, APART, OTHER, UNKNOWN = "absent", "right", "apart", "other", "unknown"


async def look(access: DeviceAccess, secret: str) -> str:
    """`right`: root has this password, `apart`: but its ONVIF account may have another. One log-in is tried at most, so
    that the device does not lock us out."""
    found = await _of_root(access, secret)
    if found != RIGHT:
        return found
    async with access.client() as client:
        in_step = await is_in_step(client, access.credentials, access.device, Account(ROOT, secret))
    return RIGHT if in_step else APART


async def _of_root(access: DeviceAccess, secret: str) -> str:
    account = await access.account()
    if account.username == ROOT:
        return RIGHT if account.password == secret else OTHER  # ours works: something was read with it
    async with access.client() as client:
        users = await client.users()
    if ROOT not in {user.name for user in users}:
        return ABSENT
    return RIGHT if await _works(access, Account(ROOT, secret)) else OTHER


async def change(access: DeviceAccess, secret: str) -> None:
    account = await access.account()
    async with access.client() as client:
        await client.rights()  # what is stored works: without it there would be no way back
    await access.vault.put(_place(access), json.dumps({"new": secret, "user": account.username}))
    async with access.client() as client:
        await client.update_user(ROOT, password=secret)


async def check(access: DeviceAccess, secret: str) -> str | None:
    """`None` when the new password works and the old one does not, for its ONVIF account too; else why not. The stored
    account is then one that works. Raises `device_credentials` when neither works."""
    before = await access.credentials.kept(access.device)
    was_root = before is not None and before.username == ROOT
    if not await settle(access) and await _of_root(access, secret) != RIGHT:
        return "The device still has the old password."
    if was_root and before is not None and before.password != secret and await _works(access, before):
        return "The old password still works beside the new one."
    return await _follow(access, Account(ROOT, secret))


async def _follow(access: DeviceAccess, account: Account) -> str | None:
    try:
        async with access.client() as client:
            await keep_in_step(client, access.credentials, access.device, account)
    except Refused as error:
        return f"Its ONVIF account {ROOT} keeps another password. {error.detail}"
    return None


async def settle(access: DeviceAccess) -> bool:
    """Whether a change that was begun has taken effect; nothing is left open then. Raises `device_credentials` when
    neither password works: both are kept, and tried again later."""
    text = await access.vault.get(_place(access))
    if text is None:
        return False
    pending: dict[str, Any] = json.loads(text)
    new = Account(ROOT, pending["new"])
    changed = await _works(access, new)
    if changed and pending["user"] == ROOT:
        await access.keep_account(new)
    if not changed:
        await _check_old(access)
    await access.vault.forget(_place(access))
    return changed


async def _check_old(access: DeviceAccess) -> None:
    old = await access.credentials.kept(access.device)
    if old is None or not await _works(access, old):
        raise FarsiteError(
            ErrorCode.DEVICE_CREDENTIALS,
            "The password of root was being changed, and the device takes neither the new nor the old one. Both are "
            "kept; log in to the device by hand if it does not mend itself.",
        )
    await access.keep_account(old)


async def _works(access: DeviceAccess, account: Account) -> bool:
    try:
        await access.client_as(account).rights()
    except FarsiteError as error:
        if error.code is ErrorCode.DEVICE_CREDENTIALS:
            return False
        raise
    return True


def _place(access: DeviceAccess) -> str:
    return f"{PREFIX}{access.device}"
