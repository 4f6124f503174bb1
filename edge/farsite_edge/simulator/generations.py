"""How firmware generations differ, as far as the simulator shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farsite_signaling.wire.os_versions import version_tuple


class ApiAccess(StrEnum):
    ABSENT = "absent"
    ACCOUNT = "account"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True)
class Generation:
    """One line of AXIS OS. `systemready_fields` are those beyond `systemready` and `needsetup`."""

    name: str
    authentication_policy: str  # Network.HTTP.AuthenticationPolicy when new
    server: str
    qop: bool = True  # digest challenges carry qop="auth"
    https: bool = True
    device_info: str | None = None  # API version of basicdeviceinfo.cgi
    unrestricted_info: bool = True  # it knows getAllUnrestrictedProperties
    api_list: ApiAccess = ApiAccess.ABSENT
    systemready: str | None = None  # API version of systemready.cgi
    systemready_fields: tuple[str, ...] = ()
    root_only: bool = True  # the first account must be root, and root stays
    internal_accounts: bool = False  # pwdgrp.cgi lists accounts of the system's own
    latin1: bool = False
    throttling: str | None = "Off"  # System.PreventDoSAttack.ActivatePasswordThrottling
    upnp: bool = True
    soap_certificates: bool = True  # certificates by /vapix/services (7.x and newer)
    apis: tuple[tuple[str, str], ...] = ()


def generation_of(version: str) -> str:
    """The newest generation that is not newer than a version."""
    number = version_tuple(version)
    older = [name for name in GENERATIONS if version_tuple(name) <= number]
    return max(older, key=version_tuple, default="5.51")


_APACHE = "Apache/2.4.62 (Unix) OpenSSL/3.0.15"
_APIS_9 = (
    ("api-discovery", "1.0"),
    ("basic-device-info", "1.1"),
    ("fwmgr", "1.3"),
    ("network-settings", "1.8"),
    ("ntp", "1.1"),
    ("param-cgi", "1.0"),
    ("stream-profiles", "1.0"),
    ("time-service", "1.0"),
    ("user-management", "1.1"),
)
_APIS_10 = (
    ("api-discovery", "1.0"),
    ("basic-device-info", "1.2"),
    ("fwmgr", "1.4"),
    ("mdnssd", "1.1"),
    ("mqtt-client", "1.0"),
    ("network-settings", "1.15"),
    ("ntp", "1.2"),
    ("param-cgi", "1.0"),
    ("ssh", "1.0"),
    ("stream-profiles", "1.0"),
    ("systemready", "1.2"),
    ("time-service", "1.0"),
    ("upnp", "1.1"),
    ("user-management", "1.1"),
)


def _newer(base: tuple[tuple[str, str], ...], **changed: str) -> tuple[tuple[str, str], ...]:
    versions = dict(base) | {name.replace("_", "-"): version for name, version in changed.items()}
    return tuple(sorted(versions.items()))


_APIS_11 = _newer(
    _APIS_10,
    basic_device_info="1.3",
    device_config="1.0",
    network_settings="1.33",
    ntp="1.4",
    systemready="1.4",
    user_management="1.2",
)
_APIS_12 = _newer(
    _APIS_11,
    application="1.0",
    audit_log="1.0",
    fwmgr="1.8",
    network_settings="1.37",
    ntp="1.5",
    time_service="1.1",
)

GENERATIONS: dict[str, Generation] = {
    "5.51": Generation(
        name="5.51",
        authentication_policy="basic_digest",
        server="Boa/0.94.14rc21",
        qop=False,
        https=False,
        internal_accounts=True,
        latin1=True,
        throttling=None,
        soap_certificates=False,
    ),
    "8.45": Generation(
        name="8.45",
        authentication_policy="digest",
        server="Apache/2.4.39 (Unix) OpenSSL/1.1.1c",
        qop=False,
        device_info="1.0",
        unrestricted_info=False,
        internal_accounts=True,
    ),
    "9.80": Generation(
        name="9.80",
        authentication_policy="digest",
        server="Apache/2.4.54 (Unix) OpenSSL/1.1.1q",
        device_info="1.1",
        api_list=ApiAccess.ACCOUNT,
        systemready="1.0",
        internal_accounts=True,
        upnp=False,
        apis=_APIS_9,
    ),
    "10.12": Generation(
        name="10.12",
        authentication_policy="digest",
        server="Apache/2.4.58 (Unix) OpenSSL/1.1.1w",
        device_info="1.3",
        api_list=ApiAccess.ACCOUNT,
        systemready="1.2",
        apis=_APIS_10,
    ),
    "11.11": Generation(
        name="11.11",
        authentication_policy="digest",
        server=_APACHE,
        device_info="1.3",
        api_list=ApiAccess.ANONYMOUS,
        systemready="1.4",
        systemready_fields=("uptime", "bootid", "previewmode"),
        root_only=False,
        throttling="On",
        apis=_APIS_11,
    ),
    "12": Generation(
        name="12",
        authentication_policy="recommended",
        server=_APACHE,
        device_info="1.3",
        api_list=ApiAccess.ANONYMOUS,
        systemready="1.4",
        systemready_fields=("uptime", "bootid", "previewmode", "passphrasepolicy"),
        root_only=False,
        throttling="On",
        upnp=False,
        apis=_APIS_12,
    ),
}
