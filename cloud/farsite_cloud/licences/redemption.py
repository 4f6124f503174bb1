"""Redeeming licence keys: signed by an authority this cloud knows, once, and by whom they are for."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError

from farsite_cloud.database import Scope
from farsite_cloud.licences.licensing import Licensing, effective
from farsite_cloud.licences.models import Licence, LicenceRecord, RedeemedKey
from farsite_signaling.identity.licences import verify_licence
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.licence import LicenceKey


async def redeem(scope: Scope, licensing: Licensing, text: str, actor: str, now: datetime) -> Licence:
    """The licence; the one there is when this organization redeemed the key before.

    Raises `licence_invalid`, `licence_used`.
    """
    if not licensing.on:
        detail = (
            "This cloud runs without licences (setting licensing): nothing is limited, nothing is to redeem."
        )
        raise FarsiteError(ErrorCode.CONFLICT, detail)
    key = verify_licence(text, licensing.keys)
    _check_cloud(key, licensing.cloud)
    known = await scope.find(Licence, key.jti)
    if known is not None:
        return known
    await _check(scope, key, now)
    licence = _row(key, "".join(text.split()), actor, now)
    scope.session.add(RedeemedKey(id=key.jti, redeemed_for=scope.organization_id, redeemed_at=now))
    scope.add(licence)
    try:
        await scope.session.flush()
    except IntegrityError:
        raise _used() from None
    licensing.forget(scope.organization_id)
    return licence


def _check_cloud(key: LicenceKey, here: str) -> None:
    if key.cloud is not None and key.cloud.rstrip("/").lower() != here.rstrip("/").lower():
        detail = f"This licence is for the cloud at {key.cloud}, and this one is {here or 'another one'}."
        raise FarsiteError(ErrorCode.LICENCE_INVALID, detail)


async def _check(scope: Scope, key: LicenceKey, now: datetime) -> None:
    if key.org is not None and key.org != scope.organization_id:
        detail = f"This licence is for another organization ({key.org}). Licences cannot move between organizations."
        raise FarsiteError(ErrorCode.LICENCE_INVALID, detail)
    record = await scope.find(LicenceRecord, scope.organization_id)
    if key.ends <= effective(now, record).timestamp():
        detail = f"This licence ended on {_time(key.ends):%Y-%m-%d}."
        raise FarsiteError(ErrorCode.LICENCE_INVALID, detail)
    if await scope.session.get(RedeemedKey, key.jti) is not None:
        raise _used()


def _used() -> FarsiteError:
    detail = "This licence was redeemed by another organization before. Each can be redeemed once."
    return FarsiteError(ErrorCode.LICENCE_USED, detail)


def _row(key: LicenceKey, text: str, actor: str, now: datetime) -> Licence:
    return Licence(
        id=key.jti,
        kind=key.kind,
        count=key.count,
        starts_at=_time(key.starts),
        ends_at=_time(key.ends),
        issuer=key.iss,
        key=text,
        redeemed_at=now,
        redeemed_by=actor[:400],
    )


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
