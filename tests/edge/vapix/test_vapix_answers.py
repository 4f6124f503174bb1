"""Parsers of device answers, with recorded answers and with anything at all."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_edge.vapix.api_discovery import ApiStatus, GetApiList
from farsite_edge.vapix.basic_device_info import (
    GetAllProperties,
    GetAllUnrestrictedProperties,
    info_from_parameters,
)
from farsite_edge.vapix.errors import ApiError
from farsite_edge.vapix.parameters import ListParameters, UpdateParameters, is_masked
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.snapshot import GetSnapshot
from farsite_edge.vapix.system_ready import GetSystemReady
from farsite_edge.vapix.text import clean, serial_of
from farsite_edge.vapix.usergroup import GetRights
from farsite_edge.vapix.users import AddUser, GetUsers, RemoveUser, Role, UpdateUser, User
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_versions import version_tuple

FIXTURES = Path(__file__).parent / "fixtures"
REQUESTS: list[ApiRequest[Any]] = [
    GetAllProperties(),
    GetAllUnrestrictedProperties(),
    GetApiList(),
    GetSystemReady(),
    ListParameters(),
    UpdateParameters({"A.B": "c"}),
    GetUsers(),
    AddUser("joe", "secret"),
    UpdateUser("joe", password="secret"),
    RemoveUser("joe"),
    GetRights(),
    GetSnapshot(),
]


def recorded(name: str) -> Answer:
    return Answer(200, (FIXTURES / name).read_bytes())


def answer(text: str) -> Answer:
    return Answer(200, text.encode())


def test_unrestricted_properties_of_a_factory_new_device() -> None:
    info = GetAllUnrestrictedProperties().parse(recorded("unrestricted_10_12.json"))
    assert (info.serial, info.model, info.version) == ("1234567890AB", "P8815-2", "10.12.228")
    assert info.device_type == "3D People Counter"
    assert info.architecture == ""


def test_all_properties_add_architecture() -> None:
    info = GetAllProperties().parse(recorded("all_properties_9_80.json"))
    assert (info.serial, info.architecture) == ("ACCC12345678", "armv7hf")
    assert info.version_tuple == (9, 80, 1)


def test_readiness_per_generation() -> None:
    old = GetSystemReady().parse(recorded("systemready_10_12.json"))
    assert (old.ready, old.setup_required, old.uptime, old.boot_id) == (True, True, None, None)
    new = GetSystemReady().parse(recorded("systemready_11_11.json"))
    assert (new.ready, new.uptime, new.preview) == (False, 65, 7200)
    assert new.boot_id == "e61ab59b-a79e-4cc8-a6e6-a527b8318fb9"


def test_api_list_without_a_status() -> None:
    apis = {api.id: api for api in GetApiList().parse(recorded("api_list_9_80.json"))}
    assert apis["basic-device-info"].version == "1.1"
    assert apis["basic-device-info"].status is ApiStatus.UNKNOWN


def test_an_unknown_status_is_kept_as_unknown() -> None:
    body = '{"data": {"apiList": [{"id": "x", "version": "9.9", "status": "superseded"}]}}'
    assert GetApiList().parse(answer(body))[0].status is ApiStatus.UNKNOWN


def test_every_recorded_parameter_is_read() -> None:
    found = ListParameters().parse(recorded("parameters_9_10.txt"))
    assert len(found.values) > 750
    assert found.missing == ()
    assert found.values["Network.Interface.I0.Active.MACAddress"] == "AC:CC:12:34:56:78"
    assert found.values["Properties.Image.Format"] == "jpeg,mjpeg,h264"
    assert is_masked(found.values["SNMP.InitialUserPasswd"])
    assert found.values["StreamProfile.S0.Parameters"] == "videocodec=h264"


def test_device_information_of_old_firmware_comes_from_parameters() -> None:
    brand = ListParameters().parse(recorded("brand_5_51.txt")).values
    properties = ListParameters().parse(recorded("properties_5_20.txt")).values
    info = info_from_parameters(brand | properties)
    assert (info.serial, info.model, info.version) == ("ACCC8E1A909D", "M3024-L", "5.20.5")
    assert info.architecture == "crisv32"


def test_an_error_line_is_a_missing_group_and_the_rest_still_counts() -> None:
    body = (
        "root.Brand.Brand=AXIS\n"
        "# Error: Error -1 getting param in group 'Properties.Image.Resolution'\n"
        "Properties.Firmware.Version=12.9.57\n"
    )
    found = ListParameters(["Brand"]).parse(answer(body))
    assert found.values == {"Brand.Brand": "AXIS", "Properties.Firmware.Version": "12.9.57"}
    assert found.missing == ("Properties.Image.Resolution",)


def test_old_firmware_sends_latin_1() -> None:
    found = ListParameters().parse(Answer(200, b"root.Image.I0.Name=Gar\xe7on"))
    assert found.values["Image.I0.Name"] == "Garçon"


def test_accounts_of_old_firmware_are_the_digest_users() -> None:
    users = GetUsers().parse(recorded("users_old.txt"))
    assert [user.name for user in users] == ["root", "operator", "viewer"]
    assert users[0] == User("root", Role.ADMIN, True)


def test_accounts_of_new_firmware() -> None:
    body = 'admin="root,joe"\r\noperator="root,joe"\r\nviewer="root,joe,eve"\r\nptz="root"\r\ndigusers="root,joe,eve"\r\n'
    assert GetUsers().parse(answer(body)) == [
        User("root", Role.ADMIN, True),
        User("joe", Role.ADMIN, False),
        User("eve", Role.VIEWER, False),
    ]


def test_own_rights() -> None:
    rights = GetRights().parse(answer("joe\nusers operator viewer ptz\n"))
    assert (rights.user, rights.admin, rights.operator, rights.viewer, rights.ptz) == (
        "joe",
        False,
        True,
        True,
        True,
    )


def test_pages_about_accounts() -> None:
    page = "<html><head><title>User accounts</title></head><body bgcolor=#ffffff>{}\n</body>\n\n</html>"
    AddUser("joe", "secret").parse(answer(page.format("Created account joe.")))
    with pytest.raises(FarsiteError, match="already exists") as caught:
        AddUser("joe", "secret").parse(
            answer(page.format("Error: this user name already exists, consult the system log file."))
        )
    assert caught.value.code is ErrorCode.DEVICE_ANSWER


def test_an_error_comes_with_http_status_200() -> None:
    with pytest.raises(ApiError, match="not supported") as caught:
        GetAllProperties().parse(recorded("error.json"))
    assert caught.value.api_code == 2000


def test_a_refused_parameter_is_named() -> None:
    with pytest.raises(FarsiteError, match=r"Error setting 'root\.Brand\.Brand'"):
        UpdateParameters({"Brand.Brand": "x"}).parse(
            answer("# Error: Error setting 'root.Brand.Brand' to 'x'!\n")
        )


@pytest.mark.parametrize("value", ["******", "*****"])
def test_a_mask_is_never_written(value: str) -> None:
    with pytest.raises(FarsiteError, match="mask") as caught:
        UpdateParameters({"SNMP.InitialUserPasswd": value})
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("name", ["action", "", "a b", "A.B&C", "x" * 300, "root"])
def test_a_parameter_name_cannot_carry_anything_else(name: str) -> None:
    if name in ("action", "root"):
        assert b"root." in UpdateParameters({name: "list"}).body()  # stays a parameter called so
        return
    with pytest.raises(FarsiteError, match="parameter name"):
        UpdateParameters({name: "x"})


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("9.80.2.2", (9, 80, 2, 2)),
        ("12.9.57+snapshot-3", (12, 9, 57)),
        ("", ()),
        ("x.1", ()),
        ("8.40", (8, 40)),
    ],
)
def test_versions_compare_as_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert version_tuple(text) == numbers


def test_serial_numbers() -> None:
    assert serial_of("ac:cc:8e:01:02:03") == "ACCC8E010203"
    assert serial_of("ACCC8E01020") is None
    assert serial_of(None) is None


def test_text_of_devices_cannot_move_a_terminal_s_cursor() -> None:
    assert clean("AXIS\x1b[31m P1\n\u202e x") == "AXIS[31m P1 x"
    assert clean("one\u2028two\u2029") == "onetwo"
    assert len(clean("x" * 10_000)) == 200


@given(st.binary(max_size=300), st.sampled_from(REQUESTS))
def test_any_bytes_give_an_answer_or_a_farsite_error(body: bytes, request_: ApiRequest[Any]) -> None:
    try:
        request_.parse(Answer(200, body))
    except FarsiteError as error:
        assert error.code in (ErrorCode.DEVICE_ANSWER, ErrorCode.DEVICE_CREDENTIALS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["data", "error", "code", "message", "propertyList", "apiList", "systemready", "id"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from(REQUESTS[:4]))
def test_any_json_gives_an_answer_or_a_farsite_error(value: object, request_: ApiRequest[Any]) -> None:
    with suppress(FarsiteError):
        request_.parse(Answer(200, json.dumps(value).encode()))


@pytest.mark.parametrize("body", [b"[" * 100_000, b"1" * 100_000, b'{"data":' * 50_000])
def test_json_bombs_are_bad_answers(body: bytes) -> None:
    with pytest.raises(FarsiteError):
        GetAllProperties().parse(Answer(200, body))


@given(st.text(max_size=500))
def test_clean_text_is_printable_and_bounded(text: str) -> None:
    assert len(clean(text)) <= 200
    assert clean(text).isprintable() or " " in clean(text) or any(c.isspace() for c in clean(text))
