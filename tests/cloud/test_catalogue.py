"""The operator's catalogue: files good and bad, by command and at the start."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from farsite_cloud.catalogue.cli import catalogue as commands
from farsite_cloud.catalogue.file import read_catalogue
from farsite_cloud.commands.manage import migrate
from farsite_cloud.settings import load_settings
from farsite_signaling.wire.errors import FarsiteError

GOOD = """\
Model,Warranty months,hardware_support_end,software_support_end,tracks,replacement
AXIS P3265-LV,60,2032-12-31,2031-06-30,LTS 2024=11.11.192; Active=12.9.57,P3275-LV

M3085-V,,,,,
"""


def test_a_spreadsheets_file_is_read():
    first, second = read_catalogue(GOOD.encode("utf-8-sig")).entries
    assert (first.model, first.warranty_months, str(first.hardware_support_end)) == (
        "AXIS P3265-LV",
        60,
        "2032-12-31",
    )
    assert first.tracks == {"LTS 2024": "11.11.192", "Active": "12.9.57"}
    assert (second.model, second.warranty_months, second.tracks) == ("M3085-V", None, {})
    semicolons = "model;warranty_months\nP3265-LV;36\n"
    assert read_catalogue(semicolons.encode()).entries[0].warranty_months == 36


@pytest.mark.parametrize("lines", [True, False], ids=["lines", "array"])
def test_json_is_read_with_line_numbers(lines):
    entries = ['{"model": "A1", "tracks": {"Active": "12.1"}}', '{"model": "A2", "warranty_months": -1}', "7"]
    text = "\n".join(entries) if lines else "[\n" + ",\n".join(entries) + "\n]"
    reading = read_catalogue(text.encode())
    assert [entry.model for entry in reading.entries] == ["A1"]
    first = 1 if lines else 2
    assert [number for number, _ in reading.problems] == [first + 1, first + 2]
    assert "warranty_months" in reading.problems[0][1]


def test_every_bad_line_is_told_with_its_number():
    text = (
        "model,warranty_months,software_support_end,tracks\n"
        "A1,36,2030-12-31,\n"
        "A2,three,,\n"
        ",36,,\n"
        "A3,36,31.12.2030,\n"
        "A4,36,,Active\n"
        "axis A1,12,,\n"
        "A5,1,,,one too many\n"
        '"A6\nx",1,,\n'
        "A7,36,,Active=newest\n"
        'A8,36,,"open\n'
    )
    reading = read_catalogue(text.encode())
    assert [entry.model for entry in reading.entries] == ["A1"]
    assert [number for number, _ in reading.problems] == [3, 4, 5, 6, 7, 8, 10, 11, 12]
    said = dict(reading.problems)
    assert "line 2 already" in said[7]
    assert "columns" in said[8]


@pytest.mark.parametrize(
    "text", ["", "\n\n", "name,warranty\nA,1\n", "model,model\nA,B\n", "\xff".encode("latin-1")]
)
def test_what_is_no_catalogue_is_refused(text):
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(FarsiteError) as caught:
        read_catalogue(data)
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(
    "text", ["[", "[{}", '[{"model":"A"} {"model":"B"}]', "{", '{"model":', "[" * 50_000]
)
def test_broken_json_is_told_by_line(text):
    assert read_catalogue(text.encode()).problems[0][0] == 1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("FARSITE_DATA_DIR", raising=False)
    migrate(load_settings({"data_dir": tmp_path / "cloud"}, environ={}))
    return tmp_path


def run(folder, *arguments):
    given = [*map(str, arguments), "--data-dir", str(folder / "cloud")]
    return CliRunner().invoke(commands, given)


def test_a_file_is_imported_whole_or_not_at_all(folder):
    file = folder / "catalogue.csv"
    file.write_text(GOOD)
    assert run(folder, "import", file).output == "The catalogue has 2 models.\n"
    file.write_text("model,warranty_months\nB1,12\nB2,many\nB3,few\n")
    refused = run(folder, "import", file)
    assert refused.exit_code == 1
    assert "line 3" in refused.output and "line 4" in refused.output
    assert "P3265-LV" in run(folder, "list").output
    taken = run(folder, "import", file, "--partial", "--json")
    assert json.loads(taken.stdout)["models"] == 1
    assert [one["line"] for one in json.loads(taken.stdout)["problems"]] == [3, 4]
    [left] = json.loads(run(folder, "list", "--json").stdout)["models"]
    assert (left["model"], left["warranty_months"]) == ("B1", 12)
    missing = run(folder, "import", folder / "none.csv")
    assert (missing.exit_code, "cannot be read" in missing.output) == (1, True)


async def test_the_cloud_reads_its_catalogue_when_it_starts(world_in, tmp_path, caplog):
    file = tmp_path / "catalogue.csv"
    file.write_text(GOOD + "B2,many,,,,\n")
    world = await world_in(None, catalogue=file)
    async with world.services.database.reading() as session:
        from farsite_cloud.catalogue.service import all_models

        assert [row.model for row in await all_models(session)] == ["AXIS P3265-LV", "M3085-V"]
    assert "line 5" in caplog.text
