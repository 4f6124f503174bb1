"""Enrolling client devices."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.authorize import stand_fast
from farsite_cloud.api.call import call_of
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.clients.service import enrol_client
from farsite_signaling.rest import Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.rights import Right

api = Api()


@api.route(
    "POST",
    "/organizations/{org}/client-certificates",
    need=Right.REMOTE_ACCESS,
    request=wire.EnrolRequest,
    response=wire.Enrolment,
    status=201,
    headers=(HEADER,),
    errors=(ErrorCode.CERTIFICATE_INVALID,),
)
async def enrol(request: web.Request, body: wire.EnrolRequest) -> wire.Enrolment:
    """Sign a client device's certificate request, for 90 days."""
    call = call_of(request)

    async def create() -> wire.Enrolment:
        with call.act("client.enrolled") as act:
            await stand_fast(request, Right.REMOTE_ACCESS)
            hub_url = call.services.urls.hub
            enrolment = enrol_client(call.scope, call.caller.account_id, body, call.keys, hub_url, call.now)
            act.target = enrolment.name
        return enrolment

    return await once(request, call.caller.account_id, wire.Enrolment, create)
