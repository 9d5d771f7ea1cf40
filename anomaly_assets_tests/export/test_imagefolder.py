"""Test exports for Hugging Face, loaded by `datasets`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from anomaly_assets.export import to_imagefolder
from anomaly_assets_tests.export.published import (
    ANOMALOUS_IN_TRAINING,
    WITHOUT_MASK,
    pixels,
    publish_pictures,
    stored,
)
from anomaly_assets_tests.warehouse.project import noise

Load = Callable[..., Any]


@pytest.fixture(scope="module")
def exported(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_imagefolder(tmp_path_factory.mktemp("imagefolder") / "export", database).folder


def assert_equal(splits: Any, database: Path) -> None:
    """Assert that rows, images and masks in `datasets` equal those of the database."""
    expected = stored(database)
    assert set(splits) == {sample.row["split"] for sample in expected.values()}
    found = {row["image_id"]: (split, row) for split in splits for row in splits[split]}
    assert set(found) == set(expected)
    assert sum(len(rows) for rows in splits.values()) == len(expected)
    for image_id, (split, row) in found.items():
        sample = expected[image_id]
        image, mask = np.asarray(row.pop("image")), np.asarray(row.pop("mask"))
        assert np.array_equal(image.reshape(sample.image.shape), sample.image)
        assert np.array_equal(mask, sample.known_mask * 255)
        assert row.pop("mask_from_file") == (sample.mask is not None)
        assert row.pop("has_mask") == (sample.mask is not None or sample.row["label"] == "good")
        row["label"] = splits[split].features["label"].int2str(row["label"])
        assert row == sample.exported
        assert row["split"] == split


def test_a_folder_loads_as_train_and_test_with_images_masks_and_all_columns(
    exported: Path, database: Path, load: Load
) -> None:
    assert_equal(load("imagefolder", data_dir=str(exported)), database)


def test_a_folder_loads_by_its_path_alone(exported: Path, database: Path, load: Load) -> None:
    assert_equal(load(str(exported)), database)


def test_images_and_masks_are_columns_of_pictures(exported: Path, load: Load) -> None:
    features = load(str(exported), split="test").features
    assert type(features["image"]).__name__ == type(features["mask"]).__name__ == "Image"


def test_an_unknown_mask_is_told_from_an_empty_one(exported: Path) -> None:
    rows = pq.read_table(exported / "test" / "metadata.parquet").to_pylist()
    known = {row["image_id"]: (row["has_mask"], row["mask_from_file"]) for row in rows}
    assert known[WITHOUT_MASK] == (False, False)
    assert known["mvtec_ad/bottle/test/good/000.png"] == (True, False)
    assert known["mvtec_ad/bottle/test/crack/000.png"] == (True, True)


def test_anomalous_training_images_are_there(exported: Path) -> None:
    rows = pq.read_table(exported / "train" / "metadata.parquet").to_pylist()
    (row,) = (row for row in rows if row["label"] == 1)
    assert row["image_id"] == ANOMALOUS_IN_TRAINING
    assert pixels(exported / "train" / row["mask_file_name"]).max() == 255


def test_grey_images_have_one_channel(grey_database: Path, tmp_path: Path, load: Load) -> None:
    to_imagefolder(tmp_path / "export", grey_database)
    splits = load(str(tmp_path / "export"))
    assert {row["image"].mode for row in splits["train"]} == {"L"}
    assert_equal(splits, grey_database)


def test_one_split_loads_alone(database: Path, tmp_path: Path, load: Load) -> None:
    to_imagefolder(tmp_path / "export", database, split="test", category="carpet")
    splits = load(str(tmp_path / "export"))
    assert {name: len(rows) for name, rows in splits.items()} == {"test": 1}


@pytest.mark.slow
def test_categories_named_like_a_split_stay_in_theirs(tmp_path: Path, load: Load) -> None:
    names = ["test", "my-train", "eval_2", "__pycache__", ".hidden"]
    pictures = {
        f"mvtec_ad/{name}/{split}/good/val.png": noise(n)
        for n, name in enumerate(names)
        for split in ("train", "test")
    }
    database = publish_pictures(tmp_path, pictures)
    to_imagefolder(tmp_path / "export", database)
    splits = load(str(tmp_path / "export"))
    assert_equal(splits, database)
