"""Every recorded answer is read whole: no line is lost, none is made up.

`FARSITE_FIXTURES` names a folder of more recordings of the same form (`…/*.txt`, `…/*.json`) to go through too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from farsite_edge.devices.details import capabilities
from farsite_edge.vapix.api_discovery import GetApiList
from farsite_edge.vapix.applications import ListApplications
from farsite_edge.vapix.basic_device_info import GetAllProperties, info_from_parameters
from farsite_edge.vapix.config_discovery import GetRestApis
from farsite_edge.vapix.errors import ApiError
from farsite_edge.vapix.firmware import GetFirmwareStatus
from farsite_edge.vapix.ipv6 import read_ipv6
from farsite_edge.vapix.network import GetNetworkInfo
from farsite_edge.vapix.onvif_users import GetOnvifUsers
from farsite_edge.vapix.parameters import ListParameters
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.soap_certificates import GetRequestFor, ListStored
from farsite_edge.vapix.system_ready import GetSystemReady
from farsite_edge.vapix.usergroup import GetRights
from farsite_edge.vapix.users import GetUsers
from farsite_edge.vapix.web_server import GetWebServer
from farsite_signaling.wire.errors import FarsiteError

HERE = Path(__file__).parent
FOLDERS = [HERE / "recordings", HERE / "fixtures"]
FOLDERS += [Path(folder) for folder in [os.environ.get("FARSITE_FIXTURES", "")] if folder]
TEXTS = sorted(file for folder in FOLDERS for file in folder.rglob("*.txt"))
JSONS = sorted(file for folder in FOLDERS for file in folder.rglob("*.json"))


XMLS = sorted(file for folder in FOLDERS for file in folder.rglob("*.xml"))
PARSERS: dict[str, ApiRequest[Any]] = {
    "apis": GetApiList(),
    "apps": ListApplications(),
    "info": GetAllProperties(),
    "parameters": ListParameters(),
    "ready": GetSystemReady(),
    "users": GetUsers(),
    "rights": GetRights(),
    "firmware": GetFirmwareStatus(),
    "network": GetNetworkInfo(),
    "rest": GetRestApis(),
    "certificates": ListStored(),
    "certificate request": GetRequestFor("farsite", "axis"),
    "web server": GetWebServer(),
    "ONVIF accounts": GetOnvifUsers(),
}


def names(files: list[Path]) -> list[str]:
    return [file.name for file in files]


@pytest.mark.parametrize("file", TEXTS, ids=names(TEXTS))
def test_every_line_of_a_text(file: Path) -> None:
    body = file.read_bytes()
    if b'digusers="' in body or b'users="' in body:
        users = GetUsers().parse(Answer(200, body))
        assert users
        assert all(user.name and "=" not in user.name for user in users)
        return
    if file.name.startswith("test_temperature_control"):
        return  # lines of another API, which look like parameters
    # As plainly as can be, and independent of how the parser goes about it.
    lines = [
        line for line in body.decode().replace("\r", "").split("\n") if line and not line.startswith("#")
    ]
    expected = {line.split("=", 1)[0].removeprefix("root."): line.split("=", 1)[1] for line in lines}
    read = ListParameters().parse(Answer(200, body))
    assert read.values == expected
    info_from_parameters(read.values)
    found = capabilities(read.values, [], [])
    assert ("ptz" in found) == (expected.get("Properties.PTZ.PTZ") == "yes")
    assert ("video" in found) == bool(expected.get("Properties.Image.Format"))
    ipv6 = read_ipv6(read.values)
    assert (ipv6 is not None) == {"Network.IPv6.Enabled", "Network.IPv6.IPAddress"}.issubset(expected)
    if ipv6 is not None:
        assert (ipv6.settings.mode == "off") == (expected["Network.IPv6.Enabled"] != "yes")


@pytest.mark.parametrize("file", JSONS, ids=names(JSONS))
def test_every_json_answer(file: Path) -> None:
    body = file.read_bytes()
    document, answer = json.loads(body), Answer(200, body)
    data = document.get("data", {}) if isinstance(document, dict) else {}
    if "error" in document:
        with pytest.raises(ApiError) as caught:
            GetApiList().parse(answer)
        assert caught.value.api_code == int(document["error"]["code"])
    elif "apiList" in data:
        apis = GetApiList().parse(answer)
        assert [(api.id, api.version) for api in apis] == [
            (one["id"], one["version"]) for one in data["apiList"]
        ]
    elif "propertyList" in data:
        info, told = GetAllProperties().parse(answer), data["propertyList"]
        assert (info.serial, info.model, info.version) == (
            told["SerialNumber"],
            told["ProdNbr"],
            told["Version"],
        )
    elif "systemready" in data:
        ready = GetSystemReady().parse(answer)
        assert (ready.ready, ready.setup_required) == (
            data["systemready"] == "yes",
            data["needsetup"] == "yes",
        )
        assert ready.boot_id == data.get("bootid")


@pytest.mark.parametrize("file", XMLS, ids=names(XMLS))
def test_every_list_of_apps(file: Path) -> None:
    body = file.read_bytes()
    if b"<reply" not in body:
        return
    told = fromstring(body).findall("application")  # our own copy
    read = ListApplications().parse(Answer(200, body))
    assert [(app.name, app.version, app.vendor) for app in read] == [
        (one.get("Name"), one.get("Version"), one.get("Vendor")) for one in told
    ]
    assert [app.status.value for app in read] == [(one.get("Status") or "").lower() for one in told]
    assert [app.license for app in read] == [one.get("License") or "" for one in told]
    assert not any(app.bundled for app in read) and {app.signed for app in read} == {None}


@pytest.mark.parametrize("file", TEXTS + JSONS + XMLS, ids=names(TEXTS + JSONS + XMLS))
def test_no_answer_is_taken_for_another(file: Path) -> None:
    """Every parser reads its own answers, and refuses all others."""
    body = file.read_bytes()
    took = set()
    for name, parser in PARSERS.items():
        try:
            parser.parse(Answer(200, body))
        except FarsiteError:
            continue
        took.add(name)
    assert took == _kinds(file, body)


def _kinds(file: Path, body: bytes) -> set[str]:
    if file.suffix == ".txt":
        # Lists of accounts have the form of parameters; they are asked for at another address.
        return {"parameters", "users"} if b'digusers="' in body or b'users="' in body else {"parameters"}
    if file.suffix == ".xml":
        return {"apps"} if b"<reply" in body else set()
    document = json.loads(body)
    data = document.get("data", {})
    marks = {"apiList": "apis", "propertyList": "info", "systemready": "ready"}
    return {kind for mark, kind in marks.items() if mark in data and "error" not in document}
