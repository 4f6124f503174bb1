"""Puts the parts of policies together."""

from __future__ import annotations

from collections.abc import Sequence

from farsite_edge.apps import AppFolder
from farsite_edge.core import EdgeCore
from farsite_edge.devices import DeviceManager
from farsite_edge.devices.credentials import CredentialStore
from farsite_edge.identity.device_certificates import DeviceCertificates
from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.apps.kind import AppsKind
from farsite_edge.policies.certificates.kind import CertificatesKind
from farsite_edge.policies.clock.kind import TimeKind
from farsite_edge.policies.job import PolicyJob
from farsite_edge.policies.keeper import PolicyKeeper
from farsite_edge.policies.kind import Kind, Kinds
from farsite_edge.policies.machine import Limits
from farsite_edge.policies.report import PolicyReports
from farsite_edge.policies.security.kind import SecurityKind
from farsite_edge.policies.service import PolicyService
from farsite_edge.policies.store import PolicyStore
from farsite_edge.settings import EdgeSettings
from farsite_edge.tasks import TaskRunner


def all_kinds(apps: AppFolder, signer: DeviceCertificates) -> Sequence[Kind]:
    """Every kind of policy there is."""
    return (SecurityKind(), AppsKind(apps), TimeKind(), CertificatesKind(signer))


class PolicyHost:
    """`job` is there at once, for the task runner; `service` and `keeper` after `build` with it."""

    service: PolicyService
    keeper: PolicyKeeper

    def __init__(
        self,
        settings: EdgeSettings,
        core: EdgeCore,
        manager: DeviceManager,
        credentials: CredentialStore,
        kinds: Sequence[Kind] | None = None,
    ) -> None:
        self._settings = settings
        self._core = core
        self._manager = manager
        self.apps = AppFolder(settings.apps or settings.data_dir / "apps")
        signer = DeviceCertificates(settings, core.keeper, core.preferences)
        self.kinds = Kinds(all_kinds(self.apps, signer) if kinds is None else kinds)
        self.store = PolicyStore(core.database)

        def access(device: str) -> DeviceAccess:
            return DeviceAccess(manager, credentials, core.vault, device)

        self.job = PolicyJob(manager, self.store, core.vault, self.kinds, access, policy_limits(settings))

        self.reports = PolicyReports(self.store, self.kinds, manager.registry)

    def build(self, runner: TaskRunner) -> None:
        registry, settings = self._manager.registry, self._settings
        self.service = PolicyService(self.store, self.kinds, registry, self._core.vault, runner)
        self.keeper = PolicyKeeper(
            self.service, registry, interval=settings.policy_interval, poll=settings.policy_poll
        )


def policy_limits(settings: EdgeSettings) -> Limits:
    recover = settings.policy_recover_timeout
    return Limits(poll=min(Limits.poll, recover / 10), answer=min(Limits.answer, recover), recover=recover)
