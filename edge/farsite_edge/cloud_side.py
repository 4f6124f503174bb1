"""All that goes to the cloud and comes from it: the connection, reports, inventory, orders of work, renewal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from farsite_edge.audit import AuditLog
from farsite_edge.axis_os.folder import ImageFolder
from farsite_edge.axis_os.service import OsService
from farsite_edge.core import EdgeCore
from farsite_edge.devices import Registry
from farsite_edge.devices.tags import Tags
from farsite_edge.identity.renewal import Renewal
from farsite_edge.inventory.journal import Journal
from farsite_edge.inventory.sender import InventorySender
from farsite_edge.licence import LicenceGate
from farsite_edge.policies import PolicyService
from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.access import RemoteAccess
from farsite_edge.remote.judge import StreamJudge
from farsite_edge.reports.reporter import Reporter
from farsite_edge.tasks import TaskRunner
from farsite_edge.work import OrderStore, WorkDesk
from farsite_edge.work.kinds import work_kinds
from farsite_edge.work.reporter import PACE, WorkReporter
from farsite_signaling.wire.hub import ReportAccepted
from farsite_signaling.wire.inventory import InventoryAccepted, InventoryWanted, TagsSet
from farsite_signaling.wire.licence import LicenceNotice
from farsite_signaling.wire.work import WorkOrder, WorkReportAccepted

Run = Callable[[], Awaitable[None]]


class CloudSide:
    """`changed` is called when cloud or remote access state change, `renewed` after a new certificate."""

    def __init__(
        self,
        core: EdgeCore,
        registry: Registry,
        audit: AuditLog,
        judge: StreamJudge,
        api_connection: Callable[[], asyncio.BaseProtocol],
        *,
        changed: Callable[[], None],
        renewed: Callable[[], None],
    ) -> None:
        settings = core.settings
        self._core = core
        self._registry = registry
        self._audit = audit
        acceptor = EdgeAcceptor(judge, api_connection, timeout=settings.device_timeout)
        self.remote = RemoteAccess(
            settings,
            core.keeper,
            core.preferences,
            audit,
            acceptor=acceptor,
            usage=acceptor.usage,
            on_change=changed,
        )
        self.reporter = Reporter(
            registry,
            core.preferences,
            audit,
            self.remote.send,
            interval=settings.report_interval,
            path=self.remote.newest_path,
            storage=core.database.health,
            online=lambda: self.remote.online,
        )
        self.inbox = self.remote.inbox
        self.inbox.listen(ReportAccepted, lambda message: self.reporter.accepted(message.id))
        self.renewal = Renewal(settings, core.keeper, core.preferences, renewed)
        self.journal = Journal(core.database, core.facts)

    def listen(self, licence: LicenceGate, tags: Tags) -> None:
        """To what the cloud says about these."""
        self.inbox.listen(LicenceNotice, lambda message: licence.take(message.statement))
        self.inbox.listen(TagsSet, lambda message: tags.take(message.things))

    def build_inventory(self, tasks: TaskRunner, folder: ImageFolder) -> None:
        self.inventory = InventorySender(
            self.journal,
            self.remote.send,
            interval=self._core.settings.report_interval,
            watch=tasks.watch,
            look=folder.images,
            online=lambda: self.remote.online,
        )
        self.inbox.listen(InventoryAccepted, self.inventory.answered)
        self.inbox.listen(InventoryWanted, self.inventory.answered)

    def build_work(self, tasks: TaskRunner, os: OsService, policies: PolicyService) -> None:
        """Orders of the cloud become tasks; what becomes of them goes back."""
        core, orders = self._core, OrderStore(self._core.database)
        pace = min(PACE, core.settings.report_interval / 10)
        self.work_reporter = WorkReporter(orders, tasks, core.keeper, self.remote.send, pace=pace)
        self.work = WorkDesk(
            orders,
            work_kinds(os, policies),
            tasks,
            self._registry,
            core.keeper,
            core.preferences,
            self._audit,
            changed=self.work_reporter.due,
        )
        self.inbox.listen(WorkOrder, self.work.take)
        self.inbox.listen(WorkReportAccepted, lambda message: self.work_reporter.accepted(message.id))

    def online(self) -> None:
        """The connection stands again: what has waited goes."""
        self.reporter.due()
        self.work_reporter.online()
        self.inventory.online()

    @property
    def loops(self) -> dict[str, Run]:
        return {
            "remote access": self.remote.run,
            "reports": self.reporter.run,
            "work": self.work.run,
            "work reports": self.work_reporter.run,
            "inventory": self.inventory.run,
            "renewal": self.renewal.run,
        }
