"""Small services with a CGI of their own: remote syslog, what apps are allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from farsite_edge.vapix import json_api
from farsite_edge.vapix.errors import Refused, bad_answer
from farsite_edge.vapix.request import FORM, Answer, ApiRequest, form
from farsite_edge.vapix.text import clean

_PARAM = re.compile(r'<param\s+name="(\w{1,64})"\s+value="([^"]{0,200})"')


@dataclass(frozen=True)
class SyslogServer:
    """`protocol` is `UDP`, `TCP` or `TLS`."""

    address: str
    port: int
    protocol: str
    severity: str = "Informational"


class SetUpSyslog(ApiRequest[dict[str, Any]]):
    """Send the system log to one server, from now on. Replaces what was set up before."""

    path = "/axis-cgi/remotesyslog.cgi"
    content_type = json_api.JSON

    def __init__(self, server: SyslogServer) -> None:
        self.server = server

    def body(self) -> bytes:
        one = {
            "address": self.server.address,
            "port": self.server.port,
            "protocol": self.server.protocol,
            "syslogFormat": "RFC5424",
            "severity": self.server.severity,
        }
        return json_api.build("setup", {"servers": [one]})

    def parse(self, answer: Answer) -> dict[str, Any]:
        return json_api.parse(answer)


class DisableSyslog(ApiRequest[dict[str, Any]]):
    path = "/axis-cgi/remotesyslog.cgi"
    content_type = json_api.JSON

    def body(self) -> bytes:
        return json_api.build("disable")

    def parse(self, answer: Answer) -> dict[str, Any]:
        return json_api.parse(answer)


class GetAppSetting(ApiRequest[str]):
    """`AllowUnsigned` or `AllowRoot` (AXIS OS 11.2 and newer): `true` or `false`."""

    path = "/axis-cgi/applications/config.cgi"
    method = "GET"

    def __init__(self, name: str) -> None:
        self.name = name

    def query(self) -> dict[str, str]:
        return {"action": "get", "name": self.name}

    def parse(self, answer: Answer) -> str:
        for match in _PARAM.finditer(answer.text[:4096]):
            if match[1] == self.name:
                return clean(match[2], 16)
        raise Refused(f"The device does not tell {self.name}.")


class SetAppSetting(ApiRequest[None]):
    path = "/axis-cgi/applications/config.cgi"
    content_type = FORM

    def __init__(self, name: str, value: str) -> None:
        self.fields = {"action": "set", "name": name, "value": value}

    def body(self) -> bytes:
        return form(self.fields)

    def parse(self, answer: Answer) -> None:
        text = answer.text[:4096]
        if 'result="ok"' in text:
            return
        if 'result="error"' in text or text.lower().startswith("error"):
            raise Refused(f"The device refused the change: {clean(text, 100)}")
        raise bad_answer("an unknown answer to a change of what apps may do")
