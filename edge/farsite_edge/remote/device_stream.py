"""Connects a stream that was allowed with its device. Knows nothing but what it is told: runs in any process."""

from __future__ import annotations

import asyncio

from farsite_edge.remote.pins import check_pin, device_tls
from farsite_edge.remote.reach import DeviceAccess
from farsite_edge.remote.splice import Splice
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


async def connect(access: DeviceAccess, splice: Splice, *, timeout: float) -> None:
    """Raises `device_unreachable`, or `device_certificate_changed` unless the certificate shown is the pinned one."""
    loop = asyncio.get_running_loop()
    tls = device_tls() if access.pin is not None else None
    try:
        async with asyncio.timeout(timeout):
            await loop.create_connection(
                lambda: splice.device,
                access.address,
                access.port,
                ssl=tls,
                server_hostname="" if tls else None,
            )
    except (OSError, TimeoutError) as error:
        raise _unreachable(access, error) from error
    if access.pin is not None:
        assert splice.device.transport is not None
        check_pin(access.device, access.pin, splice.device.transport.get_extra_info("ssl_object"))


def _unreachable(access: DeviceAccess, error: Exception) -> FarsiteError:
    reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return FarsiteError(
        ErrorCode.DEVICE_UNREACHABLE,
        f"The device {access.device} does not accept a connection on port {access.port}: {reason[:200]}.",
    )
