"""Signing of devices' HTTPS certificates, asked for by the edge host that manages them."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.attempts import guessing
from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.inventory.models import ManagedDevice
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.signaling.admission import PROOF_ERRORS, Admitted, admit
from farsite_signaling.identity.certificates import public_key_of
from farsite_signaling.identity.renewals import verify_device_request
from farsite_signaling.rest import PUBLIC, Api
from farsite_signaling.wire.device_certificates import DeviceCertificate, DeviceCertificateRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()


@api.route(
    "POST",
    "/edge/device-certificates",
    need=PUBLIC,
    request=DeviceCertificateRequest,
    response=DeviceCertificate,
    status=201,
    errors=(*PROOF_ERRORS, ErrorCode.DEVICE_UNKNOWN),
)
async def sign_device_certificate(request: web.Request, body: DeviceCertificateRequest) -> DeviceCertificate:
    """Sign the HTTPS certificate of a device the edge host manages: for servers only, with names made here."""
    call = call_of(request)
    async with guessing(call.services.limits.renewals, call.source):
        return await _sign(call, body)


async def _sign(call: Call, body: DeviceCertificateRequest) -> DeviceCertificate:
    with call.act("device.certificate_signed") as act:
        admitted = await admit(call.session, body.certificate, call.now)
        act.organizations, act.target = [admitted.organization.id], body.device
        act.actor = str(admitted.name)
        now = call.now.timestamp()
        key = public_key_of(admitted.certificate)
        verify_device_request(body.proof, key, name=str(admitted.name), text=body.signed(), now=now)
        await _check_device(call, admitted, body.device)
        keys = OrganizationKeys(admitted.organization, call.services.vault)
        return keys.sign_device(body, timedelta(days=body.days), call.now)


async def _check_device(call: Call, admitted: Admitted, device: str) -> None:
    """An edge host asks for its own devices only, and for those the cloud has heard of."""
    if not isinstance(admitted.row, EdgeHost):
        raise FarsiteError(ErrorCode.FORBIDDEN, "Certificates of devices are for edge hosts to ask for.")
    scope = Scope(call.session, admitted.organization.id)
    wanted = (ManagedDevice.edge_host_id == admitted.row.id, ManagedDevice.serial == device)
    if await scope.first(scope.select(ManagedDevice).where(*wanted)) is None:
        detail = f"The cloud does not know the device {device} of this edge host yet. It is reported within minutes."
        raise FarsiteError(ErrorCode.DEVICE_UNKNOWN, detail)
