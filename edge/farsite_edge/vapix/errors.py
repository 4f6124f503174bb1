"""Failures of a device, all of them `FarsiteError` with a `device_…` code.

FarsiteError
  Refused      device_answer: the device understood what was asked, and says no
    ApiMissing   this firmware does not have the CGI (HTTP 404)
    ApiError     the CGI answered with an error of its own; `api_code` is its number
  OtherDevice  device_answer: at the address is another device
  Silent       device_unreachable: nothing came in time
"""

from __future__ import annotations

from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class Refused(FarsiteError):
    """The device will not do what it was asked."""

    def __init__(self, detail: str, code: ErrorCode = ErrorCode.DEVICE_ANSWER) -> None:
        super().__init__(code, detail)


class ApiMissing(Refused):
    """The device's firmware does not offer the CGI that was asked for."""

    def __init__(self, path: str) -> None:
        super().__init__(f"This firmware does not offer {path}.")


class ApiError(Refused):
    """A JSON API answered `{"error": {"code", "message"}}`, which comes with HTTP status 200."""

    def __init__(self, api_code: int, message: str) -> None:
        forbidden = api_code == FORBIDDEN
        code = ErrorCode.DEVICE_CREDENTIALS if forbidden else ErrorCode.DEVICE_ANSWER
        super().__init__(f"The device answered with error {api_code}: {message}.", code)
        self.api_code = api_code


class OtherDevice(FarsiteError):
    """Somebody else is at the address; nothing secret was sent."""

    def __init__(self, serial: str) -> None:
        super().__init__(
            ErrorCode.DEVICE_ANSWER,
            f"Another device ({serial}) answers at this address; the password was not sent. Discover devices again.",
        )


class Silent(FarsiteError):
    """Nobody answered in time, or whoever is there is busy."""

    def __init__(self, port: int | None, seconds: float) -> None:
        super().__init__(
            ErrorCode.DEVICE_UNREACHABLE,
            f"No answer at port {port} within {seconds:g} s. Check that it is switched on and in this network.",
        )


FORBIDDEN = 2001
UNKNOWN_METHOD = frozenset({2004, 4000})


def bad_answer(what: str) -> FarsiteError:
    """An answer that is not what the API promises; `what` says which part."""
    return FarsiteError(
        ErrorCode.DEVICE_ANSWER, f"The device sent {what}. Check that it is the device meant."
    )


def named(error: FarsiteError, device: str) -> FarsiteError:
    """The same error, saying which device it is about."""
    if not error.detail.startswith(device):
        error.detail = f"{device}: {error.detail}"[:2000]
        error.args = (error.detail,)
    return error
