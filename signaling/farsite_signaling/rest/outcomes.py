"""Which errors a route can answer with: most follow from what it takes and needs, the rest it names itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from farsite_signaling.rest.etags import IF_MATCH
from farsite_signaling.wire.errors import ErrorCode, status_of
from farsite_signaling.wire.rights import Right

if TYPE_CHECKING:
    from farsite_signaling.rest.routes import Route

_ALWAYS = (
    ErrorCode.INVALID_REQUEST,
    ErrorCode.RATE_LIMITED,
    ErrorCode.INTERNAL,
    ErrorCode.UNAVAILABLE,
    ErrorCode.STORAGE_FAILED,
)
_SIGNED_IN = (ErrorCode.UNAUTHENTICATED, ErrorCode.TOKEN_EXPIRED, ErrorCode.FORBIDDEN)
_IN_AN_ORGANIZATION = (
    ErrorCode.NOT_FOUND,
    ErrorCode.MFA_SETUP_REQUIRED,
    ErrorCode.PROVIDER_REQUIRED,
    ErrorCode.LICENCE_EXPIRED,
    ErrorCode.ORGANIZATION_SUSPENDED,
)
_WRITING = (ErrorCode.CONFLICT, ErrorCode.DISK_FULL)
_WITH_A_BODY = (ErrorCode.TOO_LARGE, ErrorCode.TIMEOUT)


def outcomes(route: Route) -> dict[int, list[ErrorCode]]:
    """Codes by HTTP status, in the order of the statuses."""
    found: defaultdict[int, list[ErrorCode]] = defaultdict(list)
    for code in dict.fromkeys(_codes(route)):
        found[status_of(code)].append(code)
    return dict(sorted(found.items()))


def _codes(route: Route) -> Iterator[ErrorCode]:
    yield from _ALWAYS
    if route.need.value != "public":
        yield from _SIGNED_IN
    if isinstance(route.need, Right):
        yield from _IN_AN_ORGANIZATION
    if "{" in route.path:
        yield ErrorCode.NOT_FOUND
    if route.method != "GET":
        yield from _WRITING
    if route.request is not None:
        yield from _WITH_A_BODY
    if IF_MATCH in route.headers:
        yield ErrorCode.PRECONDITION_FAILED
    if "Idempotency-Key" in route.headers:
        yield ErrorCode.IN_PROGRESS
    yield from route.errors
