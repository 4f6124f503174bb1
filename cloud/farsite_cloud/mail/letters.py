"""The mails' words: one template each, its first line the subject."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_LONGEST_SUBJECT = 150


class Letter(StrEnum):
    CONFIRM = "confirm"
    ALREADY_KNOWN = "already_known"
    RESET = "reset"
    PASSWORD_CHANGED = "password_changed"
    MFA_CHANGED = "mfa_changed"
    SIGN_IN_CODE = "sign_in_code"
    DOMAIN = "domain_proof"
    PASSKEY_COPIED = "passkey_copied"
    INVITATION = "invitation"
    NOTICE = "notice"
    SUPPORT = "support"
    DELETION = "deletion"
    RESTORED = "restored"
    ERASED = "erased"
    ACCOUNT_DELETED = "account_deleted"
    ADDRESS = "address"
    ADDRESS_CHANGED = "address_changed"
    BY_OPERATOR = "by_operator"
    SUSPENDED = "suspended"
    REACTIVATED = "reactivated"


@dataclass(frozen=True)
class Content:
    subject: str
    text: str


def _one_line(value: object) -> object:
    """People's names must not write lines of their own into a mail."""
    if not isinstance(value, str):
        return value
    return "".join(character if character.isprintable() else " " for character in value)


# Plain text: nothing to escape but line breaks.
_templates = Environment(
    loader=PackageLoader("farsite_cloud", "mail/templates"),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701
    trim_blocks=True,
    finalize=_one_line,
)


def render(letter: Letter, **values: Any) -> Content:
    subject, _, text = _templates.get_template(f"{letter}.txt").render(values).partition("\n")
    return Content(subject.strip()[:_LONGEST_SUBJECT], text.strip() + "\n")
