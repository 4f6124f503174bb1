"""Everything a command can raise, as the one error a user is shown."""

from __future__ import annotations

import errno

from pydantic import ValidationError

from farsite_client.cli.wording import refused_values
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_PARTS = {"farsite_cloud": "cloud", "farsite_edge": "edge"}


def to_farsite_error(error: BaseException) -> FarsiteError:
    if isinstance(error, FarsiteError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return to_farsite_error(_first(error))
    if isinstance(error, TimeoutError):
        return FarsiteError(ErrorCode.TIMEOUT, "It took too long.")
    if isinstance(error, OSError):
        return _from_os(error)
    if isinstance(error, ModuleNotFoundError):
        part = _part_of(error)
        return FarsiteError(
            ErrorCode.UNAVAILABLE,
            f"This command needs {error.name}, which is not installed: it belongs to the {part}. Install that too, "
            f"as you installed this: pip install 'farsite[{part}]', or '.[{part}]' in a clone.",
        )
    if isinstance(error, ValidationError):
        return refused_values(error)
    kind = type(error).__name__
    return FarsiteError(
        ErrorCode.INTERNAL,
        f"Something went wrong inside farsite ({kind}: {error}). Run it again with FARSITE_CLIENT_DEBUG=1 and "
        "report what it prints.",
    )


def _part_of(error: BaseException) -> str:
    """Whose code asked for what is missing: the first one that is not the command line itself."""
    at = error.__traceback__
    while at is not None:
        package = str(at.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _PARTS:
            return _PARTS[package]
        at = at.tb_next
    return "client"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    farsite, rest = group.split(FarsiteError)
    picked: BaseException = farsite or rest or group
    while isinstance(picked, BaseExceptionGroup):
        picked = picked.exceptions[0]
    return picked


def _from_os(error: OSError) -> FarsiteError:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return FarsiteError(ErrorCode.DISK_FULL, f"The disk is full{where}.")
    if error.errno == errno.EADDRINUSE:
        return FarsiteError(ErrorCode.PORT_TAKEN, "The port is taken by another program.")
    return FarsiteError(ErrorCode.STORAGE_FAILED, f"{error.strerror or error}{where}.")
