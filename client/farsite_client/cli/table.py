"""Commands by name: where their code is and the line `farsite --help` says about them.

The lines are kept here so that the help needs no command's code. Commands of the other parts of Farsite are found
by entry point (`farsite.commands`), so that this package never imports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "farsite.commands"
_CLI = "farsite_client.cli"

OWN: dict[str, tuple[str, str]] = {
    "demo": ("farsite_client.demo.command:demo", "See Farsite do its main job on this machine."),
    "login": (f"{_CLI}.account:login", "Sign in to a cloud and enrol this machine."),
    "logout": (f"{_CLI}.account:logout", "Forget the sign-in and this machine's certificate."),
    "whoami": (f"{_CLI}.account:whoami", "Who is signed in, and where."),
    "account": (f"{_CLI}.own:account", "Sign up, password, second factor, where you are signed in."),
    "orgs": (f"{_CLI}.orgs:orgs", "Organizations: list, create, switch, change, export, delete."),
    "folders": (f"{_CLI}.folders:folders", "Folders: list, create, rename, move, remove, place edge hosts."),
    "users": (f"{_CLI}.users:users", "Users: list, change role and folders, remove, hand over."),
    "invites": (f"{_CLI}.invites:invites", "Invitations: send, list, resend, revoke, accept."),
    "support": (f"{_CLI}.support:support", "Support access: let somebody in for a limited time."),
    "service-accounts": (
        f"{_CLI}.service_accounts:service_accounts",
        "Service accounts of programs, and their tokens.",
    ),
    "tokens": (f"{_CLI}.tokens:tokens", "Personal access tokens for scripts."),
    "edges": (f"{_CLI}.edges:edges", "Edge hosts: list, rename, tag, remove."),
    "lan": (f"{_CLI}.onsite:lan", "Edge hosts on this network."),
    "claim": (f"{_CLI}.onsite:claim", "Claim an edge host into the organization."),
    "remote-access": (f"{_CLI}.onsite:remote_access", "Switch an edge host's remote access on or off."),
    "devices": (f"{_CLI}.devices:devices", "Devices an edge host knows."),
    "inventory": (
        f"{_CLI}.inventory:inventory",
        "Devices of all sites: list, count, export, tag; AXIS OS by model; tasks.",
    ),
    "views": (f"{_CLI}.views:views", "Saved views of the inventory."),
    "device": (f"{_CLI}.device_assign:device", "Add, log in to, set up, read, change and remove devices."),
    "discover": (f"{_CLI}.discover:discover", "Let an edge host look for devices."),
    "os": (f"{_CLI}.axis_os:os", "AXIS OS: inventory, images, upgrades and rollbacks."),
    "tasks": (f"{_CLI}.tasks:tasks", "Tasks of an edge host: list, show, cancel, retry."),
    "policies": (f"{_CLI}.policies:policies", "Policies: security and others; drift, hardening score."),
    "apps": (f"{_CLI}.apps:apps", "Apps of devices: packages, list, start, stop, remove, policies."),
    "certificates": (f"{_CLI}.certificates:certificates", "HTTPS certificates of devices: list, policies."),
    "open": (f"{_CLI}.forwarding:open_", "Open a device's page in the browser, or an edge host's API."),
    "forward": (f"{_CLI}.forwarding:forward", "Forward a local TCP port to a device."),
    "status": (f"{_CLI}.status:status", "Live sessions of this machine: path, round trip, bytes."),
    "netcheck": (f"{_CLI}.netcheck:netcheck", "What the network here lets through, and what to do about it."),
    "campaigns": (f"{_CLI}.campaigns:campaigns", "Upgrades and policies on devices of many edge hosts."),
    "policy-templates": (f"{_CLI}.templates:templates", "Policies as documents, for campaigns."),
    "notices": (f"{_CLI}.notices:notices", "What happened; how you are told of it."),
    "webhooks": (f"{_CLI}.notices:webhooks", "Addresses that get your notices, signed."),
    "licences": (f"{_CLI}.licences:licences", "Licences: what there is and is needed, redeem, allocate."),
    "audit": (f"{_CLI}.audit:audit", "Who did what in the organization: list, export, verify."),
}

# Said without loading the part; a command that is not listed is loaded for its own words.
KNOWN_HELP = {
    "up": "Start a cloud: API, hub and TURN server in one process.",
    "cloud": "Look after a cloud.",
    "licence": "Issue licences, as the operator.",
    "turn-config": "Print the configuration for a TURN server (coturn).",
    "doctor": "Check everything an edge host on this machine needs.",
    "edge": "Run and set up an edge host.",
    "simulator": "Simulated network cameras for trials and tests.",
}


def installed() -> dict[str, EntryPoint]:
    """Commands of the other parts installed here; our own names cannot be taken over."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP) if point.name not in OWN}
