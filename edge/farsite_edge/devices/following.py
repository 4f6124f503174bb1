"""A device that moved is followed when it has proven to be the same one, never before."""

from __future__ import annotations

import logging

from farsite_edge.devices.contact import Contact
from farsite_edge.devices.credentials import CredentialStore
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.vapix.errors import OtherDevice
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)
_GONE = (ErrorCode.DEVICE_UNREACHABLE, ErrorCode.DEVICE_CERTIFICATE_CHANGED)


def is_gone(error: FarsiteError) -> bool:
    """Whether what happened at the known address may mean that the device is at another one by now."""
    return error.code in _GONE or isinstance(error, OtherDevice)


async def verified(
    contact: Contact, credentials: CredentialStore, record: DeviceRecord
) -> DeviceRecord | None:
    """The record at the address the device was seen at, if it is there.

    With a remembered certificate whoever is there must have its key. Without, its log-in must name the serial number,
    which the client checks before it answers a challenge, and the device must say the same once logged in.
    """
    place = record.elsewhere
    if place is None:
        return None
    https = (place.https_port or record.https_port) if record.pin else place.https_port
    there = record.model_copy(
        update={"address": place.address, "http_port": place.http_port, "https_port": https}
    )
    try:
        good = await (_same_key(contact, there) if record.pin else _same_serial(contact, credentials, there))
    except FarsiteError as error:
        logger.info("device %s is not followed to %s: %s", record.id, place.address, error)
        return None
    return there if good else None


async def _same_key(contact: Contact, there: DeviceRecord) -> bool:
    seen = await contact.bounded(contact.client(there, None).read_pin())
    return bool(seen == there.pin)


async def _same_serial(contact: Contact, credentials: CredentialStore, there: DeviceRecord) -> bool:
    client = contact.client(there, None)
    met = await contact.bounded(client.realm_serial())
    if met is None:
        met = (await contact.bounded(client.unrestricted_info())).serial
    account = await credentials.get(there.id)
    if met != there.id or account is None:
        return bool(met == there.id)
    info = await contact.bounded(contact.client(there, account).info())
    return bool(info.serial == there.id)
