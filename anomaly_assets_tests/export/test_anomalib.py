"""Exports for anomalib: the required table, and anomalib itself if it is installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from anomaly_assets.export import to_anomalib
from anomaly_assets.export.anomalib import COLUMNS
from anomaly_assets_tests.export.published import (
    ANOMALOUS_IN_TRAINING,
    WITHOUT_MASK,
    Stored,
    pixels,
    stored,
)

LEFT_OUT = {
    ANOMALOUS_IN_TRAINING: "anomalous_training_image",
    WITHOUT_MASK: "anomalous_without_mask",
}


@pytest.fixture(scope="module")
def exported(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = to_anomalib(tmp_path_factory.mktemp("anomalib") / "export", database)
    assert made.left_out == 2
    return made.folder


def assert_row(row: dict[str, Any], sample: Stored, folder: Path) -> None:
    """Assert that a row of a table equals the database, and that its files have the pixels."""
    assert np.array_equal(pixels(folder / row["image_path"]), sample.image)
    if sample.mask is None:
        assert row["mask_path"] == ""
    else:
        assert np.array_equal(pixels(folder / row["mask_path"])[:, :, 0], sample.mask * 255)
    for name in ("split", "label_index", "source_dataset", "category", "image_id"):
        assert row[name] == sample.row[name]
    assert row["defect_type"] == (sample.row["defect_type"] or "good")
    assert (
        row["label"]
        == {
            ("train", 0): "normal",
            ("test", 0): "normal_test",
            ("test", 1): "abnormal",
            ("train", 1): "abnormal",
        }[row["split"], row["label_index"]]
    )


def test_the_table_has_anomalibs_columns_and_values_for_every_sample(
    exported: Path, database: Path
) -> None:
    expected = stored(database)
    table = pq.read_table(exported / "samples.parquet")
    assert tuple(table.column_names[:5]) == COLUMNS
    rows = table.to_pylist()
    assert {row["image_id"] for row in rows} == set(expected) - set(LEFT_OUT)
    for row in rows:
        assert_row(row, expected[row["image_id"]], exported)


def test_no_value_is_null_because_anomalib_refuses_a_table_with_one(exported: Path) -> None:
    table = pq.read_table(exported / "samples.parquet")
    assert {name: table[name].null_count for name in table.column_names} == dict.fromkeys(
        table.column_names, 0
    )


def test_every_anomalous_row_has_a_mask_and_none_is_for_training(exported: Path) -> None:
    rows = pq.read_table(exported / "samples.parquet").to_pylist()
    anomalous = [(row["split"], row["mask_path"] != "") for row in rows if row["label_index"]]
    assert anomalous == [("test", True)] * 2


def test_what_anomalib_does_not_take_is_in_a_table_of_its_own(
    exported: Path, database: Path
) -> None:
    expected = stored(database)
    rows = pq.read_table(exported / "left_out.parquet").to_pylist()
    assert {row["image_id"]: row["reason"] for row in rows} == LEFT_OUT
    for row in rows:
        assert_row(row, expected[row["image_id"]], exported)


def test_the_csv_has_the_five_columns_alone(exported: Path) -> None:
    listed = pq.read_table(exported / "samples.parquet").select(list(COLUMNS))
    assert pyarrow.csv.read_csv(exported / "samples.csv").to_pylist() == listed.to_pylist()


def test_anomalous_images_without_any_mask_stay_when_no_image_has_one(
    database: Path, tmp_path: Path
) -> None:
    where = f"image_id = '{WITHOUT_MASK}' OR label = 'good'"
    made = to_anomalib(tmp_path / "export", database, where=where)
    assert made.left_out == 0
    assert not (tmp_path / "export" / "left_out.parquet").exists()
    rows = pq.read_table(tmp_path / "export" / "samples.parquet").to_pylist()
    assert WITHOUT_MASK in {row["image_id"] for row in rows}


def test_paths_are_of_the_kind_that_anomalib_takes(exported: Path) -> None:
    for row in pq.read_table(exported / "samples.parquet").to_pylist():
        for path in filter(None, (row["image_path"], row["mask_path"])):
            assert re.fullmatch(r"(images|masks)/[\x21-\x7e]{1,400}\.png", path)
            assert ".." not in path


def test_grey_images_have_one_channel(grey_database: Path, tmp_path: Path) -> None:
    to_anomalib(tmp_path / "export", grey_database)
    expected = stored(grey_database)
    for row in pq.read_table(tmp_path / "export" / "samples.parquet").to_pylist():
        assert pixels(tmp_path / "export" / row["image_path"]).shape == (8, 6, 1)
        assert_row(row, expected[row["image_id"]], tmp_path / "export")


@pytest.fixture
def tabular() -> Callable[..., Any]:
    pytest.importorskip("anomalib", reason="anomalib is not installed")
    from anomalib.data import Tabular

    def set_up(folder: Path) -> Any:
        module = Tabular.from_file(
            name="export",
            file_path=folder / "samples.csv",
            root=folder,
            # pandas 3 makes text of this column, and anomalib 2.7 puts paths into it.
            pd_kwargs={"dtype": {"mask_path": object}},
            num_workers=0,
            val_split_mode="none",
        )
        module.setup()
        return module

    return set_up


def test_anomalib_loads_counts_labels_images_and_masks(
    exported: Path, database: Path, tabular: Callable[..., Any]
) -> None:
    module = tabular(exported)
    paths = {
        str((exported / row["image_path"]).resolve()): row["image_id"]
        for row in pq.read_table(exported / "samples.parquet").to_pylist()
    }
    expected = stored(database)
    assert str(module.task.value) == "segmentation"
    seen = {}
    for split, data in (("train", module.train_data), ("test", module.test_data)):
        for item in data:
            image_id = paths[str(item.image_path)]
            sample, seen[image_id] = expected[image_id], split
            image = np.rint(item.image.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
            assert np.array_equal(image, sample.image)
            assert int(item.gt_label) == sample.row["label_index"]
            nothing = np.zeros(sample.image.shape[:2], np.uint8)
            mask = nothing if sample.mask is None else sample.mask
            assert np.array_equal(item.gt_mask.numpy().astype(np.uint8), mask)
    assert seen == {
        image_id: sample.row["split"]
        for image_id, sample in expected.items()
        if image_id not in LEFT_OUT
    }


def test_anomalib_makes_batches_of_an_export(exported: Path, tabular: Callable[..., Any]) -> None:
    module = tabular(exported)
    batch = next(iter(module.train_dataloader()))
    assert tuple(batch.image.shape) == (4, 3, 8, 6)
