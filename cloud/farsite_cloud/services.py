"""What the handlers of one cloud have in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from aiohttp import web
from pydantic import BaseModel

from farsite_cloud.accounts.passwords import Passwords
from farsite_cloud.attempts import Attempts
from farsite_cloud.clock import Clock
from farsite_cloud.database import Database
from farsite_cloud.mail.mailer import Mailer
from farsite_cloud.metrics import Metrics
from farsite_cloud.outbound import Outbound
from farsite_cloud.relay import Relay
from farsite_cloud.settings import CloudSettings
from farsite_cloud.urls import PublicUrls
from farsite_cloud.vault import Vault
from farsite_signaling.wire.errors import ErrorCode


class Peers(Protocol):
    """The part of the hub that handlers use."""

    def online(self, urn: str) -> bool: ...

    async def notify(self, urn: str, message: BaseModel) -> bool: ...

    async def disconnect(self, urn: str, code: ErrorCode, detail: str, *, retry: bool = False) -> bool: ...


class Limits:
    """How often who may guess what."""

    def __init__(self, clock: Clock) -> None:
        # Of one account from one place, and of one account from everywhere (`accounts/guessing.py`).
        self.account = Attempts(clock, free=5, longest=timedelta(minutes=5))
        self.everywhere = Attempts(clock, free=50, longest=timedelta(minutes=5))
        self.address = Attempts(clock, free=20, longest=timedelta(minutes=15))
        self.claims = Attempts(clock, free=10, longest=timedelta(minutes=15))
        self.renewals = Attempts(clock, free=20, longest=timedelta(minutes=15))
        self.codes = Attempts(clock, free=10, longest=timedelta(minutes=15))
        self.passkeys = Attempts(clock, free=60, longest=timedelta(minutes=5))
        self.resends = Attempts(clock, free=1, first=timedelta(seconds=30), longest=timedelta(minutes=15))
        # Every mail that a stranger can cause counts, whether or not it is sent.
        self.mails_to = Attempts(clock, free=3, longest=timedelta(minutes=15))
        self.mails_from = Attempts(clock, free=10, longest=timedelta(minutes=15))
        self.invitations = Attempts(clock, free=200, longest=timedelta(minutes=15))


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
    outbound: Outbound


SERVICES = web.AppKey("services", Services)
