"""`farsite licence …` (operator) and `farsite licences …` (organization) as processes against a real cloud."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from farsite_cloud.licences.command import Algorithm
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, run_cloud

pytestmark = pytest.mark.timeout(240)


async def _done(cli: Any, *arguments: str, **variables: str) -> Any:
    ran = await cli(*arguments, "--json", **variables)
    assert ran.code == 0, ran.err + ran.out
    return json.loads(ran.out)


async def test_from_the_operators_key_to_a_covered_organization(cli: Any, tmp_path: Path) -> None:
    key, file = str(tmp_path / "authority.key"), tmp_path / "licence.txt"
    made = await _done(cli, "licence", "authority", "init", "--key", key, "--algorithm", Algorithm.P256)
    issuing = ("licence", "issue", "--key", key, "--count", "5", "--until")
    issued = await _done(cli, *issuing, "2099-12-31", "-o", str(file))
    assert issued["licence"]["count"] == 5
    shown = await _done(cli, "licence", "show", str(file), "--public-key", made["public_key"])
    assert shown["jti"] == issued["licence"]["jti"]
    assert (await cli(*issuing, "2001-01-01")).code == 1
    async with run_cloud(licensing="on", licence_keys=[made["public_key"]]) as cloud:
        await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, FARSITE_CLIENT_PASSWORD=OWNER_PASSWORD)
        assert (await _done(cli, "licences"))["state"] == "trial"
        state = await _done(cli, "licences", "redeem", "--file", str(file))
        assert state["needs"][0]["owned"] == 5
        table = await cli("licences", "list")
        assert "2100-01-01" in table.out and "operator" in table.out
        assert await _done(cli, "licences", "allocations") == []
        refused = await cli("licences", "redeem", "no-key")
        assert refused.code == 1 and "licence_invalid" in refused.err
