"""What a site's router does with packets, as nftables rules."""

from __future__ import annotations

from enum import StrEnum


class Nat(StrEnum):
    """How a site reaches the internet."""

    NONE = "none"
    """No router: the host has a public address."""
    EASY = "easy"
    """One mapping for all destinations while ports last; filters by address and port (Linux masquerade)."""
    HARD = "hard"
    """A mapping of its own for each destination ("symmetric"); no direct path to another such site."""
    UDP_BLOCKED = "udp-blocked"
    """Easy, but no UDP leaves."""
    PROXY_ONLY = "proxy-only"
    """Nothing leaves, but TCP to port 443 through the site's proxy, with a name and password."""


def rules(nat: Nat) -> str:
    """nft script for a router with the interfaces `lan` and `wan`.

    What comes in unasked must be dropped, not refused: a connection-tracking entry made by it would take the
    port that the host's own packet needs a moment later, and an easy NAT would turn hard.
    """
    return f"""
table ip farsite {{
    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname {{ "lan", "lo" }} accept
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        {_forwarding(nat)}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade {"fully-random" if nat is Nat.HARD else ""}
    }}
}}
"""


def _forwarding(nat: Nat) -> str:
    # Frames between two hosts of the LAN pass here too where the kernel filters bridges (br_netfilter).
    within = 'iifname "lan" oifname "lan" accept'
    if nat is Nat.PROXY_ONLY:
        return within
    blocked = ["meta l4proto udp drop"] if nat is Nat.UDP_BLOCKED else []
    outward = ["ct state established,related accept", 'iifname "lan" oifname "wan" accept']
    return "\n        ".join([within, *blocked, *outward])
