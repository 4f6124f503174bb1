"""The edge host: puts its parts together, starts and stops them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from types import TracebackType

from aiohttp import web

from farsite_edge.admin.site import AdminSite
from farsite_edge.api.app import build_app, join
from farsite_edge.api.app_routes import AppRoutes
from farsite_edge.api.assign_routes import AssignRoutes
from farsite_edge.api.catalogue_routes import CatalogueRoutes
from farsite_edge.api.device_routes import DeviceRoutes
from farsite_edge.api.device_task_routes import DeviceTaskRoutes
from farsite_edge.api.diagnostics_routes import DiagnosticsRoutes
from farsite_edge.api.discovery_routes import DiscoveryRoutes
from farsite_edge.api.guard import Guard
from farsite_edge.api.host_routes import HostRoutes
from farsite_edge.api.os_routes import OsRoutes
from farsite_edge.api.policy_routes import PolicyRoutes
from farsite_edge.api.principal import LOCAL_ACTOR, Authenticator
from farsite_edge.api.report_routes import ReportRoutes
from farsite_edge.api.tag_routes import TagRoutes
from farsite_edge.api.task_routes import TaskRoutes
from farsite_edge.assign import AssignService
from farsite_edge.audit import AuditLog
from farsite_edge.axis_os.job import OsJob
from farsite_edge.axis_os.service import ROLLBACK, UPGRADE, OsService
from farsite_edge.core import EdgeCore
from farsite_edge.device_tasks import DeviceTasks
from farsite_edge.devices import DeviceManager, Finder, Gateway, Monitor, Registry
from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.connections import Connections
from farsite_edge.devices.credentials import CredentialStore
from farsite_edge.devices.gateway import real_gateway
from farsite_edge.devices.scan_job import SCAN, ScanJob, ScanService
from farsite_edge.devices.tags import Tags
from farsite_edge.identity.renewal import Renewal
from farsite_edge.identity.tls import ServerTls
from farsite_edge.inventory.journal import Journal
from farsite_edge.inventory.sender import InventorySender
from farsite_edge.lan.discovery import discovery_app
from farsite_edge.lan.hosts import HostRule
from farsite_edge.lan.listening import LIMITS, listen
from farsite_edge.lan.multicast import MulticastResponder
from farsite_edge.licence import LicenceGate
from farsite_edge.os_catalogue.host import ImageHost
from farsite_edge.os_catalogue.job import DOWNLOAD
from farsite_edge.policies import BY_ITSELF, POLICY, PolicyHost, uneventful
from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.access import RemoteAccess, RemoteState
from farsite_edge.remote.judge import StreamJudge
from farsite_edge.reports.reporter import Reporter
from farsite_edge.settings import EdgeSettings
from farsite_edge.store.copies import Copies
from farsite_edge.store.watch import StorageWatch
from farsite_edge.supervise import supervised
from farsite_edge.tasks import TaskRecord, TaskRunner, TaskStore, WorkRow
from farsite_edge.tasks.zone import site_zone
from farsite_edge.timing import device_timing, os_limits
from farsite_edge.version import __version__
from farsite_edge.work import OrderStore, WorkDesk
from farsite_edge.work.kinds import work_kinds
from farsite_edge.work.reporter import PACE, WorkReporter
from farsite_signaling.rest import Front, Route
from farsite_signaling.wire.edge_api import ClaimRequest, EdgeInfo, EdgeState, EdgeStatus
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.version import supported_versions

PRODUCT = "farsite-edge"
# Long enough that an answer given before a change takes effect has left the tunnel.
ANSWER_GRACE = 0.3
Notify = Callable[[str, dict[str, object]], None]
logger = logging.getLogger(__name__)


class EdgeHost:
    """`async with EdgeHost(settings) as host`: ports are open and everything runs when it is entered.

    `notify(event, values)` is told `claimed`, `cloud_online`, `cloud_offline`, `remote_access` and `task_finished`.
    `suspect`: its database was said to be damaged, and is looked at closely.
    Raises `FarsiteError` for what the administrator can change: `port_taken`, `storage_failed`, `disk_full`, `conflict`.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        gateway: Gateway | None = None,
        notify: Notify = lambda _event, _values: None,
        suspect: bool = False,
    ) -> None:
        self.settings = settings
        self.core = EdgeCore(settings, suspect=suspect)
        self.keeper = self.core.keeper
        self.preferences = self.core.preferences
        self.audit = AuditLog(self.core.database)
        self.registry = Registry(self.core.database)
        self.copies = Copies(self.core.database)
        self.licence = LicenceGate(self.core.facts, self.keeper)
        self.http_port = self.https_port = self.multicast_port = 0
        self._gateway = gateway
        self._notify = notify
        self._hosts = HostRule(settings.allowed_hosts)
        self._rule = AddressRule(allow_own=settings.allow_loopback_devices)
        self._tls = ServerTls(settings.data_dir, self.keeper)
        self._stack = AsyncExitStack()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._seen = {"remote": str(RemoteState.OFF)}
        self._closing = False

    async def __aenter__(self) -> EdgeHost:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.core)
            await self.registry.load()
            self.licence.load()
            await self._tell_of_repair()
            self._build(await stack.enter_async_context(Connections()))
            await self._credentials.load()
            await self.policies.store.load()
            await self.images.catalogue.load()
            await self.tasks.load()
            await self._open_ports(stack)
            self._group = await asyncio.TaskGroup().__aenter__()
            self._start()
            self._stack = stack.pop_all()
        logger.info("edge host %s runs: HTTPS port %d", self.keeper.edge_id, self.https_port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        try:
            await self.remote.stop(self.settings.shutdown_timeout)
        finally:
            try:
                await self._end_tasks()
            finally:
                await self._stack.__aexit__(kind, error, trace)

    async def _tell_of_repair(self) -> None:
        with suppress(FarsiteError):  # they go on waiting
            await self.audit.keep_waiting()
        repaired = self.core.repaired
        if repaired is not None:
            details = {"aside": str(repaired.aside), "detail": repaired.detail}
            await self.audit.note("edge.database_repaired", actor="edge", outcome="failed", details=details)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        assert self._group is not None
        # What the caller's block raised is the caller's: it does not become part of a group.
        await self._group.__aexit__(None, None, None)

    # Putting together

    def _build(self, connections: Connections) -> None:
        settings = self.settings
        gateway = self._gateway or real_gateway()
        self._credentials = CredentialStore(
            self.core.database, self.core.vault, interval=settings.log_in_interval
        )
        self.tags = Tags(self.core.database, self.registry)
        self.manager = DeviceManager(
            self.registry,
            self._credentials,
            gateway,
            connections,
            self._rule,
            self.tags,
            timeout=settings.device_timeout,
        )
        self.finder = Finder(self.registry, gateway, self._rule, settings)
        intervals = {"interval": settings.poll_interval, "refresh": settings.refresh_interval}
        self.monitor = Monitor(self.manager, **intervals)
        self._build_tasks()
        self._build_remote()
        self._build_work()
        self._build_api()
        self.audit.on_row = self.registry.on_change = self.reporter.due
        self.core.database.health.on_change = self.reporter.due
        self.core.vault.on_replaced = self.copies.secrets_changed
        self.registry.on_write = self.tags.on_change = self.inventory.due

    def _build_tasks(self) -> None:
        settings = self.settings
        self.images = ImageHost(self.core, self.registry, lambda: self.os.needed())
        job = OsJob(self.manager, self.images.folder, os_limits(settings), ensure=self.images.service.ensure)
        self.policies = PolicyHost(settings, self.core, self.manager, self._credentials)
        self.device_tasks = DeviceTasks(self.manager, self.finder, self.core.vault, device_timing(settings))
        self.tasks = TaskRunner(
            TaskStore(self.core.database),
            {
                UPGRADE: job,
                ROLLBACK: job,
                POLICY: self.policies.job,
                SCAN: ScanJob(self.finder),
                DOWNLOAD: self.images.job,
                **self.device_tasks.kinds,
            },
            parallel=settings.task_parallel,
            zone=site_zone(settings.time_zone),
            work_done=self._work_done,
            task_done=self._task_done,
            held=self._held,
            carrying=self.device_tasks.carrying,
        )
        self.os = OsService(self.registry, self.images.folder, self.tasks, self.images.service.offered)
        self.images.service.runner = self.tasks
        self.scans = ScanService(self.tasks, settings.discovery_ports, settings.discovery_rate)
        self.policies.build(self.tasks)
        self.device_tasks.build(self.tasks)

    def _held(self, kind: str) -> str | None:
        """Why tasks of a kind wait: without a licence devices are looked for, and not changed."""
        error = None if kind == SCAN else self.licence.refusal()
        return None if error is None else error.detail

    def _build_remote(self) -> None:
        settings = self.settings
        judge = StreamJudge(self.registry, self.manager, self._rule, self.audit)
        acceptor = EdgeAcceptor(judge, self._api_connection, timeout=settings.device_timeout)
        self.remote = RemoteAccess(
            settings,
            self.keeper,
            self.preferences,
            self.audit,
            acceptor=acceptor,
            usage=acceptor.usage,
            on_change=self._remote_changed,
        )
        self.reporter = Reporter(
            self.registry,
            self.preferences,
            self.audit,
            self.remote.send,
            interval=settings.report_interval,
            path=self.remote.newest_path,
            storage=self.core.database.health,
            online=lambda: self.remote.online,
        )
        self.remote.on_accepted = self.reporter.accepted
        self.remote.on_licence = self.licence.take
        self._build_inventory()
        self.renewal = Renewal(settings, self.keeper, self.preferences, self._renewed)

    def _build_work(self) -> None:
        """Orders of the cloud become tasks; what becomes of them goes back."""
        orders = OrderStore(self.core.database)
        self.work_reporter = WorkReporter(
            orders,
            self.tasks,
            self.keeper,
            self.remote.send,
            pace=min(PACE, self.settings.report_interval / 10),
        )
        self.work = WorkDesk(
            orders,
            work_kinds(self.os, self.policies.service),
            self.tasks,
            self.registry,
            self.keeper,
            self.preferences,
            self.audit,
            changed=self.work_reporter.due,
        )
        self.remote.on_order = self.work.take
        self.remote.on_work_accepted = self.work_reporter.accepted

    def _build_inventory(self) -> None:
        self.journal = Journal(self.core.database, self.core.facts)
        self.inventory = InventorySender(
            self.journal,
            self.remote.send,
            interval=self.settings.report_interval,
            watch=self.tasks.watch,
            look=self.images.folder.images,
            online=lambda: self.remote.online,
        )
        self.remote.on_inventory = self.inventory.answered
        self.remote.on_tags = lambda message: self.tags.take(message.things)

    def _build_api(self) -> None:
        self._authenticator = Authenticator(self.keeper, ended=self.remote.has_ended)
        guard = Guard(self._authenticator, self.keeper, self._hosts, self.audit, self.licence)
        self._api = join(
            [
                HostRoutes(self, self.preferences, self.audit).api(),
                DeviceRoutes(guard, self.registry, self.manager, self.monitor, self.audit).api(),
                DiagnosticsRoutes(self.settings.transfer_limit).api(),
                DeviceTaskRoutes(guard, self.device_tasks, self.tasks, self.audit).api(),
                AssignRoutes(AssignService(self.manager, self.device_tasks), self.tasks, self.audit).api(),
                DiscoveryRoutes(self.finder, self.scans, self.audit).api(),
                TaskRoutes(self.tasks, self.audit).api(),
                OsRoutes(self.os, self.tasks, self.audit).api(),
                CatalogueRoutes(self.images.service, self.tasks, self.audit).api(),
                AppRoutes(guard, self.policies.apps, self.manager, self.audit).api(),
                PolicyRoutes(self.policies, self.tasks, self.audit).api(),
                ReportRoutes(self.policies.reports, lambda: self.preferences.name).api(),
                TagRoutes(self.tags, self.audit).api(),
            ]
        )
        self._runner = web.AppRunner(
            build_app(guard, self._api), access_log=None, shutdown_timeout=self.settings.shutdown_timeout
        )

    @property
    def routes(self) -> list[Route]:
        """The API's route table."""
        return self._api.routes

    def _api_connection(self) -> asyncio.BaseProtocol:
        assert self._runner.server is not None
        return self._runner.server()

    async def _open_ports(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        self._tls.refresh()
        await self._runner.setup()
        stack.push_async_callback(self._runner.cleanup)
        front = Front(self._runner, LIMITS)
        stack.callback(front.close)
        self.https_port = await listen(
            front, settings.bind, settings.https_port, "https_port", self._tls.context
        )
        await self._open_discovery(stack)
        self._rule.own_ports |= {self.https_port, self.http_port}
        await stack.enter_async_context(AdminSite(self._runner, self._authenticator, settings.data_dir))
        if self._authenticator.admin_port is not None:
            self._rule.own_ports.add(self._authenticator.admin_port)

    async def _open_discovery(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        discovery = web.AppRunner(discovery_app(self.info, self._hosts), access_log=None)
        await discovery.setup()
        stack.push_async_callback(discovery.cleanup)
        front = Front(discovery, LIMITS)
        stack.callback(front.close)
        self.http_port = await listen(front, settings.bind, settings.http_port, "http_port")
        if settings.multicast:
            responder = MulticastResponder(
                self.info,
                group=settings.multicast_group,
                port=settings.multicast_port,
                addresses=settings.bind,
            )
            await stack.enter_async_context(responder)
            self.multicast_port = responder.port

    def _start(self) -> None:
        assert self._group is not None
        loops = {
            "monitor": self.monitor.run,
            "discovery": self.finder.run,
            "tasks": self.tasks.run,
            "policies": self.policies.keeper.run,
            "task secrets": self.device_tasks.run,
            "remote access": self.remote.run,
            "reports": self.reporter.run,
            "work": self.work.run,
            "work reports": self.work_reporter.run,
            "inventory": self.inventory.run,
            "catalogue": self.images.catalogue.run,
            "renewal": self.renewal.run,
            "licence clock": self.licence.run,
            "storage": StorageWatch(self.core.database, self.core.facts, self._storage_recovered).run,
            "database copies": self.copies.run,
        }
        self._tasks = [
            self._group.create_task(supervised(name, run), name=name) for name, run in loops.items()
        ]

    # What the API shows and does

    def info(self) -> EdgeInfo:
        claim = self.keeper.claim
        return EdgeInfo(
            product=PRODUCT,
            id=self.keeper.edge_id,
            name=self.preferences.name,
            state=EdgeState.CLAIMED if claim else EdgeState.UNCLAIMED,
            version=__version__,
            protocol_versions=supported_versions(),
            https_port=self.https_port,
            fingerprint=self.keeper.fingerprint,
            organization=claim.organization_name if claim else None,
        )

    def status(self) -> EdgeStatus:
        claim, remote = self.keeper.claim, self.remote
        return EdgeStatus(
            id=self.keeper.edge_id,
            name=self.preferences.name,
            state=EdgeState.CLAIMED if claim else EdgeState.UNCLAIMED,
            version=__version__,
            organization=claim.organization_name if claim else None,
            cloud_url=claim.cloud_url if claim else None,
            cloud_state=remote.cloud_state,
            cloud_detail=remote.cloud_detail,
            remote_access=self.preferences.remote_access,
            remote_access_active=remote.state is RemoteState.ACTIVE,
            sessions=remote.sessions,
            devices_managed=self.registry.count(managed=True),
            devices_discovered=self.registry.count(managed=False),
            licence=self.licence.state,
            changes_allowed=self.licence.refusal() is None,
            storage=self.core.database.health.state,
            storage_detail=self.core.database.health.detail,
            time=datetime.now(UTC),
        )

    async def claim(self, request: ClaimRequest, *, source: str = LOCAL_ACTOR) -> None:
        """`source` is who asks: `local`, or an address of the LAN. Raises `FarsiteError`; the edge host is then as
        it was before."""
        moved = self.keeper.claim is not None
        try:
            record = await self.core.claimer.claim(request, local=source == LOCAL_ACTOR)
        except FarsiteError as error:
            details = {"code": str(error.code)}
            await self.audit.note("edge.claim", actor=source, outcome="refused", details=details)
            raise
        if moved:
            await self.audit.keep_to_ourselves()
            await self.journal.keep_to_ourselves()
        self._tls.refresh()
        self.copies.soon()
        self.remote.claimed()
        await self.audit.note("edge.claim", actor=source, target=record.organization_name)
        self._notify("claimed", {"name": record.urn, "organization": record.organization_name})

    def settings_changed(self, changed: list[str], *, through_tunnel: bool) -> None:
        """Take new settings into use; what came through a tunnel is answered first."""
        if not changed:
            return
        loop = asyncio.get_running_loop()
        loop.call_later(ANSWER_GRACE if through_tunnel else 0, self._apply, changed)

    def _apply(self, changed: list[str]) -> None:
        if self._closing:
            return
        self.remote.preferences_changed()
        if "proxy_address" in changed:
            self.remote.claimed()
        self.reporter.due()

    def _renewed(self) -> None:
        self._tls.refresh()
        self.remote.renewed()

    # What happens

    async def _work_done(self, record: TaskRecord, row: WorkRow) -> None:
        if record.actor == BY_ITSELF and uneventful(row):
            return
        outcome = "allowed" if row.state.value == "succeeded" else "failed"
        await self.audit.note(
            f"{record.kind}.device",
            actor=record.actor,
            target=row.device,
            outcome=outcome,
            session=record.session,
            details={"task": record.id, "state": row.state.value, "detail": row.detail},
        )

    def _task_done(self, record: TaskRecord) -> None:
        if record.kind == POLICY:
            self.policies.keeper.done(record)
        self.device_tasks.finished()
        self.reporter.due()
        self._notify("task_finished", {"id": record.id, "kind": record.kind, "state": record.state.value})

    async def _storage_recovered(self) -> None:
        await self.audit.keep_waiting()
        await self.registry.keep_waiting()
        self.tasks.soon()
        self.reporter.due()

    def _remote_changed(self) -> None:
        self._tell("cloud", self.remote.cloud_state, self._tell_cloud)
        self._tell("remote", str(self.remote.state), self._tell_remote)

    def _tell(self, what: str, state: str, tell: Callable[[str], None]) -> None:
        before, self._seen[what] = self._seen.get(what), state
        if before != state:
            tell(state)

    def _tell_cloud(self, state: str) -> None:
        if state == "online":
            self.reporter.due()
            self.work_reporter.online()
            self.inventory.online()
            self._notify("cloud_online", {})
        elif state == "offline":
            self._notify("cloud_offline", {"detail": self.remote.cloud_detail})

    def _tell_remote(self, state: str) -> None:
        self.reporter.due()
        self._notify("remote_access", {"state": state})
