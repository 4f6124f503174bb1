"""What the edge host says of itself: to everybody on the site, and to those who may ask how it is."""

from __future__ import annotations

from datetime import UTC, datetime

from farsite_edge.core import EdgeCore
from farsite_edge.devices import Registry
from farsite_edge.lan.doors import Doors
from farsite_edge.licence import LicenceGate
from farsite_edge.remote.access import RemoteAccess, RemoteState
from farsite_edge.version import __version__
from farsite_signaling.wire.edge_api import EdgeInfo, EdgeState, EdgeStatus
from farsite_signaling.wire.version import supported_versions

PRODUCT = "farsite-edge"


class Standing:
    def __init__(
        self, core: EdgeCore, registry: Registry, licence: LicenceGate, doors: Doors, remote: RemoteAccess
    ) -> None:
        self._core = core
        self._registry = registry
        self._licence = licence
        self._doors = doors
        self._remote = remote

    def info(self) -> EdgeInfo:
        keeper = self._core.keeper
        claim = keeper.claim
        return EdgeInfo(
            product=PRODUCT,
            id=keeper.edge_id,
            name=self._core.preferences.name,
            state=EdgeState.CLAIMED if claim else EdgeState.UNCLAIMED,
            version=__version__,
            protocol_versions=supported_versions(),
            https_port=self._doors.https,
            fingerprint=keeper.fingerprint,
            organization=claim.organization_name if claim else None,
        )

    def status(self) -> EdgeStatus:
        claim, remote = self._core.keeper.claim, self._remote
        preferences, health = self._core.preferences, self._core.database.health
        return EdgeStatus(
            id=self._core.keeper.edge_id,
            name=preferences.name,
            state=EdgeState.CLAIMED if claim else EdgeState.UNCLAIMED,
            version=__version__,
            organization=claim.organization_name if claim else None,
            cloud_url=claim.cloud_url if claim else None,
            cloud_state=remote.cloud_state,
            cloud_detail=remote.cloud_detail,
            remote_access=preferences.remote_access,
            remote_access_active=remote.state is RemoteState.ACTIVE,
            sessions=remote.sessions,
            devices_managed=self._registry.count(managed=True),
            devices_discovered=self._registry.count(managed=False),
            licence=self._licence.state,
            changes_allowed=self._licence.refusal() is None,
            storage=health.state,
            storage_detail=health.detail,
            ports=self._doors.ports(),
            time=datetime.now(UTC),
        )
