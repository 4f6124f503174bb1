"""`pwdgrp.cgi`: accounts of a device. Answers are small HTML pages with HTTP 200, for success and failure alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from farsite_edge.vapix.errors import Refused, bad_answer
from farsite_edge.vapix.request import FORM, Answer, ApiRequest, form
from farsite_edge.vapix.text import clean
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PATH = "/axis-cgi/pwdgrp.cgi"
MAX_USERS = 500
_NAME = re.compile(r"[A-Za-z0-9]{1,14}")
_TAG = re.compile(r"<title>.*?</title>|<[^<>]*>", re.IGNORECASE | re.DOTALL)


class Role(StrEnum):
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    NONE = "none"  # an account in none of the three groups

    @property
    def groups(self) -> str:
        """The value of `sgrp`: a role includes the lower ones."""
        return {"admin": "admin:operator:viewer", "operator": "operator:viewer"}.get(self.value, "viewer")


@dataclass(frozen=True)
class User:
    name: str
    role: Role
    ptz: bool = False


class _Change(ApiRequest[None]):
    """`add`, `update`, `remove`: one sentence comes back, an error when it starts so."""

    path = PATH
    content_type = FORM
    done: str

    def parse(self, answer: Answer) -> None:
        text = page_text(answer)
        if self.done in text.lower():
            return
        if not text.lower().startswith("error"):
            raise bad_answer("an unknown answer to a change of accounts")
        raise Refused(f"The device refused the account: {text}")


class AddUser(_Change):
    """`first` creates the account of a factory-new device, the only one made without credentials.

    Firmware before 11.5 wants `root` as its name.
    """

    done = "created account"

    def __init__(
        self, name: str, password: str, role: Role = Role.ADMIN, *, ptz: bool = True, first: bool = False
    ):
        self.fields = {
            "action": "add",
            "user": check_name(name),
            "pwd": check_password(password),
            "grp": "root" if first else "users",
            "sgrp": role.groups + (":ptz" if ptz else ""),
            "comment": "Farsite",  # firmware before autumn 2019 wants one
        }

    def body(self) -> bytes:
        return form(self.fields)


class AddFirstUser(AddUser):
    anonymous = True

    def __init__(self, name: str, password: str) -> None:
        super().__init__(name, password, Role.ADMIN, first=True)


class UpdateUser(_Change):
    done = "modified account"

    def __init__(
        self, name: str, *, password: str | None = None, role: Role | None = None, ptz: bool = False
    ):
        self.fields = {"action": "update", "user": check_name(name)}
        if password is not None:
            self.fields["pwd"] = check_password(password)
        if role is not None:
            self.fields["sgrp"] = role.groups + (":ptz" if ptz else "")

    def body(self) -> bytes:
        return form(self.fields)


class RemoveUser(_Change):
    done = "removed account"

    def __init__(self, name: str) -> None:
        self.fields = {"action": "remove", "user": check_name(name)}

    def body(self) -> bytes:
        return form(self.fields)


class GetUsers(ApiRequest[list[User]]):
    path = PATH
    content_type = FORM

    def body(self) -> bytes:
        return form({"action": "get"})

    def parse(self, answer: Answer) -> list[User]:
        groups = _groups(answer.text)
        if groups.keys().isdisjoint(_LISTS):
            raise bad_answer("no list of accounts; the account used may not be an administrator")
        # Old firmware lists internal accounts in every group: only these two name the real ones.
        names = groups.get("digusers") or groups.get("users", [])
        return [_user(name, groups) for name in names[:MAX_USERS]]


# One of them is in every list of accounts: what has none of them is another answer, not a device without accounts.
_LISTS = {"digusers", "users", "admin"}


def _groups(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines()[:1000]:
        name, equals, value = line.partition("=")
        if equals and value.startswith('"'):
            members = value.strip().strip('"').split(",")
            found[clean(name)] = [clean(member, 64) for member in members if clean(member, 64)]
    return found


def _user(name: str, groups: dict[str, list[str]]) -> User:
    roles = (Role.ADMIN, Role.OPERATOR, Role.VIEWER)
    role = next((role for role in roles if name in groups.get(role, ())), Role.NONE)
    return User(name, role, name in groups.get("ptz", ()))


def page_text(answer: Answer) -> str:
    """The sentence inside the page."""
    return clean(_TAG.sub("", answer.text[:4096]).strip())


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, "An account name of a device is 1 to 14 letters and digits."
        )
    return name


def check_password(password: str) -> str:
    if not 1 <= len(password) <= 64 or not password.isascii() or not password.isprintable():
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, "A device's password is 1 to 64 printable ASCII characters."
        )
    return password
