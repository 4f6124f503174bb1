"""What is kept of a policy on thousands of devices."""

from __future__ import annotations

from datetime import UTC, datetime

from farsite_edge.policies.record import DeviceRow, PolicyRecord, Result, StoredSetting
from farsite_signaling.wire.policy_api import PolicyMode, PolicyState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_setting_that_is_the_same_on_many_devices_is_in_memory_once() -> None:
    stored = Result(settings=[StoredSetting("ssh", PolicyState.COMPLIANT, "no", "no")]).model_dump_json()
    first, second = (Result.model_validate_json(stored) for _ in range(2))
    assert first.settings[0] is second.settings[0]
    other = Result(settings=[StoredSetting("ssh", PolicyState.FAILED, "no", "yes", since=NOW, failures=3)])
    assert other.settings[0] is not first.settings[0]
    assert Result.model_validate_json(other.model_dump_json()) == other


def test_results_of_older_versions_are_read_and_shown() -> None:
    old = (
        '{"state": "failed", "settings": [{"setting": "ssh", "state": "failed", "found": "yes", "gone": 1}]}'
    )
    row = DeviceRow(policy="p", device="d", result=Result.model_validate_json(old))
    values = {"kind": "security", "name": "n", "mode": PolicyMode.ENFORCE, "settings": {}}
    record = PolicyRecord(id="p", created_at=NOW, changed_at=NOW, **values)
    [shown] = row.shown(record).settings
    assert (shown.setting, shown.state, shown.found, shown.wanted) == ("ssh", PolicyState.FAILED, "yes", "")
