"""Notices of the caller, how they want to be told, and the organization's settings about it."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts.own import own_account
from farsite_cloud.api.authorize import stand_first
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_if_match, etag, hold
from farsite_cloud.api.paging import next_cursor, start_after
from farsite_cloud.notices.choices import Choices, change_settings, settings_of
from farsite_cloud.notices.models import Notice, NoticeSettings
from farsite_signaling.rest import Answer, Api, read_query
from farsite_signaling.rest.etags import revision_of
from farsite_signaling.wire import notices_api as wire
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/notices"
_SETTINGS = "/organizations/{org}/notice-settings"


@api.route("GET", _LIST, need=Right.NOTICE_OWN, response=wire.NoticeList, query=wire.NoticeQuery)
async def list_notices(request: web.Request) -> wire.NoticeList:
    """Your notices, newest first, and how many are unread."""
    call, query = call_of(request), read_query(request, wire.NoticeQuery)
    own = call.scope.select(Notice).where(Notice.account_id == call.caller.account_id)
    statement = own
    if query.unread is not None:
        unread = Notice.read_at.is_(None)
        statement = statement.where(unread if query.unread == "true" else ~unread)
    if query.kind is not None:
        statement = statement.where(Notice.kind == query.kind)
    if (before := start_after(query.cursor)) is not None:
        statement = statement.where(Notice.id < before)
    rows = await call.scope.all(statement.order_by(Notice.id.desc()).limit(query.limit + 1))
    return wire.NoticeList(
        notices=[_answer(row) for row in rows[: query.limit]],
        unread=await call.scope.count(own.where(Notice.read_at.is_(None))),
        next_cursor=next_cursor(rows, query.limit),
    )


def _answer(row: Notice) -> wire.Notice:
    return wire.Notice(
        id=row.id,
        kind=wire.NoticeKind(row.kind),
        title=row.title,
        items=[wire.NoticeItem.model_validate(item) for item in row.items],
        count=row.count,
        created_at=row.created_at,
        read_at=row.read_at,
    )


@api.route("POST", f"{_LIST}/read", need=Right.NOTICE_OWN, request=wire.NoticesRead)
async def read_notices(request: web.Request, body: wire.NoticesRead) -> None:
    """Mark notices as read."""
    call = call_of(request)
    mine = call.scope.update(Notice).where(
        Notice.account_id == call.caller.account_id, Notice.read_at.is_(None)
    )
    if body.ids:
        mine = mine.where(Notice.id.in_(body.ids))
    await call.scope.change(mine.values(read_at=call.now))


@api.route("GET", "/organizations/{org}/notice-choices", need=Right.NOTICE_OWN, response=wire.NoticeChoices)
async def get_choices(request: web.Request) -> Answer:
    """How you are told of each kind: in the product, by mail, by your webhooks."""
    return _choices_answer(await _choices(call_of(request)))


def _choices_answer(choices: wire.NoticeChoices) -> Answer:
    return Answer(choices, etag(revision_of(choices)))


def _own(call: Call) -> Choices:
    return Choices(call.scope, call.caller.account_id, call.entrance.rights)


async def _choices(call: Call) -> wire.NoticeChoices:
    chosen = await _own(call).all()
    return wire.NoticeChoices(
        choices=[wire.NoticeChoice(kind=kind, channels=sorted(channels)) for kind, channels in chosen.items()]
    )


@api.route(
    "PUT",
    "/organizations/{org}/notice-choices",
    need=Right.NOTICE_OWN,
    request=wire.NoticeChoices,
    response=wire.NoticeChoices,
    headers=(IF_MATCH,),
)
async def choose(request: web.Request, body: wire.NoticeChoices) -> Answer:
    """Choose how to be told; kinds left out stay."""
    call = call_of(request)
    await hold(request, await own_account(call))
    check_if_match(request, revision_of(await _choices(call)))
    await _own(call).choose(body.choices, call.now)
    await call.session.flush()
    return _choices_answer(await _choices(call))


@api.route("GET", _SETTINGS, need=Right.EDGE_READ, response=wire.NoticeSettings)
async def get_settings(request: web.Request) -> Answer:
    """What the organization has set about notices."""
    return _settings_answer(await settings_of(call_of(request).scope))


def _settings_answer(settings: NoticeSettings) -> Answer:
    answer = wire.NoticeSettings(
        offline_after_minutes=settings.offline_after_minutes, unreachable_devices=settings.unreachable_devices
    )
    return Answer(answer, etag(settings.revision))


@api.route(
    "PUT",
    _SETTINGS,
    need=Right.ORGANIZATION_MANAGE,
    request=wire.NoticeSettingsChange,
    response=wire.NoticeSettings,
    headers=(IF_MATCH,),
)
async def put_settings(request: web.Request, body: wire.NoticeSettingsChange) -> Answer:
    """Change them for everybody."""
    call = call_of(request)
    with call.act("notice_settings.changed") as act:
        await stand_first(request, Right.ORGANIZATION_MANAGE)
        check_if_match(request, (await settings_of(call.scope)).revision)
        settings = await change_settings(call.scope, body, call.now)
        act.details |= body.model_dump(exclude_none=True)
    return _settings_answer(settings)
