"""Every route of the edge host's API, the same over the LAN and through the tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farsite_edge.api.app import join
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
from farsite_edge.api.report_routes import ReportRoutes
from farsite_edge.api.tag_routes import TagRoutes
from farsite_edge.api.task_routes import TaskRoutes
from farsite_edge.assign import AssignService
from farsite_signaling.rest import Api

if TYPE_CHECKING:
    from farsite_edge.host import EdgeHost


def api_of(host: EdgeHost, guard: Guard) -> Api:
    tasks, audit, manager, policies = host.tasks, host.audit, host.manager, host.policies
    return join(
        [
            HostRoutes(host, host.preferences, audit).api(),
            DeviceRoutes(guard, host.registry, manager, host.monitor, audit).api(),
            DiagnosticsRoutes(host.settings.transfer_limit).api(),
            DeviceTaskRoutes(guard, manager, host.device_tasks, tasks, audit).api(),
            AssignRoutes(AssignService(manager, host.device_tasks), tasks, audit).api(),
            DiscoveryRoutes(host.finder, host.scans, audit).api(),
            TaskRoutes(tasks, audit).api(),
            OsRoutes(host.os, tasks, audit).api(),
            CatalogueRoutes(host.images.service, tasks, audit).api(),
            AppRoutes(guard, policies.apps, manager, audit).api(),
            PolicyRoutes(policies, tasks, audit).api(),
            ReportRoutes(policies.reports, lambda: host.preferences.name).api(),
            TagRoutes(host.tags, audit).api(),
        ]
    )
