"""One name, one edge host: people and commands call them by it. Those that had one name before keep it."""

from __future__ import annotations

from itertools import count
from shlex import quote

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

LONGEST = 100


async def check_free(scope: Scope, name: str, own: str | None = None) -> None:
    """`own`: the edge host that is to have it. Raises `conflict`."""
    if (taken := (await _names(scope, own)).get(name.casefold())) is not None:
        detail = (
            f"An edge host is called {taken!r} already. Choose another name, or if its machine was replaced: "
            f"farsite edges reclaim {quote(taken)}"
        )
        raise FarsiteError(ErrorCode.CONFLICT, detail)


async def free_name(scope: Scope, wanted: str) -> str:
    """`wanted`, with a number behind it when it is taken. For whoever holds the organization's `lock`."""
    taken = await _names(scope, None)
    numbered = (f"{wanted[: LONGEST - 8]} ({number})" for number in count(2))
    name = wanted
    while name.casefold() in taken:
        name = next(numbered)
    return name


async def _names(scope: Scope, own: str | None) -> dict[str, str]:
    """As commands compare them, whoever may see them: neither database folds more than ASCII by itself."""
    statement = scope.select(EdgeHost).where(EdgeHost.revoked_at.is_(None), EdgeHost.id != (own or ""))
    rows = await scope.rows(statement.with_only_columns(EdgeHost.name))
    return {row.name.casefold(): row.name for row in rows}
