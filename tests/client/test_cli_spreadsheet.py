"""Files of addresses and of devices, as spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from farsite_client.cli.device_work import _credentials
from farsite_client.cli.spreadsheet import MAX_FILE, read_spreadsheet
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

TEXT = "Ger\u00e4t\r\n10.0.0.5\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    (file := tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    assert read_spreadsheet(file) == TEXT


def test_a_null_character_spoils_its_line_only(tmp_path: Path) -> None:
    (file := tmp_path / "a.csv").write_bytes(b"ip\n10.0.0.5\0\n10.0.0.6\n")
    assert read_spreadsheet(file).splitlines() == ["ip", "10.0.0.5\ufffd", "10.0.0.6"]


def test_no_more_is_read_than_a_file_may_have(tmp_path: Path) -> None:
    (file := tmp_path / "a.csv").write_bytes(b"x")
    with file.open("r+b") as opened:
        opened.truncate(1 << 40)  # a hole: who read it whole would not return
    for path in (file, Path("/dev/zero")):
        with pytest.raises(FarsiteError, match=f"{MAX_FILE:,}") as caught:
            read_spreadsheet(path)
        assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("name", ["none.csv", "."])
def test_what_cannot_be_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(FarsiteError) as caught:
        read_spreadsheet(tmp_path / name)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_a_byte_order_mark_is_no_part_of_a_user_name(tmp_path: Path) -> None:
    (file := tmp_path / "c.txt").write_bytes(b"\xef\xbb\xbfroot:one\r\noperator:two\r\n")
    assert _credentials(file) == [("root", "one"), ("operator", "two")]
