"""coturn's configuration file and the server list handed to peers, from one set of settings."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from farsite_cloud.turn.credentials import turn_credentials
from farsite_cloud.turn.ranges import denied, parse_range
from farsite_cloud.turn.version import MODERN, Version
from farsite_signaling.wire.ice import IceServer

Port = int
ANY = "0.0.0.0"  # noqa: S104 - a relay is public

# A value ends at the line's end and `#` starts a comment: neither may come from a setting.
_PLAIN = r"^[^\s#\x00-\x1f\x7f]+$"


class TurnSettings(BaseModel):
    """Everything about the relay. Ports are UDP and TCP alike; `None` closes that listener."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(pattern=_PLAIN, description="name or address clients reach the relay at")
    more_hosts: tuple[Annotated[str, Field(pattern=_PLAIN)], ...] = Field(
        default=(), max_length=3, description="further relays, run elsewhere with the same secret and ports"
    )
    secrets: tuple[str, ...] = Field(
        min_length=1, max_length=2, repr=False, description="the first signs; a second is still accepted"
    )
    realm: str = Field(default="farsite", pattern=_PLAIN, max_length=120)
    listening_ips: tuple[str, ...] = Field(default=(), description="empty: every address of the machine")
    external_ip: str | None = Field(
        default=None, description="public address when behind 1:1 NAT: PUBLIC or PUBLIC/PRIVATE"
    )
    port: Port | None = Field(default=3478, ge=1, le=65535)
    tls_port: Port | None = Field(default=5349, ge=1, le=65535)
    alt_tls_port: Port | None = Field(default=443, ge=1, le=65535)
    certificate: Path | None = Field(default=None, description="PEM chain for TLS")
    key: Path | None = Field(default=None, description="PEM private key for TLS")
    ca: str | None = Field(default=None, description="PEM to trust for turns:, when not a public CA")
    min_port: Port = Field(default=49152, ge=1024, le=65535)
    max_port: Port = Field(default=65535, ge=1024, le=65535)
    user_quota: int = Field(default=24, ge=0, description="allocations of one session at a time; 0: no limit")
    total_quota: int = Field(default=4000, ge=0, description="allocations at a time; 0: no limit")
    max_bps: int = Field(default=0, ge=0, description="bytes/s of one allocation each way; 0: no limit")
    allowed_peers: tuple[str, ...] = Field(default=(), description="exceptions to the denied ranges")
    allow_loopback: bool = Field(default=False, description="demo and tests on one machine only")
    credential_ttl: int = Field(default=3600, ge=60, le=86400)
    data_dir: Path = Path("/var/lib/farsite/turn")
    user: str | None = Field(default=None, pattern=_PLAIN, description="account coturn continues as")
    executable: str = "turnserver"

    @field_validator("secrets")
    @classmethod
    def _secrets(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        for secret in secrets:
            if len(secret) < 16 or not secret.isascii() or any(c.isspace() or c == "#" for c in secret):
                raise ValueError("a secret has at least 16 ASCII characters, without white space or '#'")
        return secrets

    @field_validator("listening_ips")
    @classmethod
    def _addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_address(address)) for address in addresses)

    @field_validator("external_ip")
    @classmethod
    def _mapping(cls, mapping: str | None) -> str | None:
        if mapping is None:
            return None
        return "/".join(str(ipaddress.ip_address(part)) for part in mapping.split("/", 1))

    @field_validator("allowed_peers")
    @classmethod
    def _peers(cls, peers: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(parse_range(peer) for peer in peers)

    @field_validator("certificate", "key", "data_dir")
    @classmethod
    def _paths(cls, path: Path | None) -> Path | None:
        if path is not None and any(character in str(path) for character in "#\n\r"):
            raise ValueError("coturn's file cannot hold a path with '#' or a line break")
        return path

    @model_validator(mode="after")
    def _consistent(self) -> TurnSettings:
        if self.min_port > self.max_port:
            raise ValueError("min_port is above max_port")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if self.port is None and self.tls_port is None and self.alt_tls_port is None:
            raise ValueError("every listener is closed")
        if "/" in (self.external_ip or "") and not self.listening_ips:
            raise ValueError("external_ip with a private part needs listening_ips")
        return self

    @property
    def tls(self) -> bool:
        return self.tls_port is not None or self.alt_tls_port is not None

    @property
    def pid_file(self) -> Path:
        return self.data_dir / "turnserver.pid"


def render(settings: TurnSettings, version: Version | None = None) -> str:
    """The whole file. `version` drops options that a newer coturn no longer knows (it would complain)."""
    sections = [
        ("Written by Farsite. Change settings there: this file is overwritten at every start.", []),
        ("Listeners", list(_listeners(settings))),
        ("Relayed traffic", list(_relay(settings))),
        (
            "Who may: credentials expire, made from this secret; a second one during rotation",
            _access(settings),
        ),
        ("Limits", list(_limits(settings))),
        ("Surface: nothing but STUN and UDP relaying", list(_surface(version))),
        ("Exceptions to the denied ranges", [f"allowed-peer-ip={peer}" for peer in _allowed(settings)]),
    ]
    text = "\n\n".join(
        "\n".join([f"# {title}", *lines]) for title, lines in sections if lines or title[0] == "W"
    )
    return f"{text}\n\n{_denied()}\n"


def _listeners(settings: TurnSettings) -> Iterator[str]:
    yield from (f"listening-ip={address}" for address in settings.listening_ips)
    if settings.external_ip:
        yield f"external-ip={settings.external_ip}"
    if settings.port is None:
        yield from ("no-udp", "no-tcp")
    else:
        yield f"listening-port={settings.port}"
    yield from _tls(settings)


def _tls(settings: TurnSettings) -> Iterator[str]:
    if not settings.tls:
        yield from ("no-tls", "no-dtls")
        return
    # Over UDP nothing is gained by encrypting what DTLS already encrypts end to end.
    yield "no-dtls"
    main, *more = [port for port in (settings.tls_port, settings.alt_tls_port) if port is not None]
    yield f"tls-listening-port={main}"
    for port in more:
        # alt-tls-listening-port only opens with RFC 5780 on and two addresses; an auxiliary listener always.
        yield from (f"aux-server={_host(address)}:{port}" for address in settings.listening_ips or (ANY,))
    if settings.certificate is not None:
        yield from (f"cert={settings.certificate}", f"pkey={settings.key}")


def _relay(settings: TurnSettings) -> Iterator[str]:
    yield from (f"relay-ip={address}" for address in settings.listening_ips)
    yield from (f"min-port={settings.min_port}", f"max-port={settings.max_port}")


def _access(settings: TurnSettings) -> list[str]:
    return [
        f"realm={settings.realm}",
        "use-auth-secret",
        *(f"static-auth-secret={secret}" for secret in settings.secrets),
        "fingerprint",
        "stale-nonce=600",
    ]


def _limits(settings: TurnSettings) -> Iterator[str]:
    named = {
        "user-quota": settings.user_quota,
        "total-quota": settings.total_quota,
        "max-bps": settings.max_bps,
    }
    yield from (f"{name}={value}" for name, value in named.items() if value)
    yield f"max-allocate-lifetime={max(600, min(settings.credential_ttl, 3600))}"
    if settings.allow_loopback:
        yield "allow-loopback-peers"
    # coturn wants a database although nothing is in it. One in a file it cannot open (after giving root up, below a
    # folder only root may enter) makes it refuse the first good credentials.
    yield from ("userdb=:memory:", f"pidfile={settings.pid_file}")
    if settings.user:
        yield f"proc-user={settings.user}"
    yield from ("log-file=stdout", "simple-log")


def _surface(version: Version | None) -> Iterator[str]:
    yield from ("no-tcp-relay", "no-multicast-peers", "no-dynamic-ip-list", "no-dynamic-realms")
    if version is not None and version >= MODERN:
        return
    yield from ("no-cli", "no-rfc5780", "no-stun-backward-compatibility", "response-origin-only-with-rfc5780")
    yield from ("no-software-attribute", "no-tlsv1", "no-tlsv1_1")


def _allowed(settings: TurnSettings) -> list[str]:
    """Settings' own, and our private address behind 1:1 NAT: relayed peers of two sites meet there."""
    loopback = ["127.0.0.0-127.255.255.255", "::1"] if settings.allow_loopback else []
    return [*settings.allowed_peers, *_behind_nat(settings), *loopback]


def _behind_nat(settings: TurnSettings) -> list[str]:
    public, slash, private = (settings.external_ip or "").partition("/")
    if slash:
        return [private]
    return list(settings.listening_ips) if public else []


def _denied() -> str:
    lines = ["# Peers nobody reaches through this server"]
    for why, blocks in itertools.groupby(denied(), key=lambda block: block.why):
        lines += [f"# {why}", *(f"denied-peer-ip={block}" for block in blocks)]
    return "\n".join(lines)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def urls(settings: TurnSettings, host: str | None = None) -> list[str]:
    """RFC 7064 and RFC 7065 URLs of one host, cheapest path first."""
    host = _host(host or settings.host)
    found = []
    if settings.port is not None:
        found += [f"stun:{host}:{settings.port}"]
        found += [f"turn:{host}:{settings.port}?transport={transport}" for transport in ("udp", "tcp")]
    tls = [port for port in (settings.tls_port, settings.alt_tls_port) if port is not None]
    return found + [f"turns:{host}:{port}?transport=tcp" for port in tls]


def ice_servers(
    settings: TurnSettings, session: str, now: float, ttl: int | None = None, *, own: bool = True
) -> list[IceServer]:
    """What a peer of `session` may use from `now` (Unix seconds) until the credentials expire (`ttl` seconds).

    Every host, since one may be away; `own`: also the first. A certificate made here is the first's.
    """
    username, credential = turn_credentials(settings.secrets[0], session, ttl or settings.credential_ttl, now)
    hosts = [(host, None) for host in settings.more_hosts]
    first = [(settings.host, settings.ca)] if own else []
    servers: list[IceServer] = []
    for host, ca in [*first, *hosts]:
        every = urls(settings, host)
        stun = [url for url in every if url.startswith("stun:")]
        turn = [url for url in every if not url.startswith("stun:")]
        servers += [IceServer(urls=stun)] if stun else []
        servers.append(IceServer(urls=turn, username=username, credential=credential, ca=ca))
    return servers
