"""An edge host for tests: real, on free ports of 127.0.0.1, with a temporary folder."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farsite_edge.devices.gateway import Gateway
from farsite_edge.host import EdgeHost
from farsite_edge.settings import EdgeSettings, load_settings
from farsite_signaling.wire.edge_api import ClaimRequest, SettingsChange


def test_settings(data_dir: Path, **changes: Any) -> EdgeSettings:
    """Free ports, no multicast, short intervals, simulated devices on this machine allowed."""
    values: dict[str, Any] = {
        "data_dir": data_dir,
        "name": "test site",
        "bind": ["127.0.0.1"],
        "http_port": 0,
        "https_port": 0,
        "multicast": False,
        "multicast_port": 0,
        "discovery_multicast": False,
        "allow_http_cloud": True,
        "allow_loopback_devices": True,
        "offer_loopback": True,
        "poll_interval": 1.0,
        "report_interval": 1.0,
        "device_timeout": 5.0,
        "log_in_interval": 0.2,
        "shutdown_timeout": 1.0,
    }
    return load_settings(values | changes, environ={})


test_settings.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever its name


@dataclass
class RunningEdge:
    """`events` holds what the edge host told, `(event, values)`; `wait_for` waits for one."""

    host: EdgeHost
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.host.https_port}"

    async def claim(self, cloud_url: str, code: str, *, remote_access: bool = True) -> None:
        body = {"cloud_url": cloud_url, "code": code, "remote_access": remote_access}
        await self.host.claim(ClaimRequest.model_validate(body))

    async def set_remote_access(self, on: bool) -> None:
        changed = await self.host.preferences.change(SettingsChange(remote_access=on))
        self.host.settings_changed(changed, through_tunnel=False)

    async def wait_for(self, event: str, *, timeout: float = 20.0, **values: object) -> dict[str, object]:
        """The values of the first such event that has (or had) these values. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            while True:
                for name, told in self.events:
                    if name == event and values.items() <= told.items():
                        return told
                self._told.clear()
                await self._told.wait()

    def tell(self, event: str, values: dict[str, object]) -> None:
        self.events.append((event, values))
        self._told.set()


@asynccontextmanager
async def run_edge(
    data_dir: Path | None = None, *, gateway: Gateway | None = None, **changes: Any
) -> AsyncIterator[RunningEdge]:
    """`changes` are settings."""
    with tempfile.TemporaryDirectory(prefix="farsite-edge-") as temporary:
        settings = test_settings(data_dir or Path(temporary), **changes)

        def notify(event: str, values: dict[str, object]) -> None:
            running.tell(event, values)

        host = EdgeHost(settings, gateway=gateway, notify=notify)
        running = RunningEdge(host)
        async with host:
            yield running
