"""Test exports in the layout of MVTec AD: the official folders, and pairs of images and masks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.record import ImageFile, MaskFile
from anomaly_assets.export import ExportError, mvtec, to_mvtec
from anomaly_assets.export.destination import MARKER
from anomaly_assets_tests.export.published import (
    ANOMALOUS_IN_TRAINING,
    WITHOUT_MASK,
    pixels,
    publish_pictures,
    stored,
)
from anomaly_assets_tests.warehouse.project import mask, noise


@pytest.fixture(scope="module")
def exported(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = to_mvtec(tmp_path_factory.mktemp("mvtec") / "export", database)
    assert (made.samples, made.masks, made.left_out, made.not_written) == (8, 2, 2, 2)
    return made.folder


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folders_are_those_of_the_official_layout(exported: Path) -> None:
    assert files_of(exported) == {
        *(MARKER, "README.md", "LICENSE", "croissant.json", "samples.parquet", "left_out.parquet"),
        *("bottle/train/good/000.png", "bottle/train/good/001.png", "bottle/test/good/000.png"),
        *("bottle/test/crack/000.png", "bottle/ground_truth/crack/000_mask.png"),
        *("carpet/train/good/000.png", "carpet/test/hole/000.png"),
        "carpet/ground_truth/hole/000_mask.png",
        *("Class1/train/good/0001.png", "Class1/test/good/0003.png"),
    }


def test_the_project_itself_reads_it_as_mvtec_ad(exported: Path) -> None:
    dataset = SOURCE_DATASETS["mvtec_ad"]
    of_categories = sorted(path for path in files_of(exported) if path.count("/") == 3)
    found = Counter(type(dataset.classify(path)) for path in of_categories)
    assert found == {ImageFile: 8, MaskFile: 2}


def test_images_masks_and_labels_are_those_of_the_database(exported: Path, database: Path) -> None:
    expected = stored(database)
    rows = pq.read_table(exported / "samples.parquet").to_pylist()
    assert {row["image_id"] for row in rows} == set(expected) - {
        ANOMALOUS_IN_TRAINING,
        WITHOUT_MASK,
    }
    for row in rows:
        sample = expected[row["image_id"]]
        category, split, kind, name = row["image_path"].split("/")
        assert (category, split) == (sample.row["category"], sample.row["split"])
        assert (kind == "good") == (sample.row["label"] == "good")
        assert np.array_equal(pixels(exported / row["image_path"]), sample.image)
        if kind != "good":
            place = exported / category / "ground_truth" / kind / name.replace(".", "_mask.")
            assert row["mask_path"] == place.relative_to(exported).as_posix()
            assert np.array_equal(pixels(place)[:, :, 0], sample.known_mask * 255)


def test_images_without_a_place_are_in_a_table_with_the_reason(exported: Path) -> None:
    rows = pq.read_table(exported / "left_out.parquet").to_pylist()
    assert {row["image_id"]: (row["reason"], row["image_path"]) for row in rows} == {
        ANOMALOUS_IN_TRAINING: ("anomalous_training_image", ""),
        WITHOUT_MASK: ("anomalous_without_mask", ""),
    }


def test_an_anomalous_image_without_any_mask_is_left_out(database: Path, tmp_path: Path) -> None:
    where = f"image_id = '{WITHOUT_MASK}' OR label = 'good'"
    assert to_mvtec(tmp_path / "export", database, where=where).left_out == 1


def test_an_export_without_a_place_for_any_image_is_refused(database: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as raised:
        to_mvtec(tmp_path / "export", database, where=f"image_id = '{ANOMALOUS_IN_TRAINING}'")
    assert str(raised.value) == (
        "Nothing was exported: mvtec has no place for any of the 1 samples (1 anomalous_training_image). "
        "Choose another format, such as parquet, or select other samples."
    )
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("label", "defect_type", "folder"),
    [
        ("good", "", "good"),
        ("good", "crack", "good"),
        ("anomalous", "Good", "anomalous"),
        ("anomalous", "", "anomalous"),
        ("anomalous", "crack", "crack"),
    ],
)
def test_the_folder_good_has_the_good_images_and_no_others(
    label: str, defect_type: str, folder: str
) -> None:
    row = {
        "image_id": "line4/bolt/0.bmp",
        "filename": "0.bmp",
        "label": label,
        "source_dataset": "line4",
        "category": "bolt",
        "split": "test",
        "defect_type": defect_type,
    }
    paths = mvtec.image_paths(pa.Table.from_pylist([row]))
    assert paths.to_pylist() == [f"bolt/test/{folder}/0.png"]


@pytest.mark.slow
def test_categories_of_one_name_have_a_folder_each(tmp_path: Path) -> None:
    pictures = {
        "mvtec_ad/Class1/train/good/0001.png": noise(0),
        "mvtec_ad/samples.parquet/train/good/0001.png": noise(1),
        "dagm_2007/Class1/Train/0001.PNG": noise(2, "L"),
        "dagm_2007/Class1/Train/Label/0001_label.PNG": mask(),
    }
    database = publish_pictures(tmp_path / "published", pictures)
    folder = to_mvtec(tmp_path / "export", database).folder
    rows = pq.read_table(folder / "samples.parquet").to_pylist()
    folders = {row["image_id"].split("/")[0]: row["image_path"].split("/")[0] for row in rows}
    assert len(rows) == len({row["image_path"].split("/")[0] for row in rows}) == 3
    assert all("~" in name for name in folders.values())
    for row in rows:
        assert np.array_equal(
            pixels(folder / row["image_path"]), stored(database)[row["image_id"]].image
        )


def test_names_whose_masks_would_be_sorted_differently_are_numbered(tmp_path: Path) -> None:
    pictures = {"mvtec_ad/bottle/train/good/a.png": noise(9)}
    for number, stem in enumerate(("a", "a1")):
        pictures[f"mvtec_ad/bottle/test/crack/{stem}.png"] = noise(number)
        pictures[f"mvtec_ad/bottle/ground_truth/crack/{stem}_mask.png"] = mask((number, 0, 9, 9))
    database = publish_pictures(tmp_path / "published", pictures)
    bottle = to_mvtec(tmp_path / "export", database).folder / "bottle"
    assert sorted(path.name for path in (bottle / "test/crack").iterdir()) == [
        "000_a.png",
        "001_a1.png",
    ]
    assert sorted(path.name for path in (bottle / "ground_truth/crack").iterdir()) == [
        "000_a_mask.png",
        "001_a1_mask.png",
    ]
    assert [path.name for path in (bottle / "train/good").iterdir()] == ["a.png"]
