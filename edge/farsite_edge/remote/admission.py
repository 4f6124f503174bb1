"""Which sessions may come in."""

from __future__ import annotations

from collections import OrderedDict

from farsite_edge.preferences import Preferences
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS, Grant
from farsite_signaling.wire.rights import Right

MAX_ENDED = 10_000
MAX_ON_LAN = 10_000


class Admission:
    """`closed`: the edge host is shutting down."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._on_lan: OrderedDict[str, int] = OrderedDict()
        self.closed = False

    def end(self, session: str) -> None:
        """The cloud said that it is over."""
        self._ended[session] = None
        self._on_lan.pop(session, None)
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def has_ended(self, session: str) -> bool:
        return session in self._ended

    def open_on_lan(self, grant: Grant) -> None:
        """It came in time: from now on the session counts until its end, like one with a tunnel."""
        if grant.sid in self._on_lan:
            return
        self._on_lan[grant.sid] = grant.until
        if len(self._on_lan) > MAX_ON_LAN:
            self._on_lan.popitem(last=False)

    def is_on_lan(self, session: str) -> bool:
        return session in self._on_lan

    def on_lan(self, now: float) -> list[str]:
        """Sessions opened on the LAN whose time is not over."""
        for session in [one for one, until in self._on_lan.items() if until < now - LEEWAY_SECONDS]:
            del self._on_lan[session]
        return list(self._on_lan)

    def admit(self, grant: Grant) -> None:
        """Raises `remote_access_off`, `forbidden`, `session_ended`, `unavailable`."""
        if self.closed:
            raise FarsiteError(ErrorCode.UNAVAILABLE, "The edge host is shutting down.", retry_after=10)
        if not self._preferences.remote_access:
            raise FarsiteError(
                ErrorCode.REMOTE_ACCESS_OFF,
                "Remote access to this edge host is switched off. Switch it on on its site: Settings > Edge host "
                "connections, or 'farsite edge settings --remote-access on'.",
            )
        if not grant.allows(Right.REMOTE_ACCESS):
            raise FarsiteError(
                ErrorCode.FORBIDDEN, "This session may not use remote access.", right=Right.REMOTE_ACCESS
            )
        if self.has_ended(grant.sid):
            raise FarsiteError(ErrorCode.SESSION_ENDED, "The cloud ended this session. Open a new one.")
