"""Test the way to tools that read COCO, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_assets.export import ExportError, to_coco
from anomaly_assets.polygons import pixels_of
from anomaly_assets_tests.export.annotation.answered import CRACK, GOOD, compared, corrections
from anomaly_assets_tests.export.published import pixels, stored

Content = dict[str, Any]


@pytest.fixture(scope="module")
def export(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_coco(tmp_path_factory.mktemp("coco") / "export", database).folder


@pytest.fixture
def content(export: Path) -> Content:
    return dict(json.loads((export / "annotations.json").read_text("utf-8")))


def image_of(content: Content, image_id: str) -> dict[str, Any]:
    name = "/".join(image_id.split("/")[1:]).removesuffix(".png")
    return next(each for each in content["images"] if name in each["file_name"])


def without(content: Content, image_id: str) -> Content:
    number = image_of(content, image_id)["id"]
    kept = [each for each in content["annotations"] if each["image_id"] != number]
    return {**content, "annotations": kept}


def box_on(content: Content, image_id: str, **keys: Any) -> Content:
    new = {"id": 99, "image_id": image_of(content, image_id)["id"], "category_id": 1, **keys}
    return {**content, "annotations": [*content["annotations"], new]}


@pytest.mark.slow
def test_images_annotations_and_categories_are_those_of_the_samples(
    content: Content, export: Path, database: Path
) -> None:
    known = {
        "/".join(["images", *name.split("/")]): sample for name, sample in stored(database).items()
    }
    names = {each["id"]: each["name"] for each in content["categories"]}
    assert sorted(names.values()) == ["crack", "hole", "unspecified"]
    assert len(content["images"]) == len(known) == 10
    masks = 0
    for image in content["images"]:
        found = [each for each in content["annotations"] if each["image_id"] == image["id"]]
        picture = pixels(export / image["file_name"])
        [sample] = [each for each in known.values() if np.array_equal(each.image, picture)]
        polygons = [
            np.array(each, float).reshape(-1, 2)
            for annotation in found
            for each in annotation["segmentation"]
        ]
        mask = pixels_of(polygons, image["height"], image["width"])
        assert np.array_equal(mask, sample.known_mask)
        assert sum(each["area"] for each in found) == mask.sum()
        assert {names[each["category_id"]] for each in found} <= {sample.row["defect_type"]}
        masks += bool(found)
    assert masks == 3


def test_a_file_that_comes_back_unchanged_changes_nothing(
    content: Content, export: Path, tmp_path: Path
) -> None:
    found = compared(content, export, tmp_path)
    assert (found.lines, found.images, found.problems) == ([], 10, [])


def test_other_numbers_order_and_folders_change_nothing(
    content: Content, export: Path, tmp_path: Path
) -> None:
    for image in content["images"]:
        image["id"] += 1000
        if Path(image["file_name"]).name == "0003.png":  # the only one of this name
            image["file_name"] = "upload\\0003.png"
    for annotation in content["annotations"]:
        annotation["image_id"] += 1000
        annotation["segmentation"] = [
            [value + 1e-7 for value in each] for each in annotation["segmentation"]
        ]
    content["annotations"].reverse()
    found = compared(content, export, tmp_path)
    assert (found.lines, found.images, found.problems) == ([], 10, [])


def test_runs_in_place_of_polygons_change_nothing(
    content: Content, export: Path, tmp_path: Path
) -> None:
    for annotation in content["annotations"]:
        polygons = [np.array(each, float).reshape(-1, 2) for each in annotation["segmentation"]]
        flat = pixels_of(polygons, 8, 6).T.reshape(-1)
        starts = np.flatnonzero(np.diff(flat, prepend=0))
        counts = np.diff(starts, prepend=0, append=flat.size).tolist()
        annotation["segmentation"] = {"size": [8, 6], "counts": counts}
    assert not compared(content, export, tmp_path).lines


def test_an_image_that_a_tool_left_out_is_unchanged(
    content: Content, export: Path, tmp_path: Path
) -> None:
    missing = image_of(content, CRACK)
    returned = {
        **without(content, CRACK),
        "images": [each for each in content["images"] if each is not missing],
    }
    found = compared(returned, export, tmp_path)
    assert (found.lines, found.images) == ([], 9)


def test_deleted_annotations_make_an_image_good(
    content: Content, export: Path, tmp_path: Path
) -> None:
    found = compared(without(content, CRACK), export, tmp_path)
    assert corrections(found) == [(CRACK, "label", "good")]
    assert (found.lines[0].by, found.lines[0].reason) == ("ana", "second look")


def test_a_new_box_makes_an_image_anomalous(content: Content, export: Path, tmp_path: Path) -> None:
    found = compared(box_on(content, GOOD, bbox=[1, 2, 3, 4]), export, tmp_path)
    [label, kind, (_, field, path)] = corrections(found)
    assert label == (GOOD, "label", "anomalous")
    assert kind == (GOOD, "defect_type", "unspecified")
    assert (field, [*found.masks]) == ("mask", [path])


def test_another_category_is_another_defect_type(
    content: Content, export: Path, tmp_path: Path
) -> None:
    [hole] = [each["id"] for each in content["categories"] if each["name"] == "hole"]
    number = image_of(content, CRACK)["id"]
    for annotation in content["annotations"]:
        if annotation["image_id"] == number:
            annotation["category_id"] = hole
    found = compared(content, export, tmp_path)
    assert corrections(found) == [(CRACK, "defect_type", "hole")]


def test_pictures_of_another_size_and_shapes_that_are_none_are_named(
    content: Content, export: Path, tmp_path: Path
) -> None:
    image_of(content, CRACK)["width"] = 12
    found = compared(box_on(content, GOOD, segmentation=[[1, 2, 3]]), export, tmp_path)
    assert found.lines == []
    assert sorted(found.problems) == [
        f"{CRACK}: The annotations are on a picture of 12x8 pixels, and 6x8 were exported.",
        f"{GOOD}: An annotation has neither a polygon nor a box.",
    ]


def test_a_picture_that_was_not_exported_is_named(
    content: Content, export: Path, tmp_path: Path
) -> None:
    content["images"][0]["file_name"] = "other.png"
    assert compared(content, export, tmp_path).problems == [
        "other.png: this picture is not in the export"
    ]


def test_a_file_that_is_no_coco_file_is_refused(
    content: Content, export: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="The file is no COCO file: 'categories' is missing"):
        compared({"images": []}, export, tmp_path)


def test_a_folder_that_is_no_export_is_refused(content: Content, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is no export of the formats label-studio or coco"):
        compared(content, tmp_path, tmp_path)
