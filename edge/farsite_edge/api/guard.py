"""Checks every request before its handler: is it for us, who asks, may they."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from farsite_edge.api.principal import Authenticator, Principal, Way
from farsite_edge.audit import AuditLog
from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.lan.hosts import HostRule
from farsite_edge.licence import LicenceGate
from farsite_signaling.rest import PUBLIC, Need
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.rights import CHANGES_DEVICES, Right

PRINCIPAL = web.RequestKey("principal", Principal)
WAY = web.RequestKey("way", Way)
PREFIX = "/api/v1"
# What shows more, or gets an organization out of having too few licences, is never held up.
ALWAYS = frozenset(
    {
        ("POST", "/discovery"),
        ("POST", "/discovery/scans"),
        ("DELETE", "/devices"),
        ("POST", "/devices/log-in"),
        ("PATCH", "/devices/{id}/tags"),
        ("DELETE", "/policies/{id}"),
        ("DELETE", "/policies/{id}/devices"),
        ("POST", "/tasks/{id}/cancel"),
    }
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    def __init__(
        self,
        authenticator: Authenticator,
        keeper: IdentityKeeper,
        hosts: HostRule,
        audit: AuditLog,
        licence: LicenceGate,
    ) -> None:
        self._authenticator = authenticator
        self._keeper = keeper
        self._hosts = hosts
        self._audit = audit
        self._licence = licence

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """DNS rebinding: on the LAN only requests for this machine's own names are answered."""
        request[WAY] = self._authenticator.way(request)
        if request[WAY] is Way.LAN:
            self._hosts.check(request.headers.get("Host", ""))
        return await handler(request)

    async def authorize(self, request: web.Request, need: Need) -> None:
        """For `Api.mount`."""
        if need is PUBLIC:
            return
        principal = await self._identify(request)
        request[PRINCIPAL] = principal
        if isinstance(need, Right) and not principal.allows(need):
            await self._refuse(request, principal, need)
        if need in CHANGES_DEVICES:
            await self._check_licence(request, principal)

    def may(self, request: web.Request, need: Need) -> bool:
        """For `Api.mount`, of somebody who was let in."""
        return isinstance(need, Right) and request[PRINCIPAL].allows(need)

    async def _check_licence(self, request: web.Request, principal: Principal) -> None:
        """Whoever asks: licences are of devices, not of people. Raises `licence_expired`."""
        if principal.grant is not None and principal.grant.licence is not None:
            await self._licence.learn(principal.grant.licence)
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else request.path
        if (request.method, path.removeprefix(PREFIX)) in ALWAYS:
            return
        error = self._licence.refusal()
        if error is not None:
            await self._note(request, principal.actor, principal.session, {"code": str(error.code)})
            raise error

    async def _identify(self, request: web.Request) -> Principal:
        if request[WAY] is Way.LAN and self._keeper.claim is None:
            raise FarsiteError(
                ErrorCode.NOT_CLAIMED, "This edge host is not claimed yet: only /info and /claim answer."
            )
        try:
            return self._authenticator.principal(request)
        except FarsiteError as error:
            actor = self._authenticator.known(request)
            if actor is not None:  # strangers are not written down: they could fill the log
                await self._note(request, actor, None, {"code": str(error.code)})
            raise

    async def refuse_device(self, request: web.Request, device: str) -> FarsiteError:
        """Outside the grant a device does not exist: the answer says so, the audit log says what was tried."""
        principal = request[PRINCIPAL]
        details = {"code": str(ErrorCode.DEVICE_UNKNOWN), "device": clean(device[:64])}
        await self._note(request, principal.actor, principal.session, details)
        return FarsiteError(
            ErrorCode.DEVICE_UNKNOWN, f"There is no device {clean(device[:64])} on this edge host."
        )

    async def _note(
        self, request: web.Request, actor: str, session: str | None, details: dict[str, str]
    ) -> None:
        target = f"{request.method} {request.path}"
        await self._audit.note(
            "api.request", actor=actor, target=target, outcome="refused", session=session, details=details
        )

    async def _refuse(self, request: web.Request, principal: Principal, right: Right) -> None:
        await self._note(request, principal.actor, principal.session, {"right": right.value})
        raise FarsiteError(
            ErrorCode.FORBIDDEN,
            f"This needs the right {right.value}, which this session has not.",
            right=right,
        )
