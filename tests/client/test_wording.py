"""Errors in the words of whoever typed a command."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import ValidationError

from farsite_client.cli.failure import to_farsite_error
from farsite_client.cli.lazy import load_own
from farsite_client.cli.wording import in_options, refused_values
from farsite_client.testing import EMAIL, PASSWORD, FakeCloud
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.people_api import InvitationRequest, ResetRequest

Cli = Callable[..., Awaitable[Any]]


def said(group: str, command: str, detail: str, field: str = "") -> str:
    errors = [{"field": field, "message": ""}] if field else []
    error = FarsiteError(ErrorCode.INVALID_REQUEST, detail, errors=errors)
    return in_options(error, load_own(group).commands[command]).detail


@pytest.mark.parametrize(
    ("group", "command", "detail", "expected"),
    [
        ("invites", "send", "Name folder_ids, or all_folders.", "Name --folder, or --all-folders."),
        ("edges", "remove", "Confirm: risk_confirmed=true.", "Confirm: --i-am-aware-of-the-risks."),
        ("tokens", "create", "Say whose: organization_id.", "Say whose: --this-organization."),
        ("notices", "settings", "Set unreachable_devices.", "Set --unreachable-devices."),
        ("orgs", "list", "The operator sets outbound_allowed.", "The operator sets outbound_allowed."),
        (
            "orgs",
            "list",
            "See /api/folder_ids and https://x/folder_ids",
            "See /api/folder_ids and https://x/folder_ids",
        ),
    ],
)
def test_fields_become_the_commands_options(group: str, command: str, detail: str, expected: str) -> None:
    assert said(group, command, detail) == expected


def test_the_field_that_is_wrong_is_named_as_it_was_typed() -> None:
    assert said("invites", "send", "Too long (emails.3).", "emails.3") == "Too long (EMAIL...)."
    assert said("tokens", "create", "Too many (expires_in_days).", "expires_in_days") == "Too many (--days)."
    assert said("tokens", "create", "Odd (whatever).", "whatever") == "Odd (whatever)."


def test_what_a_model_refuses_here_is_said_as_the_cloud_would() -> None:
    with pytest.raises(ValidationError) as caught:
        InvitationRequest(emails=[])
    error = refused_values(caught.value)
    assert (error.code, error.errors[0]["field"]) == ("invalid_request", "emails")
    assert error.detail.endswith("(emails).")


async def test_commands_say_it(cli: Cli, fake_cloud: FakeCloud) -> None:
    await cli("login", fake_cloud.url, "--email", EMAIL, FARSITE_CLIENT_PASSWORD=PASSWORD)
    ran = await cli("orgs", "change", "--name", "x" * 300)
    assert (ran.code, ran.out) == (1, "") and "(--name). [invalid_request]" in ran.err
    ran = await cli("folders", "create", "", "--json")
    problem = json.loads(ran.out)
    assert (ran.code, problem["code"]) == (1, "invalid_request") and "(NAME)" in problem["detail"]


@pytest.mark.parametrize(
    ("typed", "said_of_it"),
    [
        ("short", "It needs at least 10 characters, and has 5 (password)."),
        ("", "It must not be empty (password)."),
    ],
)
def test_lengths_are_said_of_characters(typed: str, said_of_it: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ResetRequest(code="x", password=typed)
    assert refused_values(refused.value).detail == said_of_it


def test_what_is_not_installed_is_said_with_the_part_it_belongs_to() -> None:
    def asked_by(module: str) -> FarsiteError:
        code = compile("def ask():\n    raise ModuleNotFoundError('no', name='defusedxml')", "x", "exec")
        names: dict[str, Any] = {"__name__": module}
        exec(code, names)
        with pytest.raises(ModuleNotFoundError) as missing:
            names["ask"]()
        return to_farsite_error(missing.value)

    assert "pip install 'farsite[edge]'" in asked_by("farsite_edge.vapix").detail
    assert "pip install 'farsite[cloud]'" in asked_by("farsite_cloud.settings").detail
    assert "pip install 'farsite[client]'" in asked_by("aiohttp").detail


def test_more_than_may_be_and_what_is_no_address() -> None:
    for values, expected in [
        ({"emails": ["ann@example.com"] * 101}, "It needs at most 100 entries, and has 101 (emails)."),
        (
            {"emails": ["ann@example.com", "ann"]},
            "It is no e-mail address such as ann@example.com (emails.1).",
        ),
    ]:
        with pytest.raises(ValidationError) as refused:
            InvitationRequest(**values)
        assert refused_values(refused.value).detail == expected
