"""What the short-lived commands do."""

from __future__ import annotations

import asyncio
from typing import Any

from farsite_edge.admin.caller import AdminCaller, NotRunning
from farsite_edge.api.host_routes import Health
from farsite_edge.audit import AuditLog
from farsite_edge.core import EdgeCore
from farsite_edge.neighbour import check_meant
from farsite_edge.settings import EdgeSettings
from farsite_edge.version import __version__
from farsite_signaling.wire.edge_api import ClaimRequest, EdgeInfo, EdgeState, EdgeStatus, Settings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.version import supported_versions

HEALTH_SECONDS = 5.0


async def claim(settings: EdgeSettings, request: ClaimRequest) -> EdgeInfo:
    """Through the edge host when it runs, else straight into its data folder."""
    body = request.model_dump(mode="json", exclude_none=True)
    body["code"] = request.code.get_secret_value()
    if request.proxy_address is not None:
        body["proxy_address"] = request.proxy_address.get_secret_value()
    try:
        return await AdminCaller(settings.data_dir).call("POST", "/claim", EdgeInfo, body)
    except NotRunning:
        await check_meant(settings)
        return await _claim_here(settings, request)


async def _claim_here(settings: EdgeSettings, request: ClaimRequest) -> EdgeInfo:
    async with EdgeCore(settings) as core:
        before = core.keeper.claim
        record = await core.claimer.claim(request, local=True)
        if before is not None and not record.goes_on_from(before):
            await AuditLog(core.database).keep_to_ourselves()
        return EdgeInfo(
            id=record.edge_id,
            name=core.preferences.name,
            state=EdgeState.CLAIMED,
            version=__version__,
            protocol_versions=supported_versions(),
            https_port=settings.https_port,
            fingerprint=core.keeper.fingerprint,
            organization=record.organization_name,
        )


async def status(settings: EdgeSettings) -> EdgeStatus:
    return await AdminCaller(settings.data_dir).call("GET", "/status", EdgeStatus)


async def health(settings: EdgeSettings) -> Health:
    """Raises `unavailable` when there is no answer in `HEALTH_SECONDS`."""
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            return await AdminCaller(settings.data_dir).call("GET", "/healthz", Health)
    except TimeoutError:
        detail = f"The edge host runs, but does not answer within {HEALTH_SECONDS:.0f} s."
        raise FarsiteError(ErrorCode.UNAVAILABLE, detail) from None


async def info(settings: EdgeSettings) -> EdgeInfo:
    return await AdminCaller(settings.data_dir).call("GET", "/info", EdgeInfo)


async def runs(settings: EdgeSettings) -> bool:
    try:
        await info(settings)
    except NotRunning:
        return False
    return True


async def settings(settings: EdgeSettings, change: dict[str, Any]) -> Settings:
    """Show, or change and show. Works on the data folder itself when no edge host runs."""
    caller = AdminCaller(settings.data_dir)
    try:
        if change:
            return await caller.call("PATCH", "/settings", Settings, change)
        return await caller.call("GET", "/settings", Settings)
    except NotRunning:
        await check_meant(settings)
        return await _settings_here(settings, change)


async def _settings_here(settings: EdgeSettings, change: dict[str, Any]) -> Settings:
    from farsite_signaling.wire.edge_api import SettingsChange

    async with EdgeCore(settings) as core:
        await core.preferences.change(SettingsChange.model_validate(change))
        return await core.preferences.shown()
