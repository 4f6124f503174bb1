"""An organization's licences: what there is, what is needed, redeeming keys, who is served first."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_if_match, etag, hold
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.licences.counting import Holder, Need, Share, Standing
from farsite_cloud.licences.licensing import behind
from farsite_cloud.licences.models import Licence, LicenceRecord, LicenceReservation
from farsite_cloud.licences.redemption import redeem
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import licence_api as wire
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.licence import LicenceKind, LicenceState
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/licences"
_ALLOCATION = f"{_LIST}/allocations/{{edge}}"


@api.route("GET", _LIST, need=Right.ORGANIZATION_READ, response=wire.LicenceOverview)
async def get_licences(request: web.Request) -> wire.LicenceOverview:
    """Where the organization stands: its licences, the current need, and until when it is covered."""
    return await _overview(call_of(request))


async def _overview(call: Call) -> wire.LicenceOverview:
    standing = await call.services.licensing.evaluate(call.whole, call.organization, call.now)
    record = await call.whole.find(LicenceRecord, call.organization.id)
    rows = await call.whole.all(call.whole.select(Licence).order_by(Licence.ends_at, Licence.id))
    return wire.LicenceOverview(
        state=standing.state,
        detail=_sentence(standing),
        changes_allowed=standing.changes_allowed,
        trial_until=standing.trial_until,
        covered_until=standing.covered_until,
        grace_until=standing.grace_until,
        needs=[_need(need) for need in standing.needs],
        licences=[_licence(row, standing) for row in rows],
        clock_behind=behind(call.now, record),
    )


def _sentence(standing: Standing) -> str:
    lacking = sum(need.missing for need in standing.needs)
    match standing.state:
        case LicenceState.UNLICENSED:
            return "Unlicensed self-hosting: this cloud asks for no licences, and nothing is limited."
        case LicenceState.TRIAL:
            return f"Trial until {standing.trial_until:%Y-%m-%d}."
        case LicenceState.LICENSED if standing.covered_until:
            return f"Every device is covered until {standing.covered_until:%Y-%m-%d}."
        case LicenceState.LICENSED:
            return "No device needs a licence now."
        case LicenceState.GRACE:
            return f"{lacking} licences are missing. Devices can be changed until {standing.grace_until:%Y-%m-%d}."
        case _:
            return f"{lacking} licences are missing, and the time to get them is over: devices are seen, and not changed."


def _need(need: Need) -> wire.LicenceNeed:
    return wire.LicenceNeed(**vars(need))


def _licence(row: Licence, standing: Standing) -> wire.Licence:
    return wire.Licence(
        id=row.id,
        kind=LicenceKind(row.kind),
        count=row.count,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        issuer=row.issuer,
        redeemed_at=row.redeemed_at,
        redeemed_by=row.redeemed_by,
        active=row.starts_at <= standing.now < row.ends_at,
    )


@api.route(
    "POST",
    _LIST,
    need=Right.LICENCE_MANAGE,
    request=wire.RedeemRequest,
    response=wire.LicenceOverview,
    status=201,
    errors=(ErrorCode.LICENCE_INVALID, ErrorCode.LICENCE_USED),
)
async def redeem_licence(request: web.Request, body: wire.RedeemRequest) -> wire.LicenceOverview:
    """Redeem a licence key. The same key again changes nothing; another organization's is refused."""
    call = call_of(request)
    with call.act("licence.redeemed") as act:
        text = body.key.get_secret_value()
        licence = await redeem(call.whole, call.services.licensing, text, call.actor, call.now)
        act.target = licence.id
        act.details |= {"kind": licence.kind, "count": licence.count, "until": licence.ends_at.isoformat()}
        overview = await _overview(call)
    _tell_edges(call)
    return overview


def _tell_edges(call: Call) -> None:
    """What was worked out before the commit is not kept, should it fail."""
    organization, watch = call.organization.id, call.services.licence_watch
    call.services.licensing.forget(organization)

    async def inform() -> None:
        call.services.licensing.forget(organization)
        await watch.observe(organization)
        await watch.inform(organization)

    call.later(inform)


@api.route("GET", f"{_LIST}/allocations", need=Right.EDGE_READ, response=wire.AllocationList)
async def list_allocations(request: web.Request) -> wire.AllocationList:
    """What each edge host needs and gets, in the order in which they are served."""
    return await _allocations(call_of(request))


async def _allocations(call: Call) -> wire.AllocationList:
    standing = await call.services.licensing.evaluate(call.whole, call.organization, call.now)
    edges = await EdgeHosts(call.scope).everywhere()
    found = [
        _allocation(edge, standing, standing.shares[edge.id]) for edge in edges if edge.id in standing.shares
    ]
    return wire.AllocationList(allocations=found)


@api.route("GET", _ALLOCATION, need=Right.EDGE_READ, response=wire.Allocation, errors=(ErrorCode.NOT_FOUND,))
async def get_allocation(request: web.Request) -> Answer:
    """What one edge host needs and gets."""
    call = call_of(request)
    edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
    standing = await call.services.licensing.evaluate(call.whole, call.organization, call.now)
    share = standing.shares.get(edge.id) or Share(Holder(edge.id), {}, 0)
    reserved = await call.whole.find(LicenceReservation, edge.id)
    return Answer(_allocation(edge, standing, share), etag(_revision(reserved)))


def _revision(reserved: LicenceReservation | None) -> str:
    """What can be edited of it is what is reserved."""
    return "0-0" if reserved is None else f"{reserved.device}-{reserved.universal}"


def _allocation(edge: EdgeHost, standing: Standing, share: Share) -> wire.Allocation:
    return wire.Allocation(
        edge_id=edge.id,
        edge_name=edge.name,
        needed=dict(share.holder.needed),
        allocated=dict(share.allocated),
        missing=share.missing,
        first=dict(share.holder.first),
        changes_allowed=standing.may_change(edge.id),
    )


@api.route(
    "PUT",
    _ALLOCATION,
    need=Right.LICENCE_MANAGE,
    request=wire.ReservationRequest,
    response=wire.AllocationList,
    headers=(IF_MATCH,),
)
async def reserve_licences(request: web.Request, body: wire.ReservationRequest) -> Answer:
    """Let licences go to one edge host before others; zero of each takes that back."""
    call = call_of(request)
    with call.act("licence.reserved", request.match_info["edge"]) as act:
        edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
        act.details |= body.model_dump()
        await hold(request, edge)
        check_if_match(request, _revision(await call.whole.find(LicenceReservation, edge.id)))
        reserved = await _reserve(call, edge.id, body)
        await call.session.flush()
    _tell_edges(call)
    return Answer(await _allocations(call), etag(_revision(reserved)))


async def _reserve(call: Call, edge_id: str, body: wire.ReservationRequest) -> LicenceReservation | None:
    row = await call.whole.find(LicenceReservation, edge_id)
    if row is None and (body.device or body.universal):
        row = LicenceReservation(id=edge_id)
        call.whole.add(row)
    if row is not None:
        row.device, row.universal = body.device, body.universal
    return row
