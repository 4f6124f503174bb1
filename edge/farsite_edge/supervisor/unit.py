"""A unit for systemd that keeps an edge host running: https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

UNIT = """\
# Made by `farsite edge systemd-unit`. Install it as /etc/systemd/system/farsite-edge.service
[Unit]
Description=Farsite edge host
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target time-sync.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
User={user}
Environment="HOME={home}"
# FARSITE_EDGE_… settings, one a line.
EnvironmentFile=-/etc/farsite-edge.env
# Killed, crashed or hanging: it is running again within seconds, and goes on with its tasks.
Restart=always
RestartSec=500ms
# Later each time it fails; systemd before 254 ignores these two.
RestartSteps=6
RestartMaxDelaySec=30s
WatchdogSec=30s
RestartPreventExitStatus=2
# Repairing a large database takes its time.
TimeoutStartSec=10min
TimeoutStopSec=45s
KillMode=mixed
# When memory is short a session's process may be ended: that is no reason to stop the rest.
OOMPolicy=continue
OOMScoreAdjust=-200
LimitNOFILE=65536
LimitCORE=0

# It needs the network and its own folder, and nothing else of this machine.
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
{writable}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""
STATE = "farsite-edge"
_FORBIDDEN = frozenset('"\\%$\n\r\0')


def unit(program: Sequence[str], *, user: str, folder: Path | None) -> str:
    """`folder` None: /var/lib/farsite-edge, which systemd makes. Raises `invalid_request` for what no unit can hold."""
    place = _word(str(folder.absolute() if folder is not None else Path("/var/lib") / STATE))
    own = f"StateDirectory={STATE}\nStateDirectoryMode=0700"
    return UNIT.format(
        command=" ".join([*map(_word, program), "edge", "run", "--data-dir", place]),
        user=_word(user),
        home=place.strip('"'),
        writable=own if folder is None else f"ReadWritePaths={place}",
    )


def program() -> list[str]:
    """How this very program is called, by its full path."""
    here = Path(sys.argv[0]).absolute()
    named = here.name.startswith("farsite") and here.exists()
    return [str(here)] if named else [sys.executable, "-m", "farsite_client"]


def _word(text: str) -> str:
    if not text or _FORBIDDEN & set(text):
        detail = f"{text!r} cannot stand in a systemd unit: use another name."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return f'"{text}"' if " " in text else text
