"""Looks at every organization once in a while: remembers that it is covered, tells what is due, informs edge hosts."""

from __future__ import annotations

import logging
from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple, Protocol

from pydantic import BaseModel
from sqlalchemy import Select

from farsite_cloud.clock import Clock
from farsite_cloud.database import Database, Scope
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name
from farsite_cloud.licences.counting import Standing, unlicensed
from farsite_cloud.licences.licensing import Licensing
from farsite_cloud.licences.models import LicenceRecord
from farsite_cloud.licences.notices import tell
from farsite_cloud.licences.statements import claims_for
from farsite_cloud.licences.warnings import due
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import all_organizations, find_organization
from farsite_cloud.vault import Vault
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.ids import EdgeName
from farsite_signaling.wire.licence import LicenceNotice, LicenceStatement

logger = logging.getLogger(__name__)
_MOST_TOLD = 20_000


class Told(NamedTuple):
    """What an edge host was told last, and as of when (Unix seconds)."""

    state: str
    changes_until: int | None
    at: int


class Online(Protocol):
    """The part of the hub that is used here."""

    def online(self, urn: str) -> bool: ...

    async def notify(self, urn: str, message: BaseModel) -> bool: ...


class LicenceWatch:
    """One for each process; what several of them do at the same time is done once in effect."""

    def __init__(
        self, database: Database, vault: Vault, clock: Clock, peers: Online, licensing: Licensing
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._peers = peers
        self._licensing = licensing
        self._told: OrderedDict[str, Told] = OrderedDict()

    async def run(self) -> None:
        if not self._licensing.on:
            return
        async with self._database.reading() as session:
            organizations = await all_organizations(session)
        for organization_id in organizations:
            try:
                await self.observe(organization_id)
                await self.inform(organization_id)
            except FarsiteError as error:
                logger.error("licences of %s: %s", organization_id, error)

    async def observe(self, organization_id: str) -> Standing | None:
        """None when the organization is gone."""
        now = self._clock()
        if not self._licensing.on:
            return unlicensed(now)
        async with self._database.writing() as session:
            organization = await find_organization(session, organization_id)
            if organization is None:
                return None
            scope = Scope(session, organization_id)
            found = await self._licensing.evaluate(scope, organization, now)
            await _remember(scope, found, now)
        return found

    async def inform(self, organization_id: str) -> None:
        """Edge hosts that are connected, of what they do not know yet."""
        async with self._database.reading() as session:
            edges = [
                edge_name(edge) for edge in await EdgeHosts(Scope(session, organization_id)).everywhere()
            ]
        for name in edges:
            if self._peers.online(str(name)):
                await self.inform_edge(name)

    def counted(self, name: EdgeName) -> None:
        """Its devices are others than before: what was worked out of them is over."""
        self._licensing.forget(name.org)

    def left(self, name: EdgeName) -> None:
        """It may be another one, with nothing pinned, that comes back."""
        self._told.pop(str(name), None)

    async def inform_edge(self, name: EdgeName) -> None:
        """Nothing where licences were never asked for: what was never told needs no taking back."""
        now = self._clock()
        async with self._database.reading() as session:
            scope = Scope(session, name.org)
            # Asked with every report of every edge host.
            if not (self._licensing.on or await scope.kept_rows("licence record", _record)):
                return
            organization = await find_organization(session, name.org)
            if organization is None:
                return
            standing = await self._licensing.standing(scope, organization, now)
        claims, before = claims_for(standing, name.org, name.edge, now), self._told.get(str(name))
        if before is not None and before[:2] == (str(claims.state), claims.changes_until):
            return
        # The newest counts, and two may be of one second.
        at = claims.at if before is None else max(claims.at, before.at + 1)
        statement = LicenceStatement(**claims.model_dump() | {"at": at}, aud=str(name))
        if await self._send(name, organization, statement):
            self._keep(name, Told(str(claims.state), claims.changes_until, at))

    async def _send(self, name: EdgeName, organization: Organization, statement: LicenceStatement) -> bool:
        signed = OrganizationKeys(organization, self._vault).sign_licence_statement(statement)
        return await self._peers.notify(str(name), LicenceNotice(statement=signed))

    def _keep(self, name: EdgeName, news: Told) -> None:
        self._told[str(name)] = news
        if len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)


def _record(scope: Scope) -> Select[str]:
    return scope.select(LicenceRecord).with_only_columns(LicenceRecord.id)


async def _remember(scope: Scope, standing: Standing, now: datetime) -> None:
    row = await scope.first(
        scope.select(LicenceRecord).where(LicenceRecord.id == scope.organization_id).with_for_update()
    )
    if row is None:
        # What there was before licences were asked for was allowed: from now on it counts.
        row = LicenceRecord(id=scope.organization_id, covered_at=now, seen_at=now, told=None)
        scope.add(row)
    row.seen_at = max(row.seen_at, now)
    if standing.covered:
        row.covered_at = standing.now
    warning = due(standing, row.told)
    if warning is not None:
        row.told = warning.key
        await tell(scope, warning, now)
