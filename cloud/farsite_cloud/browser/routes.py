"""The device's side of signing in through a browser (RFC 8628)."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from farsite_cloud.accounts import tokens
from farsite_cloud.accounts.endings import organizations_of
from farsite_cloud.accounts.staying import Stay
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.browser import service
from farsite_signaling.rest import PUBLIC, Api
from farsite_signaling.wire import cloud_api
from farsite_signaling.wire import device_sign_in as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()
PAGE = "/device"
ACCOUNT = "/account"
_WAITING = {
    ErrorCode.AUTHORIZATION_PENDING: "Nobody has answered in the browser yet. Ask again.",
    ErrorCode.SLOW_DOWN: "Asked too often: wait 5 s longer between questions from now on.",
    ErrorCode.ACCESS_DENIED: "The sign-in was denied in the browser.",
    ErrorCode.EXPIRED_TOKEN: "Nobody answered in the browser in time. Start again.",
}


@api.route(
    "POST",
    "/auth/device",
    need=PUBLIC,
    request=wire.DeviceSignInRequest,
    response=wire.DeviceSignIn,
    status=201,
)
async def start_device_sign_in(request: web.Request, body: wire.DeviceSignInRequest) -> wire.DeviceSignIn:
    """Ask to be signed in through a browser: a code for the device, and one for its user to type there."""
    call = call_of(request)
    await call.services.limits.devices.begin(call.source)
    asker = service.Asker(body.name, body.email or "", call.source, call.agent)
    device_code, user_code = await service.start(call.session, asker, call.services.vault, call.now)
    page = call.services.urls.api + PAGE
    return wire.DeviceSignIn(
        device_code=device_code,
        user_code=user_code,
        verification_uri=page,
        verification_uri_complete=f"{page}?{urlencode({'user_code': user_code})}",
        expires_in=int(service.LIFETIME.total_seconds()),
        interval=service.INTERVAL,
    )


@api.route(
    "POST",
    "/auth/device/token",
    need=PUBLIC,
    request=wire.DeviceTokenRequest,
    response=cloud_api.SignInResult,
    errors=(
        ErrorCode.AUTHORIZATION_PENDING,
        ErrorCode.SLOW_DOWN,
        ErrorCode.ACCESS_DENIED,
        ErrorCode.EXPIRED_TOKEN,
        ErrorCode.CODE_INVALID,
    ),
)
async def collect_device_token(request: web.Request, body: wire.DeviceTokenRequest) -> cloud_api.SignInResult:
    """Ask whether the browser approved: then a token, once, like that of any sign-in."""
    call = call_of(request)
    code = body.device_code.get_secret_value()
    await _poll(call, code)
    account, waiting = await service.collect(call.session, code, call.now)
    organizations = await organizations_of(call, account.id)
    with call.act("account.sign_in", actor=account.email, organizations=organizations) as act:
        act.details |= {"by": "browser", "device": waiting.name}
        agent, organization_id = waiting.name or call.agent, waiting.organization_id
        stay = Stay.of(call.services.settings)
        origin = tokens.Origin(call.source, agent, mfa=waiting.mfa, organization_id=organization_id)
        token, expires_at = await tokens.issue(call.session, account, call.now, origin, stay)
    found = cloud_api.Account(id=account.id, email=account.email, name=account.name)
    return cloud_api.SignInResult(token=token, expires_at=expires_at, account=found)


async def _poll(call: Call, code: str) -> None:
    """In a unit of work of its own: that somebody asked is kept though they are refused."""
    await call.services.limits.codes.check(call.source)
    async with call.services.database.writing() as session:
        answer = await service.poll(session, code, call.now)
    if answer is ErrorCode.CODE_INVALID:
        await call.services.limits.codes.failed(call.source)
        raise service.used()
    if answer is not None:
        raise FarsiteError(answer, _WAITING[answer])
