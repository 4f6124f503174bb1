"""What the WAN benchmark compares can be compared: each carrier moves every byte, both ways, over a link with loss."""

from __future__ import annotations

import os

import pytest

from farsite_client.lab.namespaces import which
from tests.bench.wan_pair import connected
from tests.lab.wan.conditions import Conditions, Direction
from tests.lab.wan.link import WanLink, use_congestion_control, why_not

pytestmark = [pytest.mark.lab]
SIZE = 300_000
LINK = Conditions.both(Direction(rate_mbit=20, delay_ms=10, queue_ms=200, loss=0.005))


def reason_not_to_run() -> str | None:
    if reason := why_not():
        return reason
    return None if which("sshd") and which("ssh") else "install openssh-server openssh-client"


@pytest.mark.parametrize("who", ["farsite", "link", "aiortc", "mixed", "ssh", "tcp"])
async def test_every_byte_arrives(who: str) -> None:
    if reason := reason_not_to_run():
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)
    async with WanLink(LINK) as link:
        for side in (link.left, link.right):
            await use_congestion_control(side, "cubic")
        async with connected(link, who) as pair:
            up = await pair.transfer("up", SIZE, 60)
        async with connected(link, who) as pair:
            down = await pair.transfer("down", SIZE, 60)
        carried = [direction["bytes"] for direction in (await link.stats())["directions"]]
    for transfer in (up, down):
        assert transfer.timeline.total == SIZE
        assert sum(transfer.cpu) > 0
    assert min(carried) > SIZE, "some of it took another way"
