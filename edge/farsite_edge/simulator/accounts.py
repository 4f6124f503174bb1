"""A device's accounts and what `pwdgrp.cgi` says about them; free of I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9]{1,14}")
_GROUPS = ("admin", "operator", "viewer", "ptz")
_INTERNAL = "wwwa,wwwaop,wwwaovp,sdk,streamer"


@dataclass
class Account:
    name: str
    password: str = field(repr=False)
    groups: frozenset[str] = frozenset(_GROUPS)

    @property
    def level(self) -> str:
        return next((level for level in ("admin", "operator", "viewer") if level in self.groups), "none")


class Accounts:
    """`root_only`: the first account must be root, which then stays (firmware before 11.5)."""

    def __init__(self, *, root_only: bool, internal: bool) -> None:
        self._root_only = root_only
        self._internal = internal
        self._by_name: dict[str, Account] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Account | None:
        return self._by_name.get(name)

    def put(self, account: Account) -> None:
        self._by_name[account.name] = account

    def copy(self) -> Accounts:
        twin = Accounts(root_only=self._root_only, internal=self._internal)
        twin._by_name = {name: replace(account) for name, account in self._by_name.items()}
        return twin

    def clear(self) -> None:
        self._by_name.clear()

    def perform(self, fields: dict[str, str]) -> str:
        """One sentence, as the device puts it into its page."""
        actions: dict[str, Any] = {"add": self._add, "update": self._update, "remove": self._remove}
        action = actions.get(fields.get("action", ""))
        if action is None:
            return "Error: action operation type."
        answer: str = action(fields.get("user", ""), fields)
        return answer

    def _add(self, name: str, fields: dict[str, str]) -> str:
        if not _NAME.fullmatch(name):
            return "Error: account user name."
        if name in self._by_name:
            return "Error: this user name already exists, consult the system log file."
        if not _good_password(fields.get("pwd", "")):
            return "Error: invalid password."
        groups = _groups(fields.get("sgrp", ""))
        if not self._by_name and not self._may_be_first(name, groups):
            return "Error: not a valid initial admin user."
        self._by_name[name] = Account(name, fields["pwd"], groups)
        return f"Created account {name}."

    def _may_be_first(self, name: str, groups: frozenset[str]) -> bool:
        return "admin" in groups and (name == "root" or not self._root_only)

    def _update(self, name: str, fields: dict[str, str]) -> str:
        account = self._by_name.get(name)
        if account is None:
            return "Error: account user name."
        if "pwd" in fields and not _good_password(fields["pwd"]):
            return "Error: invalid password."
        account.password = fields.get("pwd", account.password)
        if "sgrp" in fields:
            account.groups = _groups(fields["sgrp"])
        return f"Modified account {name}."

    def _remove(self, name: str, fields: dict[str, str]) -> str:
        if name not in self._by_name:
            return "Error: account user name."
        if name == "root" and self._root_only:
            return "Error: consult the system log file."
        del self._by_name[name]
        return f"Removed account {name}."

    def listing(self) -> str:
        """The body of `action=get`. Old firmware mixes in accounts of its own, which `digusers` leaves out."""
        lines = [f'{group}="{self._members(group)}"' for group in _GROUPS]
        if self._internal:
            lines += [
                'anonymous=""',
                'audio="streamer,sdk"',
                'root="root"',
                f'users="{",".join(self._by_name)}"',
            ]
        return "\r\n".join([*lines, f'digusers="{",".join(self._by_name)}"', ""])

    def _members(self, group: str) -> str:
        names = [account.name for account in self._by_name.values() if group in account.groups]
        return ",".join(names + ([_INTERNAL] if self._internal else []))


def _groups(text: str) -> frozenset[str]:
    return frozenset(group for group in text.split(":") if group in _GROUPS)


def _good_password(password: str) -> bool:
    return 1 <= len(password) <= 64 and password.isascii() and password.isprintable()


def page(sentence: str) -> str:
    return (
        "<html><head><title>User accounts</title></head><body bgcolor=#ffffff>"
        f"{sentence}\n</body>\n\n</html>\n"
    )
