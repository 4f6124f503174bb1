"""The basic security policy on simulated devices of every generation, over HTTP and HTTPS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farsite_edge.policies.security.catalogue import CATALOGUE
from farsite_edge.policies.security.settings import RECOMMENDED, SecuritySettings, validated
from farsite_edge.simulator.models import MODELS
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.policy_api import PolicyState
from tests.edge.policies.conftest import Rig, rig_of

NEW = "correct-horse-battery"
GOOD = (PolicyState.COMPLIANT, PolicyState.APPLIED, PolicyState.NOT_SUPPORTED)


async def secure(rig: Rig, settings: dict[str, Any], **options: Any) -> Any:
    return await rig.policy(settings, kind="security", **options)


def test_every_setting_is_in_the_catalogue_and_the_recommended_ones_agree() -> None:
    assert set(CATALOGUE) == set(SecuritySettings.model_fields)
    assert validated(RECOMMENDED, {}) == RECOMMENDED


@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
async def test_recommended_settings_on_every_generation(tmp_path: Path, https: bool) -> None:
    async with rig_of(tmp_path, *MODELS, count=len(MODELS), https=https) as rig:
        policy = await rig.policy(kind="security")
        task, _ = await rig.run(policy)
        devices = await rig.edge.host.tasks.devices(task.id)
        assert task.state is TaskState.SUCCEEDED, [(one.device, one.detail) for one in devices]
        for device in rig.simulator.devices:
            result = rig.result(policy, device.serial)
            states = {one.setting: one.state for one in result.settings}
            assert set(states) == set(RECOMMENDED)
            assert set(states.values()) <= set(GOOD), (device.version, states)
            assert device.parameters["Network.ZeroConf.Enabled"] == "no"
            assert device.failed_logins == 0
            if device.model.generation == "5.51":
                assert device.parameters["Network.FTP.Enabled"] == "no"
                assert states["brute_force_protection"] is PolicyState.NOT_SUPPORTED
            if device.model.generation == "12":
                assert device.rest.password_policy == "length"
                assert device.parameters["Network.HTTP.AuthenticationPolicy"] == "recommended"
        again, _ = await rig.run(policy)
        steps = [step.step for one in await rig.edge.host.tasks.devices(again.id) for step in one.steps]
        assert set(steps) == {"succeeded"}
