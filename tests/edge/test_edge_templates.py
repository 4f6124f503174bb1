"""What an edge host exports of a policy, the cloud takes as a template."""

from __future__ import annotations

import pytest

from farsite_edge.policies.security.settings import RECOMMENDED, SecuritySettings
from farsite_signaling.wire.policy_templates_api import TemplateRequest


def test_the_recommended_settings_are_no_secrets() -> None:
    """A template of the security policy was refused for its password rules."""
    settings = SecuritySettings.model_validate(RECOMMENDED).model_dump(mode="json", exclude_none=True)
    assert "password_policy" in settings
    assert TemplateRequest(name="Branch", kind="security", settings=settings).settings == settings


def test_a_password_is() -> None:
    with pytest.raises(ValueError, match="looks like a secret"):
        TemplateRequest(name="Branch", kind="security", settings={"root_password": "hunter2"})
