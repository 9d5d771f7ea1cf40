"""Test exports for anomalib: the required table. `test_with_anomalib.py` loads them in anomalib itself."""

from __future__ import annotations

import re
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


@pytest.mark.slow
def test_grey_images_have_one_channel(grey_database: Path, tmp_path: Path) -> None:
    to_anomalib(tmp_path / "export", grey_database)
    expected = stored(grey_database)
    for row in pq.read_table(tmp_path / "export" / "samples.parquet").to_pylist():
        assert pixels(tmp_path / "export" / row["image_path"]).shape == (8, 6, 1)
        assert_row(row, expected[row["image_id"]], tmp_path / "export")
