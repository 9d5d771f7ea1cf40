"""Test exports with the packages of the tools; skipped where these are not installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_assets.export import to_coco, to_label_studio
from anomaly_assets_tests.export.annotation.answered import (
    compared,
    exported_tasks,
    submitted,
)
from anomaly_assets_tests.export.published import pixels, stored


def test_pycocotools_reads_images_masks_and_categories(database: Path, tmp_path: Path) -> None:
    module: Any = pytest.importorskip("pycocotools.coco")
    folder = to_coco(tmp_path / "out", database).folder
    coco = module.COCO(str(folder / "annotations.json"))
    known = [*stored(database).values()]
    masks = 0
    for image in coco.loadImgs(coco.getImgIds()):
        picture = pixels(folder / image["file_name"])
        [sample] = [each for each in known if np.array_equal(each.image, picture)]
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        mask = np.zeros(picture.shape[:2], np.uint8)
        for annotation in found:
            pixels_found = coco.annToMask(annotation)
            assert annotation["area"] == pixels_found.sum()
            mask |= pixels_found
        assert np.array_equal(mask, sample.known_mask)
        kinds = {each["name"] for each in coco.loadCats([a["category_id"] for a in found])}
        assert kinds <= {sample.row["defect_type"]}
        masks += bool(found)
    assert masks == 3
    coco.dataset["annotations"] = [
        {**each, "segmentation": _compressed(coco, each)} for each in coco.dataset["annotations"]
    ]
    assert not compared(coco.dataset, folder, tmp_path).lines


def _compressed(coco: Any, annotation: dict[str, Any]) -> dict[str, Any]:
    """Return the shape as compressed runs, as CVAT writes masks."""
    runs = coco.annToRLE(annotation)
    return {"size": runs["size"], "counts": runs["counts"].decode()}


def test_label_studio_accepts_the_tasks_and_predictions(database: Path, tmp_path: Path) -> None:
    module: Any = pytest.importorskip("label_studio_sdk.label_interface")
    folder = to_label_studio(tmp_path / "out", database).folder
    interface = module.LabelInterface((folder / "label_config.xml").read_text("utf-8"))
    interface.validate()
    tasks = exported_tasks(folder)
    assert len(tasks) == 10
    for task in tasks:
        assert interface.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction)


def test_label_studio_converts_what_came_back(database: Path, tmp_path: Path) -> None:
    module: Any = pytest.importorskip("label_studio_sdk.converter")
    folder = to_label_studio(tmp_path / "out", database).folder
    answers = [submitted(task) for task in exported_tasks(folder)]
    for number, answer in enumerate(answers):
        answer["id"] = number
    file = tmp_path / "returned.json"
    file.write_text(json.dumps(answers), "utf-8")
    converter = module.Converter((folder / "label_config.xml").read_text("utf-8"), str(folder))
    converter.convert_to_json(str(file), str(tmp_path / "json"), is_dir=False)
    [converted] = (tmp_path / "json").glob("*.json")
    assert not compared(json.loads(converted.read_text("utf-8")), folder, tmp_path).lines
    masks = tmp_path / "masks"
    masks.mkdir()
    module.brush.convert_task_dir(converter.iter_from_json_file(str(file)), str(masks))
    found = [np.load(path).astype(bool).tobytes() for path in masks.glob("*.npy")]
    expected = [each.mask for each in stored(database).values() if each.mask is not None]
    assert sorted(found) == sorted(mask.astype(bool).tobytes() for mask in expected)
