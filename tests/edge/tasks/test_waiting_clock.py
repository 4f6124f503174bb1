"""An edge host without a battery learns the time after its start: what it waits for then is not given up."""

from __future__ import annotations

import time
from inspect import signature

import pytest

from farsite_edge.axis_os.job import OsJob
from farsite_edge.device_tasks.change import AddressChange
from farsite_edge.device_tasks.power import FactoryDefault, Restart
from farsite_edge.policies.job import PolicyJob
from farsite_edge.tasks.steady import steady


def test_it_goes_on_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    before = steady()
    assert abs(before - time.time()) < 3600
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert before <= steady() < before + 60


@pytest.mark.parametrize("job", [OsJob, PolicyJob, AddressChange, Restart, FactoryDefault])
def test_whoever_waits_for_a_device_goes_by_it(job: type) -> None:
    assert signature(job).parameters["clock"].default is steady
