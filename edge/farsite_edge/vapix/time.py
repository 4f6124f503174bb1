"""`time.cgi` (AXIS OS 9.30 and newer) and `ntp.cgi` (9.10 and newer): clock, time zone, time servers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from farsite_edge.vapix import json_api
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.text import clean

MAX_SERVERS = 8


@dataclass(frozen=True)
class DeviceTime:
    """`zone` is an IANA name, `posix` a POSIX one; a device has one of them, or both."""

    now: datetime
    zone: str = ""
    posix: str = ""


@dataclass(frozen=True)
class NtpClient:
    """`synced` none: it does not say."""

    enabled: bool
    from_dhcp: bool
    servers: tuple[str, ...] = ()
    advertised: tuple[str, ...] = ()
    synced: bool | None = None


class GetTime(ApiRequest[DeviceTime]):
    path = "/axis-cgi/time.cgi"
    content_type = json_api.JSON

    def body(self) -> bytes:
        return json_api.build("getDateTimeInfo")

    def parse(self, answer: Answer) -> DeviceTime:
        data = json_api.parse(answer)
        try:
            now = datetime.fromisoformat(clean(data.get("dateTime"), 40))
        except ValueError:
            raise bad_answer("a time that is none") from None
        now = now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
        return DeviceTime(now, clean(data.get("timeZone"), 64), clean(data.get("posixTimeZone"), 100))


class _Set(ApiRequest[None]):
    content_type = json_api.JSON
    api_method: str

    def params(self) -> dict[str, Any]:
        raise NotImplementedError

    def body(self) -> bytes:
        return json_api.build(self.api_method, self.params())

    def parse(self, answer: Answer) -> None:
        json_api.parse(answer)


class SetTime(_Set):
    """To this machine's time, at the moment it is sent."""

    path = "/axis-cgi/time.cgi"
    api_method = "setDateTime"

    def params(self) -> dict[str, Any]:
        return {"dateTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}


class SetTimeZone(_Set):
    """An IANA name. Error 2002: the device does not know it."""

    path = "/axis-cgi/time.cgi"
    api_method = "setTimeZone"

    def __init__(self, zone: str) -> None:
        self.zone = zone

    def params(self) -> dict[str, Any]:
        return {"timeZone": self.zone}


class SetPosixTimeZone(_Set):
    path = "/axis-cgi/time.cgi"
    api_method = "setPosixTimeZone"

    def __init__(self, posix: str) -> None:
        self.posix = posix

    def params(self) -> dict[str, Any]:
        return {"posixTimeZone": self.posix, "enableDst": "," in self.posix}


class GetNtp(ApiRequest[NtpClient]):
    path = "/axis-cgi/ntp.cgi"
    content_type = json_api.JSON

    def body(self) -> bytes:
        return json_api.build("getNTPInfo")

    def parse(self, answer: Answer) -> NtpClient:
        client = json_api.parse(answer).get("client")
        if not isinstance(client, dict):
            raise bad_answer("time settings without a client")
        synced = client.get("synced")
        return NtpClient(
            enabled=client.get("enabled") is True,
            from_dhcp=clean(client.get("serversSource"), 16).upper() == "DHCP",
            servers=_servers(client.get("staticServers")),
            advertised=_servers(client.get("advertisedServers")),
            synced=synced if isinstance(synced, bool) else None,
        )


def _servers(value: object) -> tuple[str, ...]:
    listed = value[:MAX_SERVERS] if isinstance(value, list) else []
    return tuple(name for one in listed if (name := clean(one, 255)))


class SetNtp(_Set):
    """Without servers those of DHCP are used."""

    path = "/axis-cgi/ntp.cgi"
    api_method = "setNTPClientConfiguration"

    def __init__(self, servers: tuple[str, ...]) -> None:
        self.servers = servers

    def params(self) -> dict[str, Any]:
        if not self.servers:
            return {"enabled": True, "serversSource": "DHCP"}
        return {"enabled": True, "serversSource": "static", "staticServers": list(self.servers)}
