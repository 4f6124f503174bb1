"""What the handlers of one cloud have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from pydantic import BaseModel
from redis.asyncio import Redis

from farsite_cloud.access import Access
from farsite_cloud.accounts.passwords import Passwords
from farsite_cloud.accounts.used import LastUses
from farsite_cloud.attempts import Attempts, Rule
from farsite_cloud.clock import Clock
from farsite_cloud.database import Database
from farsite_cloud.mail.mailer import Mailer
from farsite_cloud.metrics import Metrics
from farsite_cloud.outbound import Outbound
from farsite_cloud.providers.directory import Directory
from farsite_cloud.relay import Relay
from farsite_cloud.settings import CloudSettings
from farsite_cloud.sweeper import Sweeper
from farsite_cloud.urls import PublicUrls
from farsite_cloud.vault import Vault
from farsite_signaling.wire.errors import ErrorCode

if TYPE_CHECKING:
    from farsite_cloud.licences.licensing import Licensing
    from farsite_cloud.licences.watch import LicenceWatch


class Peers(Protocol):
    """The part of the hub that handlers use."""

    @property
    def partial(self) -> bool:
        """Whether peers may be online at other processes that cannot be asked right now."""

    def online(self, urn: str) -> bool: ...

    async def notify(self, urn: str, message: BaseModel) -> bool: ...

    def deliver(self, name: str, text: str) -> bool: ...

    async def disconnect(self, urn: str, code: ErrorCode, detail: str, *, retry: bool = False) -> bool: ...


class Limits:
    """How often who may guess what. `attempts` makes one limit of a name and a rule."""

    def __init__(self, attempts: Callable[[str, Rule], Attempts]) -> None:
        def limit(name: str, *, free: int, minutes: int, first: int = 1) -> Attempts:
            rule = Rule(free, timedelta(minutes=minutes), first=timedelta(seconds=first))
            return attempts(name, rule)

        # Of one account from one place, and of one account from everywhere (`accounts/guessing.py`).
        self.account = limit("account", free=5, minutes=5)
        self.everywhere = limit("everywhere", free=50, minutes=5)
        self.address = limit("address", free=20, minutes=15)
        self.claims = limit("claims", free=5, minutes=15)
        self.renewals = limit("renewals", free=20, minutes=15)
        self.codes = limit("codes", free=10, minutes=15)
        self.passkeys = limit("passkeys", free=60, minutes=5)
        self.resends = limit("resends", free=1, minutes=15, first=30)
        self.providers = limit("providers", free=60, minutes=5)
        # Every mail that a stranger can cause counts, whether or not it is sent.
        self.mails_to = limit("mails_to", free=3, minutes=15)
        self.mails_from = limit("mails_from", free=10, minutes=15)
        self.devices = limit("devices", free=60, minutes=15)
        self.user_codes = limit("user_codes", free=5, minutes=15)
        self.invitations = limit("invitations", free=200, minutes=15)


@dataclass(frozen=True)
class Services:
    settings: CloudSettings
    database: Database
    vault: Vault
    clock: Clock
    passwords: Passwords
    limits: Limits
    urls: PublicUrls
    relay: Relay
    mailer: Mailer
    peers: Peers
    metrics: Metrics
    redis: Redis | None
    outbound: Outbound
    licensing: Licensing
    licence_watch: LicenceWatch
    providers: Directory
    access: Access
    used: LastUses = field(default_factory=LastUses)
    sweeper: Sweeper = field(default_factory=Sweeper)


SERVICES = web.AppKey("services", Services)
