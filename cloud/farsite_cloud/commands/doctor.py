"""`farsite cloud doctor`: the machine a cloud runs on, whether it runs or not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from cryptography import x509

from farsite_cloud.commands.doctor_redis import redis_rows
from farsite_cloud.database.opening import database_exists, described, open_database
from farsite_cloud.database.schema import check_schema
from farsite_cloud.database.sqlite import FILE
from farsite_cloud.datadir import storage_failures
from farsite_cloud.relay import SECRET_FILE, turn_settings
from farsite_cloud.settings import CloudSettings
from farsite_cloud.turn.checks import check
from farsite_cloud.turn.config import TurnSettings, render
from farsite_cloud.turn.probe import accepts_tcp, answers_udp
from farsite_cloud.turn.supervisor import CONFIG_FILE, TLS_FOLDER, service_account
from farsite_cloud.turn.version import Version, advice, dotted, installed_version
from farsite_cloud.urls import PublicUrls, public_urls
from farsite_signaling.identity.certificates import load_certificate
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.netcheck import AllowLine, CheckReport, CheckRow, failed, passed, warned

SECONDS = 3.0
MEBIBYTE = 1024 * 1024
LITTLE, TOO_LITTLE = 1024 * MEBIBYTE, 64 * MEBIBYTE
CLOSE_DAYS = 14


async def examine(settings: CloudSettings) -> CheckReport:
    """Changes nothing. Raises `FarsiteError` (`setting_invalid`) for settings that no cloud would start with."""
    urls = public_urls(
        settings.public_url, bind=settings.listen_address, port=settings.listen_port, tls=settings.tls
    )
    rows = [disk_row(settings.data_dir), await database_row(settings), *await redis_rows(settings)]
    rows.append(await url_row(settings, urls))
    if settings.tls_certificate is not None:
        rows.append(certificate_row("cloud certificate", settings.tls_certificate, urls.host))
    rows += await relay_rows(settings, urls)
    return CheckReport(rows=rows, allow_list=list(_allow_list(settings, urls)))


def disk_row(folder: Path) -> CheckRow:
    place = next((path for path in (folder, *folder.parents) if path.exists()), Path.cwd())
    free = shutil.disk_usage(place).free
    text = f"{free / MEBIBYTE:.0f} MiB free for {folder}"
    if free < TOO_LITTLE:
        return failed("disk", text, "Free some space now: nothing can be stored soon.")
    if free < LITTLE:
        return warned("disk", text, "Free some space.")
    return passed("disk", text)


async def database_row(settings: CloudSettings) -> CheckRow:
    if not database_exists(settings):
        fix = "Start it: farsite up. Another folder is named with --data-dir."
        return warned("database", f"no cloud has run with the data folder {settings.data_dir}", fix)
    started = asyncio.get_running_loop().time()
    database = open_database(settings)
    try:
        with storage_failures(settings.data_dir):
            problem = await check_schema(database)
    except FarsiteError as error:
        return failed("database", f"{described(settings)}: {error.detail}", _database_fix(settings, error))
    finally:
        await database.aclose()
    if problem:
        return warned("database", problem, "Start this release's cloud, or run: farsite cloud migrate")
    if settings.database is not None:
        took = (asyncio.get_running_loop().time() - started) * 1000
        return passed("database", f"{described(settings)} answers and has this release's schema", took)
    size = (settings.data_dir / FILE).stat().st_size
    return passed("database", f"{described(settings)} is sound ({size / 1024:.0f} KiB)")


def _database_fix(settings: CloudSettings, error: FarsiteError) -> str:
    if settings.database is None:
        return "Put back a backup of the data folder."
    if error.code is ErrorCode.UNAVAILABLE:
        return "Start PostgreSQL, and check the setting database, DNS and the firewall to it."
    return "Check user, password and name in the setting database, and PostgreSQL's log."


async def url_row(settings: CloudSettings, urls: PublicUrls) -> CheckRow:
    """Asked from this very machine: that others get through is theirs to check (`farsite netcheck`)."""
    name, url = "public URL", f"{urls.api}/healthz"
    started = asyncio.get_running_loop().time()
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            ours = response.status == 200 and response.headers.get("Server") == "farsite"
            status = response.status
    except aiohttp.ClientConnectorCertificateError as error:
        return _untrusted(settings, urls, error)
    except (aiohttp.ClientError, OSError) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        fix = "Start the cloud (farsite up), and check public_url, its DNS name and the firewall."
        return failed(name, f"{urls.api} cannot be reached: {why}", fix)
    took = (asyncio.get_running_loop().time() - started) * 1000
    if status == 200:
        note = "" if ours else " (through a reverse proxy)"
        return passed(name, f"{urls.api} answers{note}", took)
    return failed(name, f"{urls.api} answers HTTP {status}", "Does the reverse proxy forward to this cloud?")


def _untrusted(
    settings: CloudSettings, urls: PublicUrls, error: aiohttp.ClientConnectorCertificateError
) -> CheckRow:
    reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
    text = f"{urls.api} answers with a certificate this machine does not trust: {reason}"
    fix = "With an authority of your own, give it to clients (--ca-file) and edge hosts (FARSITE_EDGE_CLOUD_CA)."
    return (
        warned("public URL", text, fix)
        if "issuer" in reason or "self" in reason
        else failed("public URL", text, fix)
    )


# The relay


async def relay_rows(settings: CloudSettings, urls: PublicUrls) -> list[CheckRow]:
    if settings.turn == "off":
        fix = "Set turn to auto and install coturn, or name a relay run elsewhere (turn=external)."
        return [warned("relay", "off: sites that no direct path reaches cannot be managed", fix)]
    if settings.turn == "external":
        return [passed("relay", f"{settings.turn_host}, run elsewhere: check it with farsite netcheck")]
    if settings.turn_secret is None and not (settings.data_dir / SECRET_FILE).exists():
        return [version_row(await installed_version("turnserver"))]
    turn = completed(turn_settings(settings, urls))
    version = await installed_version(turn.executable)
    rows = [version_row(version), config_row(turn, version), await _port_row(turn)]
    if turn.tls and turn.certificate is not None and not _to_be_made(turn):
        rows.append(certificate_row("turns: certificate", turn.certificate, turn.host))
    return rows


def completed(settings: TurnSettings) -> TurnSettings:
    """With what the supervisor adds before it writes the file; nothing is made here."""
    folder = settings.data_dir.absolute()
    values = {"user": settings.user or service_account(), "data_dir": folder}
    if settings.tls and settings.certificate is None:
        values |= {
            "certificate": folder / TLS_FOLDER / "server.pem",
            "key": folder / TLS_FOLDER / "server.key",
        }
    return settings.model_copy(update=values)


def version_row(version: Version | None) -> CheckRow:
    if version is None:
        return failed(
            "coturn", "not installed, or it does not tell its version", "Install it: apt install coturn"
        )
    if text := advice(version):
        return warned("coturn", text, "Update coturn; until then keep to the configuration Farsite writes.")
    return passed("coturn", dotted(version))


def config_row(turn: TurnSettings, version: Version | None) -> CheckRow:
    name, path = "coturn configuration", turn.data_dir / CONFIG_FILE
    try:
        found = path.read_text()
    except FileNotFoundError:
        return warned(name, f"{path} is not there yet", "It is written when the cloud starts: farsite up")
    except (OSError, UnicodeDecodeError) as error:
        return failed(name, f"{path} cannot be read: {error}", "Run this as the user the cloud runs as.")
    if found == render(turn, version):
        return passed(name, f"{path} is what these settings make")
    text = f"{path} is not what these settings make: {_difference(found, render(turn, version))}"
    return warned(
        name, text, "Restart the cloud, which writes it anew; give the doctor the settings farsite up gets."
    )


def _difference(found: str, wanted: str) -> str:
    """The options that differ, never their values: secrets are among them."""
    changed = set(found.splitlines()) ^ set(wanted.splitlines())
    names = sorted({line.partition("=")[0] for line in changed if line and not line.startswith("#")})
    return ", ".join(names[:6]) or "order or comments"


async def _port_row(turn: TurnSettings) -> CheckRow:
    """Served, or free for a relay to come."""
    host = turn.listening_ips[0] if turn.listening_ips else "127.0.0.1"
    try:
        async with asyncio.timeout(SECONDS):
            await _answers(turn, host)
    except (TimeoutError, OSError):
        return _not_served(turn)
    ports = ", ".join(str(port) for port in (turn.port, turn.tls_port, turn.alt_tls_port) if port is not None)
    return passed("relay ports", f"the relay answers on {host}, ports {ports}")


async def _answers(turn: TurnSettings, host: str) -> None:
    if turn.port is not None:
        await answers_udp(host, turn.port)
    for port in (turn.port, turn.tls_port, turn.alt_tls_port):
        if port is not None:
            await accepts_tcp(host, port)


def _not_served(turn: TurnSettings) -> CheckRow:
    if _to_be_made(turn):
        turn = turn.model_copy(update={"certificate": None, "key": None})
    try:
        check(turn)
    except FarsiteError as error:
        return failed(
            "relay ports", error.detail, "Change what is named and start the cloud again: farsite up"
        )
    return warned("relay ports", "nothing answers; the ports are free", "Start the cloud: farsite up")


def _to_be_made(turn: TurnSettings) -> bool:
    """No certificate was given, and the relay that makes one has not started yet."""
    path = turn.certificate
    return path is not None and path.parent == turn.data_dir / TLS_FOLDER and not path.exists()


def certificate_row(name: str, path: Path, host: str) -> CheckRow:
    try:
        certificate = load_certificate(path.read_text())
    except (OSError, UnicodeDecodeError, FarsiteError) as error:
        return failed(name, f"{path} cannot be read: {error}", "Give a PEM certificate this user may read.")
    ends = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    left = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    if left < 0:
        return failed(name, f"{path} expired on {ends}", "Renew it.")
    if not covers(certificate, host):
        return failed(
            name, f"{path} is not for {host}", f"Have one made that names {host}, or change the setting."
        )
    if left < CLOSE_DAYS:
        return warned(name, f"{path} expires on {ends}", "Renew it.")
    return passed(name, f"{path} is good until {ends}")


def covers(certificate: x509.Certificate, host: str) -> bool:
    """RFC 9525: an exact name or address, or one wildcard label on the left."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    wildcard = f"*.{host.partition('.')[2]}".lower()
    found = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return host in addresses or host.lower() in found or ("." in host and wildcard in found)


def _allow_list(settings: CloudSettings, urls: PublicUrls) -> Iterator[AllowLine]:
    yield _inward("tcp", settings.listen_port, "API, console and signaling")
    if settings.turn != "auto":
        return
    if settings.turn_port:
        yield _inward("udp", settings.turn_port, "STUN and TURN")
        yield _inward("tcp", settings.turn_port, "TURN over TCP")
    for port in (settings.turn_tls_port, settings.turn_alt_tls_port):
        if port:
            yield _inward("tcp", port, "TURN over TLS")
    yield _inward("udp", f"{settings.turn_min_port}-{settings.turn_max_port}", "relayed traffic")


def _inward(protocol: str, port: int | str, why: str) -> AllowLine:
    values = {"host": "this machine", "port": str(port), "protocol": protocol, "why": why, "direction": "in"}
    return AllowLine.model_validate(values)
