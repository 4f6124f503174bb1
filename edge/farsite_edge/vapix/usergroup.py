"""`usergroup.cgi`: the rights of the account in use."""

from __future__ import annotations

import re
from dataclasses import dataclass

from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.text import clean


@dataclass(frozen=True)
class Rights:
    user: str
    groups: frozenset[str]

    @property
    def admin(self) -> bool:
        return "admin" in self.groups

    @property
    def operator(self) -> bool:
        return self.admin or "operator" in self.groups

    @property
    def viewer(self) -> bool:
        return self.operator or "viewer" in self.groups

    @property
    def ptz(self) -> bool:
        return "ptz" in self.groups


_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_GROUPS = re.compile(r"[A-Za-z0-9._-]+(\s+[A-Za-z0-9._-]+)*")


class GetRights(ApiRequest[Rights]):
    """Two lines: the account, then its groups."""

    path = "/axis-cgi/usergroup.cgi"
    method = "GET"

    def parse(self, answer: Answer) -> Rights:
        lines = [line.strip() for line in answer.text.splitlines()[:4] if line.strip()]
        if len(lines) < 2 or not _NAME.fullmatch(lines[0]) or not _GROUPS.fullmatch(lines[1][:4096]):
            raise bad_answer("no rights of the account")
        groups = frozenset(clean(group, 64) for group in lines[1].split()[:50])
        return Rights(clean(lines[0], 64), groups)
