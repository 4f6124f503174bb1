"""Every recorded answer is read whole: no line is lost, none is made up.

`FARSITE_FIXTURES` names a folder of more recordings of the same form (`…/*.txt`, `…/*.json`) to go through too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from farsite_edge.devices.details import capabilities
from farsite_edge.vapix.api_discovery import GetApiList
from farsite_edge.vapix.basic_device_info import GetAllProperties, info_from_parameters
from farsite_edge.vapix.errors import ApiError
from farsite_edge.vapix.parameters import ListParameters
from farsite_edge.vapix.request import Answer
from farsite_edge.vapix.system_ready import GetSystemReady
from farsite_edge.vapix.users import GetUsers

HERE = Path(__file__).parent
FOLDERS = [HERE / "recordings", HERE / "fixtures"]
FOLDERS += [Path(folder) for folder in [os.environ.get("FARSITE_FIXTURES", "")] if folder]
TEXTS = sorted(file for folder in FOLDERS for file in folder.rglob("*.txt"))
JSONS = sorted(file for folder in FOLDERS for file in folder.rglob("*.json"))


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
