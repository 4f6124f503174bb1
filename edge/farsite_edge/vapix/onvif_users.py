"""ONVIF accounts of a device: kept apart from its own ones, with names and passwords of their own.

Source: ONVIF Core, Device Management, user handling (`GetUsers`, `SetUser`). A password is set and never told.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import Answer
from farsite_edge.vapix.soap import DEVICE, SCHEMA, SoapChange, SoapRequest
from farsite_edge.vapix.text import clean

MAX_USERS = 500


@dataclass(frozen=True)
class OnvifUser:
    """`level` as the device says it: `Administrator`, `Operator`, `User`, `Anonymous` or `Extended`."""

    name: str
    level: str


class GetOnvifUsers(SoapRequest[list[OnvifUser]]):
    action = "GetUsers"

    def call(self) -> str:
        return "<tds:GetUsers/>"

    def parse(self, answer: Answer) -> list[OnvifUser]:
        root = self.answered(answer)
        if root.find(f".//{{{DEVICE}}}GetUsersResponse") is None:
            raise bad_answer("no list of ONVIF accounts")
        found = [
            OnvifUser(
                clean(one.findtext(f"{{{SCHEMA}}}Username"), 64),
                clean(one.findtext(f"{{{SCHEMA}}}UserLevel"), 32),
            )
            for one in root.findall(f".//{{{DEVICE}}}User")[:MAX_USERS]
        ]
        return [one for one in found if one.name]


class SetOnvifUser(SoapChange):
    """Another password for an account that is there; its level stays."""

    action = "SetUser"

    def __init__(self, user: OnvifUser, password: str) -> None:
        self.user = user
        self._password = password

    def call(self) -> str:
        one = self.user
        return (
            f"<tds:SetUser><tds:User><tt:Username>{escape(one.name)}</tt:Username>"
            f"<tt:Password>{escape(self._password)}</tt:Password>"
            f"<tt:UserLevel>{escape(one.level)}</tt:UserLevel></tds:User></tds:SetUser>"
        )
