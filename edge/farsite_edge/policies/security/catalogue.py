"""Each setting of a basic security policy: where it is on a device, and what it is worth.

A place is `param:NAME` (a parameter; `*` stands for any number), `rest:API#path.to.it` (the Device Configuration
framework), `apps:NAME` or `cgi:syslog`. A setting has the places a device offers; none: it is not supported there.
Names and values were recorded on devices with AXIS OS 5.51 to 12.11 unless `sure` says otherwise: R recorded, D from
Axis's documentation, C from working code of others, K general knowledge, I inferred.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from farsite_signaling.wire.policy_api import SettingKind

YES, ON, CAPITAL, TRUE = ("yes", "no"), ("On", "Off"), ("Yes", "No"), ("true", "false")
Values = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Entry:
    """`values` gives for each choice (`True`/`False` of a switch as `true`/`false`) what has to be at which place; an
    empty mapping: it is found out in code of its own. `order`: lower ones are applied first, equal and safe ones
    together."""

    name: str
    title: str
    group: str
    weight: int
    order: int
    values: Values = field(default_factory=dict)
    kind: SettingKind = SettingKind.SWITCH
    risky: bool = False
    about: str = ""
    warning: str = ""
    sure: str = "R"

    def wanted(self, value: Any) -> Mapping[str, str]:
        """What has to be at which place."""
        word = ("true" if value else "false") if isinstance(value, bool) else str(value)
        return self.values.get(word, {})

    @property
    def places(self) -> set[str]:
        return {place for places in self.values.values() for place in places}


def _switch(*places: tuple[str, tuple[str, str]]) -> Values:
    return {
        "true": {place: words[0] for place, words in places},
        "false": {place: words[1] for place, words in places},
    }


def _param(name: str, words: tuple[str, str] = YES) -> tuple[str, tuple[str, str]]:
    return f"param:{name}", words


_THROTTLE = "System.PreventDoSAttack."
_ACCOUNTS, _LOGS, _SERVICES, _VIDEO, _WEB, _NETWORK = (
    "Accounts",
    "Logs",
    "Services",
    "Video and apps",
    "Web",
    "Network",
)

_ENTRIES = (
    Entry(
        "password_policy", "Password rules", _ACCOUNTS, 5, 10, kind=SettingKind.CHOICE, sure="C",
        values={
            word: {"rest:user-management#settings.passphraseComplexity.policy": word}
            for word in ("none", "length", "complex")
        },
        about="AXIS OS 12: at least 15 characters, or 12 of four kinds.",
    ),
    Entry(
        "root_password", "Device root password", _ACCOUNTS, 10, 11, kind=SettingKind.SECRET, risky=True,
        about="One password for the account root of every device; checked both ways: the new one works, the old fails.",
        warning="Whatever else logs in as root needs the new password.", sure="D",
    ),
    Entry("access_log", "Access log", _LOGS, 3, 20, _switch(_param("System.AccessLog", ON))),
    Entry(
        "syslog", "Remote syslog", _LOGS, 5, 21, kind=SettingKind.OBJECT,
        about="A server for the device's log: address, port, protocol (UDP, TCP, TLS).", sure="D",
    ),
    Entry("ssh", "SSH", _SERVICES, 8, 30, _switch(_param("Network.SSH.Enabled"))),
    Entry("ftp", "FTP", _SERVICES, 8, 30, _switch(_param("Network.FTP.Enabled")), about="Old firmware only."),
    Entry("upnp", "UPnP", _SERVICES, 4, 30, _switch(_param("Network.UPnP.Enabled"))),
    Entry(
        "upnp_nat_traversal", "UPnP NAT traversal", _SERVICES, 6, 30,
        _switch(_param("Network.UPnP.NATTraversal.Enabled")), about="Opens a port of the router; gone in AXIS OS 11.",
    ),
    Entry(
        "bonjour", "Bonjour (mDNS)", _SERVICES, 2, 30, _switch(_param("Network.Bonjour.Enabled")),
        warning="Discovery finds the device no more by mDNS, also when its address changes.",
    ),
    Entry(
        "ws_discovery", "WS-Discovery", _SERVICES, 4, 30,
        _switch(_param("WebService.DiscoveryMode.Discoverable", CAPITAL)),
        warning="ONVIF clients do not find the device by themselves.",
    ),
    Entry("link_local", "Link-local address", _SERVICES, 2, 40, _switch(_param("Network.ZeroConf.Enabled")), risky=True),
    Entry(
        "lldp", "LLDP", _SERVICES, 1, 30, _switch(("rest:lldp#activated", TRUE)), sure="D",
        warning="PoE switches may give less power to the device.",
    ),
    Entry(
        "cloud_connection", "One-click cloud connection (O3C)", _SERVICES, 5, 30, kind=SettingKind.CHOICE, sure="K",
        values={word: {"param:RemoteService.Enabled": word} for word in ("no", "oneclick", "yes")},
        warning="Services that reach the device through Axis's dispatcher stop.",
    ),
    Entry(
        "snmp", "SNMP", _SERVICES, 6, 30, kind=SettingKind.CHOICE,
        values={
            "off": {
                "param:SNMP.Enabled": "no", "param:SNMP.V1": "no", "param:SNMP.V2c": "no", "param:SNMP.V3": "no",
                "rest:snmp#enabled": "false", "rest:snmp#snmpV1.enabled": "false",
                "rest:snmp#snmpV2.enabled": "false", "rest:snmp#snmpV3.enabled": "false",
            },
            "v3": {
                "param:SNMP.V1": "no", "param:SNMP.V2c": "no",
                "rest:snmp#snmpV1.enabled": "false", "rest:snmp#snmpV2.enabled": "false",
            },
        },
        sure="R, REST D",
        about="off, or v3: no version 1 and 2c, whose communities travel in clear text.",
    ),
    Entry(
        "web_interface", "Web interface", _SERVICES, 1, 30,
        {
            "true": {"param:System.WebInterfaceDisabled": "no"},
            "false": {"param:System.WebInterfaceDisabled": "yes"},
        },
        warning="The device's own pages are gone, also through the tunnel.",
    ),
    Entry(
        "anonymous_viewers", "Anonymous viewers", _ACCOUNTS, 8, 30, sure="R, anonymous K",
        values=_switch(
            _param("System.BoaProtViewer", ("anonymous", "password")),
            _param("Network.RTSP.ProtViewer", ("anonymous", "password")),
        ),
    ),
    Entry(
        "rtsp", "RTSP", _VIDEO, 1, 30, _switch(_param("Network.RTSP.Enabled")), warning="Most video systems need it."
    ),
    Entry("rtsps", "RTSP over TLS", _VIDEO, 2, 30, _switch(_param("Network.RTSPS.Enabled"))),
    Entry(
        "audio", "Audio", _VIDEO, 1, 30, _switch(_param("Audio.A*.Enabled"), _param("AudioSource.A*.AudioSupport"))
    ),
    Entry("sd_card", "SD card slot", _VIDEO, 1, 30, _switch(_param("Storage.S0.Enabled"))),
    Entry(
        "unsigned_apps", "Unsigned apps", _VIDEO, 6, 30, _switch(("apps:AllowUnsigned", TRUE)), sure="D",
        warning="Apps without a signature cannot be installed.",
    ),
    Entry(
        "signed_video", "Signed video", _VIDEO, 1, 30, _switch(_param("Image.I*.MPEG.SignedVideo.Enabled"))
    ),
    Entry(
        "replay_protection", "Replay attack protection (ONVIF)", _ACCOUNTS, 3, 30,
        _switch(_param("WebService.UsernameToken.ReplayAttackProtection")),
        warning="ONVIF clients whose clock is wrong are refused.",
    ),
    Entry(
        "brute_force_protection", "Brute-force protection", _ACCOUNTS, 8, 30,
        _switch(_param(_THROTTLE + "ActivatePasswordThrottling", ON)),
    ),
    Entry(
        "brute_force_block_seconds", "Brute-force blocking period", _ACCOUNTS, 1, 30, kind=SettingKind.NUMBER,
        about="Seconds an address is blocked, 1 to 1000.",
    ),
    Entry("https", "HTTPS", _WEB, 10, 50, _switch(_param("HTTPS.Enabled")), risky=True),
    Entry(
        "minimum_tls", "Oldest TLS version", _WEB, 6, 60, kind=SettingKind.CHOICE, risky=True, sure="D",
        values={
            "1.0": {"param:HTTPS.AllowTLS1": "yes", "param:HTTPS.AllowTLS11": "yes"},
            "1.1": {"param:HTTPS.AllowTLS1": "no", "param:HTTPS.AllowTLS11": "yes"},
            "1.2": {"param:HTTPS.AllowTLS1": "no", "param:HTTPS.AllowTLS11": "no"},
        },
        about="AXIS OS 12 has nothing older than 1.2 and no switch for it.",
    ),
    Entry(
        "strong_ciphers", "Strong ciphers only", _WEB, 4, 61, risky=True,
        about="Of the ciphers the device offers for TLS 1.2 only those with ECDHE and AES-GCM or ChaCha20.",
    ),
    Entry(
        "authentication", "HTTP authentication", _WEB, 6, 70, kind=SettingKind.CHOICE, risky=True,
        values={
            word: {"param:Network.HTTP.AuthenticationPolicy": word}
            for word in ("basic", "digest", "basic_digest", "recommended")
        },
        about="recommended: Digest over HTTP, Basic over HTTPS; where the firmware has no such choice, digest.",
    ),
    Entry(
        "https_only", "HTTPS only", _WEB, 8, 80, risky=True,
        values={
            word: {f"param:System.BoaGroupPolicy.{group}": policy for group in ("admin", "operator", "viewer")}
            for word, policy in (("true", "https"), ("false", "both"))
        },
        about="Done only after a log-in over HTTPS has worked; from then on the edge host uses HTTPS.",
        warning="Video systems that use HTTP lose the device.",
    ),
    Entry(
        "allowed_addresses", "Allowed addresses", _NETWORK, 5, 90, kind=SettingKind.LIST, risky=True, sure="R, D",
        about="Only these addresses and subnets reach the device: its IP filter, or its firewall from AXIS OS 11.8 on.",
        warning="The list must hold the edge host, video systems and time servers.",
    ),
)  # fmt: skip

CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
