"""One request to the API: who asks, for which organization, in which unit of work."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import datetime
from typing import TypeVar

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.access import Known
from farsite_cloud.accounts.tokens import Caller
from farsite_cloud.api.source import source_address
from farsite_cloud.audit.log import REFUSED, Act, write
from farsite_cloud.database import Scope
from farsite_cloud.database.failures import STORAGE
from farsite_cloud.mail.letters import Letter, render
from farsite_cloud.mail.queue import put
from farsite_cloud.organizations.entrance import Entrance
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.models import Organization
from farsite_cloud.services import SERVICES, Services
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right, Role

logger = logging.getLogger(__name__)
SCHEME = "bearer "
# Other sites send browsers here, which they can do with GET alone.
_WRITTEN = "/device/sso"
_READING = ("GET", "HEAD", "OPTIONS")
T = TypeVar("T")


class Call:
    """Handlers use `session` (or `scope`) and never commit: the unit of work ends with the answer.

    `reads`: it changes nothing. `later` takes what the outside may see only once it is committed.
    """

    def __init__(self, request: web.Request) -> None:
        self.services: Services = request.app[SERVICES]
        self.now: datetime = self.services.clock()
        self.source = source_address(request, self.services.settings.trusted_proxies)
        self.reads = request.method in _READING and not request.path.startswith(_WRITTEN)
        self._session: AsyncSession | None = None
        self._caller: Caller | None = None
        self.known: Known | None = None
        self._entrance: Entrance | None = None
        self.agent = _printable(request.headers.get("User-Agent", ""))
        self._refused: list[Act] = []
        self._even_refused: list[Callable[[AsyncSession], Awaitable[object]]] = []
        self._later: list[Callable[[], Awaitable[object]]] = []
        self.bearer = _bearer(request)

    @property
    def session(self) -> AsyncSession:
        return _there(self._session)

    @property
    def caller(self) -> Caller:
        return _there(self._caller)

    @property
    def entrance(self) -> Entrance:
        return _there(self._entrance)

    @property
    def organization(self) -> Organization:
        return self.entrance.organization

    @property
    def role(self) -> Role:
        return self.entrance.role

    @property
    def rights(self) -> frozenset[Right]:
        """What the role includes, and the token's limits if it has any."""
        return self.entrance.may(self.caller)

    @property
    def actor(self) -> str:
        """What the audit log calls the caller: who is let in as support is seen to be."""
        if self._caller is None:
            return ""
        supporting = self._entrance is not None and self._entrance.until is not None
        return f"{self._caller.email} (support)" if supporting else self._caller.email

    @property
    def scope(self) -> Scope:
        """The organization, as far as the caller reaches into it."""
        return Scope(self.session, self.organization.id, self.entrance.reach)

    @property
    def whole(self) -> Scope:
        """The organization with every folder: for what must stay true whoever asks."""
        return Scope(self.session, self.organization.id)

    @property
    def keys(self) -> OrganizationKeys:
        return OrganizationKeys(self.organization, self.services.vault)

    def signed_in(self, caller: Caller) -> None:
        self._caller = caller

    def entered(self, entrance: Entrance) -> None:
        self._entrance = entrance

    async def release(self) -> None:
        """End a reading unit of work before a long answer: nothing is read from `session` afterwards."""
        assert self.reads, "what was written is committed with the answer"
        await self.session.commit()

    def later(self, effect: Callable[[], Awaitable[object]]) -> None:
        """Run after the commit and before the answer; what it raises is answered."""
        self._later.append(effect)

    def even_refused(self, effect: Callable[[AsyncSession], Awaitable[object]]) -> None:
        """What stays when this call is refused and all else it did is undone: a try that counts, a mail of warning."""
        self._even_refused.append(effect)

    def mail_even_refused(self, recipient: str, letter: Letter, **values: object) -> None:
        self.even_refused(lambda session: self.mail_in(session, recipient, letter, **values))

    async def mail_in(self, session: AsyncSession, recipient: str, letter: Letter, **values: object) -> None:
        content = render(letter, email=recipient, url=self.services.urls.api, **values)
        put(session, recipient, content, self.services.vault, self.now)

    def mail(self, recipient: str, letter: Letter, *, really: bool = True, **values: object) -> None:
        """Put a mail into the queue, in this unit of work; it leaves after the commit. Not `really`: only the work."""
        content = render(letter, email=recipient, url=self.services.urls.api, **values)
        put(self.session, recipient, content, self.services.vault, self.now, really=really)
        self.later(self.services.mailer.wake)

    @contextmanager
    def act(
        self,
        action: str,
        target: str = "",
        *,
        actor: str | None = None,
        organizations: list[str] | None = None,
    ) -> Iterator[Act]:
        """Audit what is done inside: allowed, or refused with the code of the `FarsiteError` that ends it."""
        if organizations is None:
            organizations = [self.organization.id] if self._entrance else []
        if actor is None:
            actor = self.actor
        act = Act(action, actor, self.source, organizations, target)
        try:
            yield act
        except FarsiteError as error:
            self.refused(act, error)
            raise
        write(self.session, act, self.now)
        self.services.metrics.acts.labels(action, act.outcome).inc()

    def refused(self, act: Act, error: FarsiteError) -> None:
        act.outcome = REFUSED
        act.details["code"] = str(error.code)
        if error.right is not None:
            act.details["right"] = error.right
        logger.warning("%s refused to %r from %s: %s", act.action, act.actor, act.source, error.code)
        self.services.metrics.acts.labels(act.action, REFUSED).inc()
        # Who is told to come back later knocks often; that is counted, not written down.
        if act.organizations or error.code is not ErrorCode.RATE_LIMITED:
            self._refused.append(act)

    async def run(self, handler: Callable[[], Awaitable[T]]) -> T:
        """Handle inside one unit of work; afterwards its effects, or its refusals' audit rows."""
        try:
            async with self._unit_of_work() as self._session:
                answer = await handler()
        except FarsiteError as error:
            if error.code not in STORAGE:
                await self._keep_refusals()
            raise
        finally:
            self._session = None
        for effect in self._later:
            await effect()
        return answer

    def _unit_of_work(self) -> AbstractAsyncContextManager[AsyncSession]:
        database = self.services.database
        return database.reading() if self.reads else database.writing()

    async def _keep_refusals(self) -> None:
        kept = self._refused
        if not kept and not self._even_refused:
            return
        try:
            async with self.services.database.writing() as session:
                for act in kept:
                    write(session, act, self.now)
                for effect in self._even_refused:
                    await effect(session)
            await self.services.mailer.wake()
        except FarsiteError as error:
            # The refusal stands and is answered even when the disk is full.
            logger.error("what a refusal leaves behind is not kept: %s", error)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:200]


def _bearer(request: web.Request) -> str | None:
    """The secret of the `Authorization` header (RFC 6750, 2.1)."""
    header = request.headers.get("Authorization", "")
    return header[len(SCHEME) :].strip() if header.lower().startswith(SCHEME) else None


def _there(value: T | None) -> T:
    assert value is not None, "the route does not ask for this"
    return value


_CALL = web.RequestKey("call", Call)


def start_call(request: web.Request) -> Call:
    call = Call(request)
    request[_CALL] = call
    return call


def call_of(request: web.Request) -> Call:
    return request[_CALL]
