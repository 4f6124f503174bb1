"""The edge host: puts its parts together, starts and stops them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from types import TracebackType

from aiohttp import web

from farsite_edge.api.app import build_app
from farsite_edge.api.guard import Guard
from farsite_edge.api.principal import LOCAL_ACTOR, Authenticator
from farsite_edge.api.table import api_of
from farsite_edge.audit import AuditLog
from farsite_edge.axis_os.job import OsJob
from farsite_edge.axis_os.service import ROLLBACK, UPGRADE, OsService
from farsite_edge.cloud_side import CloudSide
from farsite_edge.core import EdgeCore
from farsite_edge.device_tasks import DeviceTasks
from farsite_edge.devices import DeviceManager, Finder, Gateway, Monitor, Registry
from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.connections import Connections
from farsite_edge.devices.contact import Contact
from farsite_edge.devices.credentials import CredentialStore
from farsite_edge.devices.gateway import real_gateway
from farsite_edge.devices.rtsp import RtspPorts
from farsite_edge.devices.scan_job import SCAN, ScanJob, ScanService
from farsite_edge.devices.tags import Tags
from farsite_edge.identity.tls import ServerTls
from farsite_edge.lan.doors import Doors
from farsite_edge.lan.hosts import HostRule
from farsite_edge.licence import LicenceGate
from farsite_edge.notices import CloudNotices, Notify
from farsite_edge.os_catalogue.host import ImageHost
from farsite_edge.os_catalogue.job import DOWNLOAD
from farsite_edge.policies import BY_ITSELF, POLICY, PolicyHost, uneventful
from farsite_edge.remote.judge import StreamJudge
from farsite_edge.settings import EdgeSettings
from farsite_edge.standing import Standing
from farsite_edge.store.copies import Copies
from farsite_edge.store.watch import StorageWatch
from farsite_edge.supervise import supervised
from farsite_edge.tasks import TaskRecord, TaskRunner, TaskStore, WorkRow
from farsite_edge.tasks.zone import site_zone
from farsite_edge.timing import device_timing, os_limits
from farsite_signaling.rest import Route
from farsite_signaling.wire.edge_api import ClaimRequest, EdgeInfo, EdgeStatus
from farsite_signaling.wire.errors import FarsiteError

# Long enough that an answer given before a change takes effect has left the tunnel.
ANSWER_GRACE = 0.3
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
        self._gateway = gateway
        self._notify = notify
        self._hosts = HostRule(settings.allowed_hosts)
        self._rule = AddressRule(allow_own=settings.allow_loopback_devices)
        self._tls = ServerTls(settings.data_dir, self.keeper)
        self.doors = Doors(settings, self._tls, self._hosts, self._rule)
        self._stack = AsyncExitStack()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._notices = CloudNotices(notify)
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
            await self.doors.open(stack, self._runner, self._authenticator, self.info)
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
        contact = Contact(gateway, connections, self._rule, timeout=settings.device_timeout)
        self.manager = DeviceManager(self.registry, self._credentials, contact, self.tags)
        self.finder = Finder(self.registry, gateway, self._rule, settings)
        intervals = {"interval": settings.poll_interval, "refresh": settings.refresh_interval}
        self.monitor = Monitor(self.manager, **intervals)
        self._build_tasks()
        self._build_cloud()
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

    def _build_cloud(self) -> None:
        manager = self.manager
        rtsp = RtspPorts(manager.credentials, manager.contact, self.settings.rtsp_port)
        judge = StreamJudge(self.registry, manager.looks, self._rule, self.audit, rtsp=rtsp.of)
        self.cloud = cloud = CloudSide(
            self.core,
            self.registry,
            self.audit,
            judge,
            self._api_connection,
            changed=lambda: self._notices.look(self.cloud),
            renewed=self._renewed,
        )
        cloud.listen(self.licence, self.tags)
        cloud.build_inventory(self.tasks, self.images.folder)
        cloud.build_work(self.tasks, self.os, self.policies.service)
        self.remote, self.reporter, self.inventory = cloud.remote, cloud.reporter, cloud.inventory
        self.renewal, self.journal, self.work = cloud.renewal, cloud.journal, cloud.work
        self._standing = Standing(self.core, self.registry, self.licence, self.doors, self.remote)

    def _build_api(self) -> None:
        self._authenticator = Authenticator(self.keeper, self.remote.admission)
        guard = Guard(self._authenticator, self.keeper, self._hosts, self.audit, self.licence)
        self._api = api_of(self, guard)
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

    def _start(self) -> None:
        assert self._group is not None
        loops = self.cloud.loops | {
            "monitor": self.monitor.run,
            "discovery": self.finder.run,
            "tasks": self.tasks.run,
            "policies": self.policies.keeper.run,
            "task secrets": self.device_tasks.run,
            "catalogue": self.images.catalogue.run,
            "licence clock": self.licence.run,
            "storage": StorageWatch(self.core.database, self.core.facts, self._storage_recovered).run,
            "database copies": self.copies.run,
        }
        self._tasks = [
            self._group.create_task(supervised(name, run), name=name) for name, run in loops.items()
        ]

    # What the API shows and does

    @property
    def http_port(self) -> int:
        return self.doors.http

    @property
    def https_port(self) -> int:
        return self.doors.https

    @property
    def multicast_port(self) -> int:
        return self.doors.multicast

    def info(self) -> EdgeInfo:
        return self._standing.info()

    def status(self) -> EdgeStatus:
        return self._standing.status()

    async def claim(self, request: ClaimRequest, *, source: str = LOCAL_ACTOR) -> None:
        """`source` is who asks: `local`, or an address of the LAN. Raises `FarsiteError`; the edge host is then as
        it was before."""
        before = self.keeper.claim
        try:
            record = await self.core.claimer.claim(request, local=source == LOCAL_ACTOR)
        except FarsiteError as error:
            details = {"code": str(error.code)}
            await self.audit.note("edge.claim", actor=source, outcome="refused", details=details)
            raise
        if before is not None and not record.goes_on_from(before):
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
