"""Test that the libraries for which Parquet exports are meant can read them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from PIL import Image

from anomaly_assets.export import parquet, to_parquet
from anomaly_assets.export.destination import MARKER
from anomaly_assets_tests.export.published import LEFT_OUT, publish_pictures, snapshot_id, stored
from anomaly_assets_tests.warehouse.project import noise

PICTURES = ("image", "mask")


@pytest.fixture(scope="module")
def exported(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_parquet(tmp_path_factory.mktemp("parquet") / "export", database).folder


def assert_equal(rows: list[dict[str, Any]], database: Path) -> None:
    """Assert that rows of an export equal those of the database, tensors and pictures included."""
    expected = stored(database)
    assert sorted(row["image_id"] for row in rows) == sorted(expected)
    for row in rows:
        sample = expected[row["image_id"]]
        shape = (row["height"], row["width"], row["channels"])
        image, mask = (np.frombuffer(row.pop(f"{name}_tensor"), np.uint8) for name in PICTURES)
        assert np.array_equal(image.reshape(shape), sample.image)
        assert np.array_equal(mask.reshape(shape[:2]), sample.known_mask)
        image, mask = (decoded(row.pop(name)) for name in PICTURES)
        assert np.array_equal(image.reshape(shape), sample.image)
        assert np.array_equal(mask, sample.known_mask * 255)
        assert row.pop("mask_from_file") == (sample.mask is not None)
        assert row.pop("has_mask") == (sample.mask is not None or row["label"] == "good")
        assert row == sample.exported


def decoded(picture: dict[str, Any]) -> npt.NDArray[np.uint8]:
    assert re.fullmatch(r"[^/]+\.ppm", picture["path"])
    with Image.open(io.BytesIO(picture["bytes"])) as opened:
        assert opened.format == "PPM"
        return np.asarray(opened)


def test_duckdb_reads_what_the_database_has(exported: Path, database: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        files = f"{exported}/**/*.parquet"
        rows = connection.execute("FROM read_parquet(?)", [files]).to_arrow_table().to_pylist()
    assert_equal(rows, database)


@pytest.mark.slow
def test_polars_reads_what_the_database_has(exported: Path, database: Path) -> None:
    polars = pytest.importorskip("polars")
    assert_equal(polars.read_parquet(exported / "data").to_dicts(), database)
    lazily = polars.scan_parquet(exported / "data").filter(category="carpet").collect()
    assert lazily["image_id"].to_list() == [
        "mvtec_ad/carpet/test/hole/000.png",
        "mvtec_ad/carpet/train/good/000.png",
    ]


def test_pyarrow_reads_what_the_database_has(exported: Path, database: Path) -> None:
    assert_equal(pq.read_table(exported / "data").to_pylist(), database)
    assert_equal(pyarrow.dataset.dataset(exported / "data").to_table().to_pylist(), database)


def test_the_schema_says_the_shape_of_the_tensors(exported: Path, database: Path) -> None:
    for path in exported.rglob("*.parquet"):
        schema = pq.read_schema(path)
        assert schema.metadata[b"snapshot_id"].decode() == snapshot_id(database)
        assert schema.metadata[b"recipe"] == b"8x6x3"
        for name, shape, sides in (
            ("image_tensor", [8, 6, 3], ["height", "width", "channels"]),
            ("mask_tensor", [8, 6], ["height", "width"]),
        ):
            field = schema.field(name)
            assert field.type == pa.binary()
            assert field.metadata[b"dtype"] == b"uint8"
            assert json.loads(field.metadata[b"shape"]) == shape
            assert json.loads(field.metadata[b"dim_names"]) == sides


def test_columns_are_those_of_samples_in_their_order_and_four_more(
    exported: Path, database: Path
) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute("DESCRIBE main.samples").fetchall()
    columns = [row[0] for row in rows if row[0] not in LEFT_OUT]
    (path, *_) = exported.rglob("*.parquet")
    schema = pq.read_schema(path)
    assert schema.names == [*columns, "has_mask", "mask_from_file", "image", "mask"]


def test_no_value_is_null_or_a_time(exported: Path) -> None:
    table = pq.read_table(exported / "data")
    assert {name for name in table.column_names if table[name].null_count} == set()
    assert not any(pa.types.is_temporal(field.type) for field in table.schema)


def test_files_are_named_by_split(exported: Path) -> None:
    found = {
        path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()
    }
    assert found == {
        MARKER,
        "README.md",
        "LICENSE",
        "croissant.json",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
    }


def test_grey_tensors_have_one_channel(grey_database: Path, tmp_path: Path) -> None:
    to_parquet(tmp_path / "export", grey_database)
    table = pq.read_table(tmp_path / "export" / "data")
    assert json.loads(table.schema.field("image_tensor").metadata[b"shape"]) == [8, 6, 1]
    assert_equal(table.to_pylist(), grey_database)


def test_row_groups_and_files_end_when_they_hold_enough(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 2 * 8 * 6 * 4)
    monkeypatch.setattr(parquet, "ROW_GROUPS_PER_FILE", 2)
    made = to_parquet(tmp_path / "export", database)
    groups = {
        path.name: [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        for path in (made.folder / "data").iterdir()
        for metadata in [pq.read_metadata(path)]
    }
    assert groups == {
        f"{split}-0000{number}-of-00002.parquet": rows
        for split in ("train", "test")
        for number, rows in enumerate(([2, 2], [1]))
    }
    assert_equal(pq.read_table(made.folder / "data").to_pylist(), database)


@pytest.mark.slow
def test_categories_of_any_name_come_back(tmp_path: Path) -> None:
    names = ["a b", "ü%=&+", "new\nline", "it's", "Case", "case", "007", "y" * 255]
    pictures = {f"mvtec_ad/{name}/train/good/0.png": noise(n) for n, name in enumerate(names)}
    database = publish_pictures(tmp_path, pictures)
    to_parquet(tmp_path / "export", database)
    table = pq.read_table(tmp_path / "export" / "data")
    assert sorted(table["category"].to_pylist()) == sorted(names)
