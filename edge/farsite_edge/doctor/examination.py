"""Puts the report of `farsite edge doctor` together."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from farsite_edge.admin.caller import AdminCaller, NotRunning
from farsite_edge.claim.cloud import CloudHttp, cloud_tls
from farsite_edge.core import EdgeCore
from farsite_edge.doctor.ports import allow_list, port_rows
from farsite_edge.doctor.stored import (
    certificate_rows,
    connection_rows,
    database_row,
    device_row,
    missing_row,
    stored,
)
from farsite_edge.settings import EdgeSettings
from farsite_signaling.identity import sign_relay_check
from farsite_signaling.peer.netcheck import Target, netcheck
from farsite_signaling.wire.edge_api import EdgeInfo, EdgeStatus, StorageState
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.netcheck import (
    CheckReport,
    CheckRow,
    RelayCheck,
    RelayCheckRequest,
    failed,
    passed,
    warned,
)

MEBIBYTE = 1024 * 1024
STORAGE_FIX = "Until then what is known is served, and changes are refused."
LITTLE, TOO_LITTLE = 1024 * MEBIBYTE, 64 * MEBIBYTE


async def examine(settings: EdgeSettings) -> CheckReport:
    """Changes nothing, and raises only for settings that are none: `setting_invalid`."""
    running, status, row = await _running(settings)
    settings = _as_running(settings, status)
    rows = [row, disk_row(settings.data_dir)]
    network = CheckReport()
    try:
        async with stored(settings) as found:
            rows += [database_row(settings), *certificate_rows(found.core)]
            rows += [*await connection_rows(found.core), device_row(found.registry)]
            target = await _target(settings, found.core)
            if target is not None:
                network = await netcheck(target)
    except FarsiteError as error:
        rows.append(missing_row(settings, error))
    rows += [*await port_rows(settings, running), *network.rows]
    return CheckReport(rows=rows, allow_list=[*network.allow_list, *allow_list(settings)])


def _as_running(settings: EdgeSettings, status: EdgeStatus | None) -> EdgeSettings:
    """It may have been started with other ports than this command was told; one of an older version does not say."""
    if status is None or not status.ports.https:
        return settings
    ports = status.ports
    return settings.model_copy(
        update={
            "https_port": ports.https,
            "http_port": ports.http,
            "multicast": bool(ports.multicast),
            "multicast_port": ports.multicast or settings.multicast_port,
        }
    )


async def _running(settings: EdgeSettings) -> tuple[EdgeInfo | None, EdgeStatus | None, CheckRow]:
    caller, name = AdminCaller(settings.data_dir), "edge host"
    try:
        info = await caller.call("GET", "/info", EdgeInfo)
        status = await caller.call("GET", "/status", EdgeStatus)
    except NotRunning:
        return None, None, warned(name, f"not running with {settings.data_dir}", "Start it: farsite edge run")
    except FarsiteError as error:
        return None, None, failed(name, error.detail, "Run this as the user the edge host runs as.")
    text = f"{status.name} {status.version} runs, {status.state}, cloud {status.cloud_state}"
    if status.storage is not StorageState.OK:
        return (
            info,
            status,
            failed(name, f"{text}; storage {status.storage}: {status.storage_detail}", STORAGE_FIX),
        )
    if status.cloud_state == "online" or status.cloud_url is None:
        return info, status, passed(name, text)
    return info, status, warned(name, f"{text}: {status.cloud_detail}", "See the rows of the hub below.")


def disk_row(folder: Path) -> CheckRow:
    place = next((path for path in (folder, *folder.parents) if path.exists()), Path.cwd())
    free = shutil.disk_usage(place).free
    text = f"{free / MEBIBYTE:.0f} MiB free for {folder}"
    if free < TOO_LITTLE:
        return failed("disk", text, "Free some space now: nothing can be stored soon.")
    if free < LITTLE:
        return warned("disk", text, "Free some space.")
    return passed("disk", text)


async def _target(settings: EdgeSettings, core: EdgeCore) -> Target | None:
    claim = core.keeper.claim
    if claim is None:
        return None
    proxy = await core.preferences.proxy_address()

    async def ask() -> RelayCheck:
        proof = sign_relay_check(core.keeper.identity, time.time())
        body = RelayCheckRequest(certificate=claim.certificate, proof=proof)
        async with CloudHttp(claim.cloud_url, proxy=proxy, ca=settings.cloud_ca) as cloud:
            return await cloud.post("/api/v1/edge/relay-check", body.model_dump(), RelayCheck)

    return Target(
        cloud_url=claim.cloud_url,
        hub_url=claim.hub_url,
        proxy_address=proxy,
        tls=cloud_tls(settings.cloud_ca),
        turn_ca=str(settings.turn_ca) if settings.turn_ca else None,
        ask_relays=ask,
    )
