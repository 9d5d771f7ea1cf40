"""Test the command that turns what a tool returned into corrections."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.cli.app import main
from anomaly_assets.export import to_label_studio
from anomaly_assets_tests.export.annotation.answered import (
    CRACK,
    GOOD,
    chosen,
    exported_tasks,
    submitted,
)


@pytest.fixture
def returned(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a JSON export with a corrected label and a deleted mask."""
    monkeypatch.chdir(tmp_path)
    to_label_studio("export", database)
    tasks = {task["data"]["image_id"]: task for task in exported_tasks(Path("export"))}
    file = Path("project-1.json")
    answers = [
        submitted(tasks[GOOD], result=[chosen("label", "anomalous")]),
        submitted(tasks[CRACK], result=[chosen("label", "anomalous")]),
    ]
    file.write_text(json.dumps(answers), "utf-8")
    return file


IMPORT = ("corrections", "import", "project-1.json", "--export", "export")


def test_without_write_the_command_prints_a_diff_and_writes_nothing(
    returned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().iterdir())
    assert main([*IMPORT]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("--- /dev/null\n+++ corrections.csv\n@@ -0,0 +1,3 @@\n+image_id,")
    assert f"\n+{GOOD}," in printed.out
    assert printed.out.endswith(
        "2 annotated images, 2 corrections, 1 of masks; --write adds them to corrections.csv\n"
        "ANOMALY_CORRECTIONS is not set: set it to corrections.csv, or no run reads these corrections.\n"
    )
    assert printed.err == ""
    assert sorted(Path().iterdir()) == before


def test_write_adds_the_lines_and_the_masks_once(
    returned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*IMPORT, "--write", "--corrections", "team/corrections.csv"]) == 0
    with Path("team/corrections.csv").open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["image_id"], row["field"]) for row in rows] == [(CRACK, "mask"), (GOOD, "label")]
    assert {row["reason"] for row in rows} == {"annotated in project-1.json"}
    with Image.open(Path("team") / rows[0]["value"]) as mask:
        assert (mask.size, mask.mode) == ((24, 16), "L")
        assert not np.asarray(mask).any()
    capsys.readouterr()
    content = Path("team/corrections.csv").read_bytes()
    assert main([*IMPORT, "--write", "--corrections", "team/corrections.csv"]) == 0
    assert capsys.readouterr().out.startswith(
        "2 annotated images, 2 corrections, 1 of masks: team/corrections.csv has all of them already\n"
    )
    assert Path("team/corrections.csv").read_bytes() == content


def test_what_cannot_be_used_is_a_warning(
    returned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = json.loads(returned.read_text("utf-8"))
    answers[0]["data"]["picture"] = "other.png"
    returned.write_text(json.dumps(answers), "utf-8")
    assert main([*IMPORT]) == 0
    assert capsys.readouterr().err == (
        "warning: task 3: its picture 'other.png' is not in the export\n"
    )


def test_the_folder_of_the_file_is_the_export_unless_another_is_named(
    returned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["corrections", "import", "export/tasks.json"]) == 0
    assert capsys.readouterr().out == (
        "0 annotated images, 0 corrections, 0 of masks: nothing differs from the export\n"
    )
    assert main(["corrections", "import", "project-1.json"]) == 1
    assert (
        "Name the folder that was imported into the tool: --export DIR." in capsys.readouterr().err
    )


def test_the_file_is_that_of_the_setting_and_lines_of_other_files_are_replaced(
    returned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANOMALY_CORRECTIONS", "own.csv")
    assert main([*IMPORT]) == 0
    assert "+++ own.csv\n" in capsys.readouterr().out
    Path("team").mkdir()
    old = Path("team/old.CSV")
    old.write_text(f"image_id,field,value\n{GOOD},label,good\n", "utf-8")
    monkeypatch.setenv("ANOMALY_CORRECTIONS", "team")
    assert main([*IMPORT]) == 2
    assert "Name a file in it: --corrections team/annotated.csv" in capsys.readouterr().err
    assert main([*IMPORT, "--corrections", "team/new.csv", "--write"]) == 0
    assert old.read_text("utf-8") == "image_id,field,value\n"
    assert Path("team/new.csv").read_text("utf-8").count("\n") == 3


def test_one_correction_is_singular_and_a_set_variable_is_not_asked_for(
    returned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANOMALY_CORRECTIONS", "own.csv")
    answers = json.loads(returned.read_text("utf-8"))
    returned.write_text(json.dumps(answers[:1]), "utf-8")
    assert main([*IMPORT, "--write"]) == 0
    assert capsys.readouterr().out.endswith(
        "1 annotated image, 1 correction, 0 of masks: written to own.csv\n"
    )


def test_another_export_is_refused(
    returned: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to_label_studio("other", database, source_dataset="dagm_2007")
    assert main([*IMPORT[:-1], "other", "--write"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "project-1.json does not belong to the export other, which does not have its 2 pict" in said
    )
    assert "images/mvtec_ad/" in said
    answers = json.loads(returned.read_text("utf-8"))
    for answer in answers:
        answer["data"]["content_sha256"] = "0" * 64
    returned.write_text(json.dumps(answers), "utf-8")
    assert main([*IMPORT, "--write"]) == 1
    assert "does not belong to the export export" in capsys.readouterr().err
    assert not Path("corrections.csv").exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"result": [], "id": 3}, "It is an object with the keys result, id."),
        ({}, "It is an object with the keys (none)."),
        ("text", "It is one value."),
    ],
)
def test_a_file_of_neither_tool_says_what_it_is(
    returned: Path, capsys: pytest.CaptureFixture[str], content: object, found: str
) -> None:
    returned.write_text(json.dumps(content), "utf-8")
    assert main([*IMPORT]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "project-1.json is neither a JSON export of Label Studio" in said
    assert found in said


@pytest.mark.parametrize(
    "annotations",
    [
        "good",
        [{"result": "good"}],
        [{"result": [{"type": "choices", "value": {"choices": ["good"]}}]}],
        [{"result": [{"type": "brushlabels", "value": "x", "original_height": 6}]}],
        [
            {
                "result": [
                    {
                        "type": "polygonlabels",
                        "original_height": 6,
                        "original_width": 8,
                        "value": {},
                    }
                ]
            }
        ],
        {"result": 3},
    ],
)
def test_an_answer_made_by_hand_is_a_sentence_and_no_traceback(
    returned: Path, capsys: pytest.CaptureFixture[str], annotations: object
) -> None:
    [first, *_] = json.loads(returned.read_text("utf-8"))
    returned.write_text(json.dumps([{**first, "annotations": annotations}]), "utf-8")
    assert main([*IMPORT]) == 0
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {GOOD}: ")
    assert said.count("\n") == 1


def test_one_text_is_taken_for_a_list_of_it(
    returned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = json.loads(returned.read_text("utf-8"))[:1]
    [result] = answers[0]["annotations"][0]["result"]
    result["value"]["choices"] = "anomalous"
    returned.write_text(json.dumps(answers), "utf-8")
    assert main([*IMPORT]) == 0
    assert f"+{GOOD}," in capsys.readouterr().out
