"""`Cloud`: everything `farsite up` runs, put together, started and stopped in order."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Self

from aiohttp import web
from redis.asyncio import Redis

from farsite_cloud.access import FOLLOWS_FROM, Access
from farsite_cloud.accounts.passwords import Passwords
from farsite_cloud.api.application import application
from farsite_cloud.api.source import within
from farsite_cloud.attempts import Attempts, LocalAttempts, Rule
from farsite_cloud.catalogue.loading import load_at_start
from farsite_cloud.clock import Clock, system_clock
from farsite_cloud.cluster.attempts import RedisAttempts
from farsite_cloud.cluster.neighbours import RedisNeighbours
from farsite_cloud.cluster.redis import open_redis
from farsite_cloud.database import Database
from farsite_cloud.database.opening import open_database
from farsite_cloud.database.schema import upgrade
from farsite_cloud.datadir import own_folder, storage_failures
from farsite_cloud.duties import duties_of
from farsite_cloud.firstrun import FirstRun, open_vault
from farsite_cloud.licences.licensing import Licensing
from farsite_cloud.licences.watch import LicenceWatch
from farsite_cloud.listening import ServerCertificate, open_socket, server_certificate
from farsite_cloud.mail.mailer import Mailer
from farsite_cloud.mail.sending import Smtp
from farsite_cloud.metrics import Metrics
from farsite_cloud.outbound import Outbound
from farsite_cloud.periodic import every
from farsite_cloud.providers.directory import Directory
from farsite_cloud.relay import Relay
from farsite_cloud.services import Limits, Services
from farsite_cloud.settings import CloudSettings
from farsite_cloud.signaling.authorizer import CloudAuthorizer
from farsite_cloud.sweeper import Duty, Sweeper
from farsite_cloud.urls import PublicUrls, public_urls
from farsite_cloud.vault import Vault
from farsite_signaling.hub import Hub, HubLimits
from farsite_signaling.rest import Front, FrontLimits

logger = logging.getLogger(__name__)
SHUTDOWN_SECONDS = 5.0
CERTIFICATE_SECONDS = 30.0


class Cloud:
    """Use as `async with`; serving when entered. Raises `FarsiteError` for whatever keeps it from starting."""

    services: Services
    hub: Hub
    urls: PublicUrls
    port: int

    def __init__(
        self,
        settings: CloudSettings,
        *,
        clock: Clock = system_clock,
        open_passwords: Callable[[], Passwords] = Passwords,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._open_passwords = open_passwords
        self.first_run: FirstRun | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        certificate = server_certificate(self.settings)
        listener = self._listen()
        self._stack.enter_context(own_folder(self.settings.data_dir))
        with storage_failures(self.settings.data_dir):
            database, vault, passwords = await self._open_storage()
            relay = Relay(self.settings, self.urls)
        await self._stack.enter_async_context(relay)
        sweeper = Sweeper()
        redis = self._open_redis()
        licensing = Licensing.of(self.settings, self.urls.origin)
        authorizer = CloudAuthorizer(database, self.clock, sweeper.wake)
        access = Access()
        database.watch(FOLLOWS_FROM, access)
        await self._stack.enter_async_context(authorizer.answering())
        self.hub = await self._open_hub(authorizer, redis, access)
        licence_watch = LicenceWatch(database, vault, self.clock, self.hub, licensing)
        authorizer.on_reported, authorizer.on_left = licence_watch.inform_edge, licence_watch.left
        authorizer.on_counted = licence_watch.counted
        smtp = Smtp(self.settings, self.urls.api) if self.settings.smtp_host else None
        mailer = await self._stack.enter_async_context(Mailer(database, vault, self.clock, smtp))
        outbound = Outbound(tuple(self.settings.outbound_allowed), self.settings.outbound_ca_file)
        self.services = Services(
            settings=self.settings,
            database=database,
            vault=vault,
            clock=self.clock,
            passwords=passwords,
            limits=Limits(self._attempts(redis)),
            urls=self.urls,
            relay=relay,
            mailer=mailer,
            peers=self.hub,
            metrics=self._metrics(relay),
            redis=redis,
            licensing=licensing,
            licence_watch=licence_watch,
            outbound=outbound,
            providers=Directory(outbound, self.clock),
            sweeper=sweeper,
            access=access,
        )
        duties = duties_of(self.services) | _renewing(certificate)
        await self._stack.enter_async_context(self.services.sweeper.running(duties))
        await self._serve(listener, None if certificate is None else certificate.context)

    def _listen(self) -> socket.socket:
        """Bound first: a port that is taken stops the start before anything is written."""
        address = self.settings.listen_address
        listener = open_socket(address, self.settings.listen_port)
        self._stack.callback(listener.close)
        self.port = listener.getsockname()[1]
        self.urls = public_urls(self.settings.public_url, bind=address, port=self.port, tls=self.settings.tls)
        return listener

    async def _open_storage(self) -> tuple[Database, Vault, Passwords]:
        database = open_database(self.settings)
        self._stack.push_async_callback(database.aclose)
        await upgrade(database)
        if self.settings.catalogue is not None:
            await load_at_start(database, self.settings.catalogue)
        passwords = self._open_passwords()
        self._stack.callback(passwords.close)
        vault, self.first_run = await open_vault(self.settings, database, passwords, self.clock)
        return database, vault, passwords

    def _open_redis(self) -> Redis | None:
        if self.settings.redis is None:
            return None
        redis = open_redis(self.settings.redis.get_secret_value())
        self._stack.push_async_callback(redis.aclose)
        return redis

    async def _open_hub(self, authorizer: CloudAuthorizer, redis: Redis | None, access: Access) -> Hub:
        neighbours = RedisNeighbours(redis) if redis is not None else None
        if neighbours is not None:
            neighbours.on_forget, access.tell = access.forget, neighbours.forget
        hub = Hub(authorizer, allowed_origins=(self.urls.origin,), neighbours=neighbours)
        await self._stack.enter_async_context(hub)
        if neighbours is not None:
            await self._stack.enter_async_context(neighbours.serving(hub))
        return hub

    def _attempts(self, redis: Redis | None) -> Callable[[str, Rule], Attempts]:
        if redis is None:
            return lambda name, rule: LocalAttempts(self.clock, rule)
        return lambda name, rule: RedisAttempts(redis, self.clock, name, rule)

    def _metrics(self, relay: Relay) -> Metrics:
        metrics = Metrics()
        metrics.watch("farsite_peers_online", "Peers connected to the hub.", lambda: len(self.hub))
        metrics.watch("farsite_relay_running", "Whether a relay can be used.", lambda: relay.running)
        return metrics

    async def _serve(self, listener: socket.socket, tls: Any) -> None:
        app = application(self.services, self.hub.handle)
        runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        # The hub says goodbye before the server waits for its connections to end.
        self._stack.push_async_callback(self.hub.close)
        front = Front(runner, self._front_limits())
        self._stack.callback(front.close)
        await front.listen(sock=listener, tls=tls)
        logger.info("serving on port %d as %s", self.port, self.urls.api)

    def _front_limits(self) -> FrontLimits:
        """As many as the hub takes, and people's requests beside them."""
        return FrontLimits(
            connections=HubLimits().connections + FrontLimits().connections,
            shared=lambda address: within(address, self.settings.trusted_proxies),
        )


def _renewing(certificate: ServerCertificate | None) -> dict[str, Duty]:
    return {} if certificate is None else {"certificate": every(CERTIFICATE_SECONDS, certificate.renew)}
