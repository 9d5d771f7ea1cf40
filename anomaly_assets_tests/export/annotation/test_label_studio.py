"""Test the way to Label Studio and back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.export import ExportError, to_label_studio
from anomaly_assets.export.annotation import brush
from anomaly_assets.export.annotation.returned import returned
from anomaly_assets_tests.export.annotation.answered import (
    CRACK,
    GOOD,
    OTHERWISE,
    UNMASKED,
    chosen,
    compared,
    corrections,
    exported_tasks,
    submitted,
)
from anomaly_assets_tests.export.published import pixels, stored

Tasks = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def export(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_label_studio(tmp_path_factory.mktemp("label_studio") / "export", database).folder


@pytest.fixture
def tasks(export: Path) -> Tasks:
    return {task["data"]["image_id"]: submitted(task) for task in exported_tasks(export)}


def regions(task: dict[str, Any]) -> list[dict[str, Any]]:
    return list(task["annotations"][0]["result"])


def region_of(task: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in regions(task) if each["from_name"] == name)


def test_a_task_has_the_picture_its_labels_and_its_mask(database: Path, tmp_path: Path) -> None:
    export = tmp_path / "own"
    made = to_label_studio(export, database)
    assert (made.samples, made.masks, made.left_out) == (10, 3, 0)
    known = stored(database)
    for task in exported_tasks(export):
        data, [prediction] = task["data"], task["predictions"]
        sample = known[data["image_id"]]
        assert data["image"] == f"/data/local-files/?d={data['picture']}"
        assert np.array_equal(pixels(export / data["picture"]), sample.image)
        assert data["content_sha256"] == sample.row["content_sha256"]
        assert prediction["model_version"] == f"snapshot {made.snapshot_id[:12]}"  # type: ignore[index]
        results = {each["from_name"]: each for each in prediction["result"]}
        assert results["label"]["value"] == {"choices": [sample.row["label"]]}
        assert ("defect_type" in results) == (sample.row["defect_type"] is not None)
        assert ("brush" in results) == (sample.mask is not None)
        if sample.mask is not None:
            value = results["brush"]["value"]
            assert value["brushlabels"] == ["defect"]
            assert np.array_equal(brush.decode(value["rle"], *sample.mask.shape), sample.mask)


def test_the_labeling_interface_offers_all_defect_types(database: Path, tmp_path: Path) -> None:
    export = tmp_path / "own"
    to_label_studio(export, database, label="good", source_dataset="mvtec_ad")
    config = ElementTree.parse(export / "label_config.xml")
    choices = {
        element.get("name"): [each.get("value") for each in element] for element in config.getroot()
    }
    assert choices["label"] == ["good", "anomalous"]
    assert choices["defect_type"] == ["unspecified", "crack", "hole"]


def test_an_export_that_nobody_annotated_changes_nothing(
    tasks: Tasks, export: Path, tmp_path: Path
) -> None:
    found = compared(exported_tasks(export), export, tmp_path)
    assert (found.lines, found.images, found.problems) == ([], 0, [])


def test_annotations_that_were_submitted_unchanged_change_nothing(
    tasks: Tasks, export: Path, tmp_path: Path
) -> None:
    found = compared([*tasks.values()], export, tmp_path)
    assert (found.lines, found.images, found.problems) == ([], 10, [])


def test_the_same_pixels_from_another_region_change_nothing(
    tasks: Tasks, export: Path, tmp_path: Path
) -> None:
    region_of(tasks[CRACK], "brush").update(id="other", origin="manual")
    assert not compared([tasks[CRACK]], export, tmp_path).lines


def test_an_unchanged_brush_that_an_older_label_studio_drew_again_changes_nothing(
    tasks: Tasks, export: Path, tmp_path: Path
) -> None:
    region = region_of(tasks[CRACK], "brush")
    region["value"]["rle"] = brush.encode(np.ones((8, 6), np.uint8))
    assert not compared([tasks[CRACK]], export, tmp_path).lines
    region["origin"] = "prediction-changed"
    assert [line.field for line in compared([tasks[CRACK]], export, tmp_path).lines] == ["mask"]


def test_a_label_is_corrected_for_the_exported_content(
    tasks: Tasks, export: Path, database: Path, tmp_path: Path
) -> None:
    region_of(tasks[CRACK], "label")["value"] = {"choices": ["good"]}
    [line] = compared([tasks[CRACK]], export, tmp_path).lines
    assert (line.image_id, line.field, line.value) == (CRACK, "label", "good")
    assert line.content_sha256 == stored(database)[CRACK].row["content_sha256"]
    assert (line.by, line.at) == ("bo@example.com", "2026-03-04T05:06:08.000000Z")
    assert line.reason == "second look"


def test_a_reason_and_an_annotator_without_an_address_are_kept(
    tasks: Tasks, export: Path, tmp_path: Path
) -> None:
    [annotation] = tasks[GOOD]["annotations"]
    text = {"from_name": "reason", "type": "textarea", "value": {"text": ["a scratch", "left"]}}
    annotation["result"] = [chosen("label", "anomalous"), text]
    annotation["completed_by"] = 12
    [line] = compared([tasks[GOOD]], export, tmp_path).lines
    assert (line.value, line.reason, line.by) == ("anomalous", "a scratch left", "user 12")


def test_a_new_defect_gets_label_type_and_mask(tasks: Tasks, export: Path, tmp_path: Path) -> None:
    points = [[50.0000001, 25], [100, 25], [100, 50], [50, 50]]
    polygon = {
        "id": "new",
        "from_name": "polygon",
        "type": "polygonlabels",
        "origin": "manual",
        "original_width": 6,
        "original_height": 8,
        "image_rotation": 0,
        "value": {"points": points, "polygonlabels": ["defect"]},
    }
    results = [chosen("label", "anomalous"), chosen("defect_type", "hole"), polygon]
    tasks[GOOD]["annotations"][0]["result"] = results
    found = compared([tasks[GOOD]], export, tmp_path)
    [*texts, (_, field, path)] = corrections(found)
    assert texts == [(GOOD, "label", "anomalous"), (GOOD, "defect_type", "hole")]
    assert field == "mask"
    # The mask has the size of the original image, 24 x 16.
    mask = np.asarray(Image.open(io.BytesIO(found.masks[path])))
    assert mask.shape == (16, 24)
    assert {*mask.reshape(-1).tolist()} == {0, 255}
    assert Image.fromarray(mask).getbbox() == (12, 4, 24, 8)


def test_a_deleted_brush_gives_an_empty_mask(tasks: Tasks, export: Path, tmp_path: Path) -> None:
    tasks[CRACK]["annotations"][0]["result"] = [chosen("label", "anomalous")]
    found = compared([tasks[CRACK]], export, tmp_path)
    [(_, field, path)] = corrections(found)
    assert field == "mask"
    assert not np.asarray(Image.open(io.BytesIO(found.masks[path]))).any()


def test_an_exclusion_is_the_only_correction_of_its_image(
    tasks: Tasks, export: Path, tmp_path: Path
) -> None:
    tasks[CRACK]["annotations"][0]["result"] = [
        chosen("exclude", "exclude"),
        chosen("label", "good"),
    ]
    found = compared([tasks[CRACK]], export, tmp_path)
    assert corrections(found) == [(CRACK, "exclude", "true")]


def test_skipped_tasks_are_no_answers(tasks: Tasks, export: Path, tmp_path: Path) -> None:
    tasks[CRACK]["annotations"][0].update(was_cancelled=True, result=[])
    assert compared([tasks[CRACK]], export, tmp_path).images == 0


def test_annotators_who_differ_are_named_and_nothing_is_corrected(
    tasks: Tasks, export: Path, tmp_path: Path
) -> None:
    task = tasks[GOOD]
    second = submitted(exported_tasks(export)[0], result=[chosen("label", "anomalous")])
    task["annotations"] += second["annotations"]
    found = compared([task], export, tmp_path)
    assert found.lines == []
    assert found.problems == [f"{GOOD}: its 2 annotations differ. Delete all but one in the tool."]
    task["annotations"] = second["annotations"] * 2
    assert corrections(compared([task], export, tmp_path)) == [(GOOD, "label", "anomalous")]


def test_a_defect_on_a_good_image_is_named_and_not_guessed(
    tasks: Tasks, export: Path, tmp_path: Path
) -> None:
    drawn = region_of(tasks[CRACK], "brush") | {"id": "new", "origin": "manual"}
    tasks[GOOD]["annotations"][0]["result"].append(drawn)
    found = compared([tasks[GOOD]], export, tmp_path)
    assert found.lines == []
    assert found.problems == [
        f"{GOOD}: a defect is drawn and the label is good. Choose anomalous, or delete the region."
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"original_width": 7}, "A region is not on a picture of 6x8 pixels."),
        (
            {"image_rotation": 90},
            "The picture was rotated. Turn it back, and draw the region again.",
        ),
        (
            {"type": "ellipselabels"},
            "A region has the type 'ellipselabels'. Draw it with the brush or as a polygon.",
        ),
        ({"value": {"rle": [1]}}, "A brush mask is not one of 6x8 pixels"),
    ],
)
def test_a_region_that_cannot_be_read_is_named(
    tasks: Tasks, export: Path, tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    region_of(tasks[CRACK], "brush").update(origin="manual", **change)
    found = compared([*tasks.values()], export, tmp_path)
    assert found.lines == []
    [said] = found.problems
    assert said.startswith(f"{CRACK}: {problem}")


def test_a_picture_of_another_export_is_named(tasks: Tasks, export: Path, tmp_path: Path) -> None:
    tasks[UNMASKED]["data"]["picture"] = "images/other.png"
    found = compared([*tasks.values()], export, tmp_path)
    assert found.problems == ["task 3: its picture 'images/other.png' is not in the export"]


def test_json_min_is_refused(export: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="and not as JSON-MIN"):
        compared([{"image": "/data/upload/1.png", "label": "good"}], export, tmp_path)


def test_a_file_that_is_no_json_is_refused(export: Path) -> None:
    with pytest.raises(ExportError, match=r"README\.md is not JSON"):
        returned(export / "README.md", export, **OTHERWISE)
