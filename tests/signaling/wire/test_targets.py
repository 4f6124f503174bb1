"""Every kind of stream has a right it needs."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import BaseModel

from farsite_signaling.wire.rights import ROLE_RIGHTS
from farsite_signaling.wire.stream import TARGET_RIGHTS, AnyTarget, check_targets


def test_the_table_names_every_target_and_rights_somebody_has() -> None:
    assert set(TARGET_RIGHTS) == set(get_args(AnyTarget))
    assert set(TARGET_RIGHTS.values()) <= frozenset().union(*ROLE_RIGHTS.values())


def test_a_target_without_a_right_keeps_everything_from_starting() -> None:
    class Backdoor(BaseModel):
        kind: str = "backdoor"

    with pytest.raises(TypeError, match="Backdoor does not declare"):
        check_targets([*get_args(AnyTarget), Backdoor], TARGET_RIGHTS)
