"""Test exports of the files in their own size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.cli.export import main
from anomaly_assets.export import ExportError, to_coco, to_label_studio, to_parquet
from anomaly_assets.export.annotation import brush
from anomaly_assets_tests.curation.corrected import correct, statuses
from anomaly_assets_tests.export.annotation.answered import (
    CRACK,
    chosen,
    compared,
    corrections,
    exported_tasks,
    submitted,
)
from anomaly_assets_tests.export.published import PICTURES, publish_pictures, publish_project
from anomaly_assets_tests.reader.test_recipes import publish_recipes
from anomaly_assets_tests.warehouse.project import Project


@pytest.fixture
def with_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Publish the pictures, and set the roots."""
    database = publish_pictures(tmp_path / "published", PICTURES)
    for name in ("mvtec_ad", "dagm_2007"):
        monkeypatch.setenv(f"{name.upper()}_ROOT", str(database.parent / name))
    return database


@pytest.mark.slow
def test_pictures_and_masks_are_those_of_the_files(with_roots: Path, tmp_path: Path) -> None:
    folder = to_label_studio(tmp_path / "out", with_roots, originals=True).folder
    masks = 0
    for task in exported_tasks(folder):
        original = PICTURES[task["data"]["image_id"]]
        with Image.open(folder / task["data"]["picture"]) as picture:
            assert picture.mode == original.mode
            assert np.array_equal(np.asarray(picture), np.asarray(original))
        for result in task["predictions"][0]["result"]:
            assert (result["original_width"], result["original_height"]) == original.size
            if result["type"] == "brushlabels":
                mask = brush.decode(result["value"]["rle"], original.height, original.width)
                assert any(
                    np.array_equal(mask * 255, np.asarray(each))
                    for name, each in PICTURES.items()
                    if "mask" in name or "label" in name
                )
                masks += 1
    assert masks == 3


@pytest.mark.slow
def test_a_mask_keeps_every_pixel_that_was_not_changed(with_roots: Path, tmp_path: Path) -> None:
    folder = to_label_studio(tmp_path / "out", with_roots, originals=True).folder
    [task] = [each for each in exported_tasks(folder) if each["data"]["image_id"] == CRACK]
    [result] = [each for each in task["predictions"][0]["result"] if each["type"] == "brushlabels"]
    mask = brush.decode(result["value"]["rle"], 16, 24)
    mask[0, 0] = 1
    changed = {**result, "origin": "prediction-changed"}
    changed["value"] = {**result["value"], "rle": brush.encode(mask)}
    answer = submitted(task, result=[chosen("label", "anomalous"), changed])
    found = compared([answer], folder, tmp_path)
    [(_, field, path)] = corrections(found)
    assert field == "mask"
    (tmp_path / "mask.png").write_bytes(found.masks[path])
    with Image.open(tmp_path / "mask.png") as picture:
        assert np.array_equal(np.asarray(picture), mask * 255)


@pytest.mark.slow
def test_coco_describes_the_original_size(with_roots: Path, tmp_path: Path) -> None:
    folder = to_coco(tmp_path / "out", with_roots, originals=True).folder
    content = json.loads((folder / "annotations.json").read_text("utf-8"))
    assert {(each["width"], each["height"]) for each in content["images"]} == {(24, 16)}
    assert not compared(content, folder, tmp_path).lines


def test_a_file_that_changed_since_it_was_published_is_an_error(
    with_roots: Path, tmp_path: Path
) -> None:
    path = with_roots.parent / CRACK
    Image.new("RGB", (24, 16)).save(path)
    with pytest.raises(
        ExportError, match=rf"{CRACK}: .*Run `anomaly-assets materialize` and export again"
    ):
        to_label_studio(tmp_path / "out", with_roots, originals=True)
    assert not (tmp_path / "out").exists()


def test_a_root_that_is_not_set_or_gone_is_an_error(
    with_roots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MVTEC_AD_ROOT")
    with pytest.raises(ExportError, match="Set MVTEC_AD_ROOT, or leave --originals out"):
        to_label_studio(tmp_path / "out", with_roots, originals=True, source_dataset="mvtec_ad")
    monkeypatch.setenv("DAGM_2007_ROOT", str(tmp_path / "gone"))
    with pytest.raises(ExportError, match="DAGM_2007_ROOT: .*gone does not exist"):
        to_label_studio(tmp_path / "out", with_roots, originals=True, source_dataset="dagm_2007")


def test_formats_of_tensors_have_no_originals(database: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="parquet holds tensors and no original files"):
        to_parquet(tmp_path / "out", database, originals=True)


@pytest.mark.slow
def test_tiles_are_no_pictures_to_annotate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = publish_recipes(tmp_path)
    arguments = ["--source-dataset", "mvtec_ad", "--recipe", "full/tile=12+4"]
    out = tmp_path / "out"
    for name in ("label-studio", "coco"):
        assert (
            main(["--format", name, "--out", str(out), "--database", str(database), *arguments])
            == 1
        )
        assert (
            f"{name} takes whole images, and not the recipe full/tile=12+4"
            in capsys.readouterr().err
        )
    assert not out.exists()


@pytest.mark.slow
def test_a_corrected_mask_that_cannot_be_decoded_breaks_no_export(
    with_roots: Path, tmp_path: Path
) -> None:
    project = Project.at(with_roots.parent)
    project.path("masks/bad.png").write_bytes(b"no picture")
    correct(project, f"{CRACK},,mask,masks/bad.png,,,")
    publish_project(project)
    assert statuses(project) == ["unreadable_mask"]
    for folder in (
        to_label_studio(tmp_path / "out", with_roots, originals=True).folder,
        to_label_studio(tmp_path / "tensors", with_roots).folder,
    ):
        [task] = [each for each in exported_tasks(folder) if each["data"]["image_id"] == CRACK]
        assert any(each["type"] == "brushlabels" for each in task["predictions"][0]["result"])
