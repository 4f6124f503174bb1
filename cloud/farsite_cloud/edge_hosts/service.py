"""An organization's edge hosts."""

from __future__ import annotations

from datetime import datetime

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.folders.models import Folder
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import Report
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId, clean


class EdgeHosts:
    """Revoked edge hosts stay in the database, for the audit log, and out of every answer."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def list(self, after: str | None, limit: int) -> list[EdgeHost]:
        """One more than `limit`, if there are."""
        statement = self._scope.select(EdgeHost).where(EdgeHost.revoked_at.is_(None))
        if after is not None:
            statement = statement.where(EdgeHost.id > after)
        return await self._scope.all(statement.order_by(EdgeHost.id).limit(limit + 1))

    async def get(self, edge_id: str) -> EdgeHost:
        """Raises `not_found`."""
        edge = await self._scope.get(EdgeHost, edge_id, "edge host")
        if edge.revoked_at is not None:
            detail = f"The edge host {edge_id[:64]!r} was removed from this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        return edge

    async def change(self, edge: EdgeHost, body: wire.EdgeHostChange) -> None:
        """Fields left out, or null, stay. Raises `not_found` for an unknown folder."""
        changes = body.model_dump(exclude_none=True)
        if body.folder_id is not None:
            await self._scope.get(Folder, body.folder_id, "folder")
        for name, value in changes.items():
            setattr(edge, name, value)
        edge.revision += 1

    async def reported(self, edge_id: str, report: Report, now: datetime) -> None:
        edge = await self.get(edge_id)
        edge.version, edge.hostname = clean(report.version), clean(report.hostname)
        edge.remote_access = report.remote_access
        edge.devices_managed = report.devices_managed
        edge.devices_discovered = report.devices_discovered
        edge.last_seen = now

    async def seen(self, edge_id: str, now: datetime) -> None:
        await self._scope.change(
            self._scope.update(EdgeHost).where(EdgeHost.id == edge_id).values(last_seen=now)
        )


def edge_name(edge: EdgeHost) -> EdgeName:
    return EdgeName(OrgId(edge.organization_id), EdgeId(edge.id))


def edge_answer(edge: EdgeHost, online: bool) -> wire.EdgeHost:
    return wire.EdgeHost(
        id=edge.id,
        name=edge.name,
        description=edge.description,
        folder_id=edge.folder_id,
        urn=str(edge_name(edge)),
        online=online,
        remote_access=edge.remote_access,
        version=edge.version,
        hostname=edge.hostname,
        devices_managed=edge.devices_managed,
        devices_discovered=edge.devices_discovered,
        claimed_at=edge.claimed_at,
        last_seen=edge.last_seen,
        certificate_expires_at=edge.certificate_expires_at,
    )
