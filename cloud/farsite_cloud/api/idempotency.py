"""`Idempotency-Key`: a creation repeated with the same key gives the first answer again.

One that comes while the first is still at work waits for it, for a moment; then it is told to come back (409
`in_progress`, draft-ietf-httpapi-idempotency-key-header, 2.6).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel
from sqlalchemy import delete, func, select

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.models import KeptAnswer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(hours=24)
_LONGEST = 200
_PURPOSE = "kept answer"
_WAIT, _LOOK = 1.0, 0.02
"""Seconds until who waits for another one with the same key is sent away, and between two looks."""
ModelT = TypeVar("ModelT", bound=BaseModel)


async def once(
    request: web.Request, who: str, model: type[ModelT], create: Callable[[], Awaitable[ModelT]]
) -> ModelT:
    """`who` is the credential that the key is private to. Raises `conflict` for a key used on another request,
    `in_progress` for one whose first request is still at work."""
    given = request.headers.get(HEADER)
    if given is None:
        return await create()
    if not 1 <= len(given) <= _LONGEST:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{HEADER} has 1 to {_LONGEST} characters.")
    call = call_of(request)
    key = _digest(request.method, request.path, who, given)
    body = _digest((await request.read()).decode(errors="replace"))
    await _take_turn(call, key)
    kept = await call.session.get(KeptAnswer, key)
    if kept is not None and call.now - kept.created_at <= KEPT_FOR:
        return _again(call, kept, body, model)
    answer = await create()
    await _keep(call, key, body, answer)
    return answer


async def _take_turn(call: Call, key: str) -> None:
    """Until the end of this unit of work nobody else has it. SQLite has one writer at a time anyhow."""
    if call.services.database.kind == "sqlite":
        return
    number = int.from_bytes(bytes.fromhex(key)[:8], "big", signed=True)
    mine = select(func.pg_try_advisory_xact_lock(number))
    until = asyncio.get_running_loop().time() + _WAIT
    # Not by waiting in the database: a statement that takes long is one of a database that does not answer.
    while not await call.session.scalar(mine):
        if asyncio.get_running_loop().time() > until:
            detail = f"The first request with this {HEADER} is still at work. Send it again in a moment."
            raise FarsiteError(ErrorCode.IN_PROGRESS, detail, retry_after=1)
        await asyncio.sleep(_LOOK)


def _again(call: Call, kept: KeptAnswer, body: str, model: type[ModelT]) -> ModelT:
    if kept.request != body:
        raise FarsiteError(ErrorCode.CONFLICT, f"This {HEADER} was used for another request before.")
    answer = model.model_validate_json(call.services.vault.unseal(kept.answer, _PURPOSE))
    if "server_time" in model.model_fields:
        return answer.model_copy(update={"server_time": call.now})
    return answer


async def _keep(call: Call, key: str, body: str, answer: BaseModel) -> None:
    await call.session.execute(delete(KeptAnswer).where(KeptAnswer.created_at < call.now - KEPT_FOR))
    sealed = call.services.vault.seal(answer.model_dump_json().encode(), _PURPOSE)
    call.session.add(KeptAnswer(key=key, request=body, answer=sealed, created_at=call.now))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
