"""The TURN server that peers are told of: our own coturn, one run elsewhere, or none."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from farsite_cloud.settings import CloudSettings
from farsite_cloud.turn.config import TurnSettings, ice_servers
from farsite_cloud.turn.supervisor import TurnServer
from farsite_cloud.urls import PublicUrls
from farsite_signaling.identity.keys import write_private
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.refusals import plain

SECRET_FILE = "turn.secret"
LOST = "clients and edge hosts behind symmetric NATs or without UDP cannot connect"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Relay:
    """`async with` starts what is to be started; a relay that does not run never keeps the cloud from running."""

    def __init__(self, settings: CloudSettings, urls: PublicUrls) -> None:
        self.mode = settings.turn
        self._settings: TurnSettings | None = None
        self._server: TurnServer | None = None
        self._stack = AsyncExitStack()
        if self.mode != "off":
            self._settings = turn_settings(settings, urls)
        if self.mode == "auto" and self._settings is not None:
            self._server = TurnServer(self._settings)

    async def __aenter__(self) -> Relay:
        if self._server is not None:
            await self._stack.enter_async_context(self._server)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    @property
    def running(self) -> bool:
        return self.mode == "external" or (self._server is not None and self._server.running)

    @property
    def warning(self) -> str | None:
        """What is lost and why, for people; None while there is a relay."""
        if self.running:
            return None
        problem = self._server.problem if self._server is not None else None
        why = f" ({problem.detail})" if problem is not None else ""
        return f"relay is off: {LOST}{why}"

    def ice_servers(self, session: str, now: float, ttl: int | None = None) -> list[IceServer]:
        """`ttl`: seconds the credentials are good for, the settings' without."""
        if self._settings is None:
            return []
        if self._server is not None:
            return self._server.ice_servers(session, now, ttl)
        return ice_servers(self._settings, session, now, ttl)

    def credentials_until(self, now: datetime) -> datetime | None:
        """When credentials made now expire."""
        return None if self._settings is None else now + timedelta(seconds=self._settings.credential_ttl)

    def describe(self) -> dict[str, Any]:
        """For the ready event."""
        found = [] if self._settings is None else ice_servers(self._settings, "x", 0, own=self.running)
        urls = [url for server in found for url in server.urls]
        return {"mode": self.mode, "running": self.running, "urls": urls, "warning": self.warning}


def turn_settings(settings: CloudSettings, urls: PublicUrls) -> TurnSettings:
    """Raises `FarsiteError` (`setting_invalid`)."""
    host = settings.turn_host or urls.host
    values: dict[str, Any] = {
        "host": host,
        "more_hosts": tuple(settings.turn_more_hosts),
        "secrets": _secrets(settings),
        "listening_ips": tuple(settings.turn_listening_ip) or _default_addresses(settings),
        "external_ip": settings.turn_external_ip,
        "port": settings.turn_port or None,
        "tls_port": settings.turn_tls_port or None,
        "alt_tls_port": settings.turn_alt_tls_port or None,
        "certificate": settings.turn_certificate,
        "key": settings.turn_key,
        "min_port": settings.turn_min_port,
        "max_port": settings.turn_max_port,
        "user_quota": settings.turn_user_quota,
        "total_quota": settings.turn_total_quota,
        "max_bps": settings.turn_max_bps,
        "credential_ttl": settings.turn_credential_ttl,
        "user": settings.turn_user,
        "allowed_peers": tuple(settings.turn_allowed_peer),
        "allow_loopback": settings.turn_allow_loopback,
        "data_dir": settings.data_dir / "turn",
    }
    try:
        return TurnSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        detail = f"Setting turn_{name}: {plain(first['msg'])}."
        raise FarsiteError(ErrorCode.SETTING_INVALID, detail) from None


def _default_addresses(settings: CloudSettings) -> tuple[str, ...]:
    """A cloud for this machine alone has a relay for this machine alone."""
    alone = settings.listen_address in _LOOPBACK and settings.turn_host is None
    return ("127.0.0.1",) if alone else ()


def _secrets(settings: CloudSettings) -> tuple[str, ...]:
    """The first signs; the one before is accepted as long as it is named."""
    previous = settings.turn_secret_previous
    return (_secret(settings), *([previous.get_secret_value()] if previous is not None else []))


def _secret(settings: CloudSettings) -> str:
    if settings.turn_secret is not None:
        return settings.turn_secret.get_secret_value()
    return kept_secret(settings.data_dir / SECRET_FILE)


def kept_secret(path: Path) -> str:
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_text().strip()
