"""TLS to a device whose certificate was seen before."""

from __future__ import annotations

import hashlib
import ssl

from farsite_signaling.wire.errors import ErrorCode, FarsiteError


def device_tls() -> ssl.SSLContext:
    """Devices sign their own certificates; the pin, not a name, says who they are."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def check_pin(device: str, pin: str, tls: ssl.SSLObject | None) -> None:
    """Raises `device_certificate_changed` unless the certificate shown is the pinned one."""
    data = tls.getpeercert(binary_form=True) if tls is not None else None
    if not data or hashlib.sha256(data).hexdigest() != pin.replace(":", "").lower():
        raise certificate_changed(device)


def certificate_changed(device: str) -> FarsiteError:
    return FarsiteError(
        ErrorCode.DEVICE_CERTIFICATE_CHANGED,
        f"The device {device} shows another TLS certificate than before. If you replaced it, accept the new one; if not, "
        "something is between the edge host and the device.",
    )
