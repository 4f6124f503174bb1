"""What is told to whoever started the edge host: the cloud came or went, remote access became active or ended."""

from __future__ import annotations

from collections.abc import Callable

from farsite_edge.cloud_side import CloudSide
from farsite_edge.remote.access import RemoteState

Notify = Callable[[str, dict[str, object]], None]


class CloudNotices:
    """Each change once."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._cloud = ""
        self._remote = str(RemoteState.OFF)

    def look(self, side: CloudSide) -> None:
        cloud, remote = side.remote.cloud_state, str(side.remote.state)
        if cloud != self._cloud:
            self._cloud = cloud
            self._tell_cloud(cloud, side)
        if remote != self._remote:
            self._remote = remote
            side.reporter.due()
            self._notify("remote_access", {"state": remote})

    def _tell_cloud(self, state: str, side: CloudSide) -> None:
        if state == "online":
            side.online()
            self._notify("cloud_online", {})
        elif state == "offline":
            self._notify("cloud_offline", {"detail": side.remote.cloud_detail})
