"""Parquet exports, read by the libraries that they are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from anomaly_assets.export import parquet, to_parquet
from anomaly_assets.export.destination import MARKER
from anomaly_assets_tests.export.published import publish_pictures, snapshot_id, stored
from anomaly_assets_tests.warehouse.project import noise


@pytest.fixture(scope="module")
def exported(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_parquet(tmp_path_factory.mktemp("parquet") / "export", database).folder


def assert_equal(rows: list[dict[str, Any]], database: Path, without: tuple[str, ...] = ()) -> None:
    """Assert that rows of an export equal those of the database, tensors included."""
    expected = stored(database)
    assert sorted(row["image_id"] for row in rows) == sorted(expected)
    for row in rows:
        sample = expected[row["image_id"]]
        shape = (row["height"], row["width"], row["channels"])
        image, mask = row.pop("image_tensor"), row.pop("mask_tensor")
        assert np.array_equal(np.frombuffer(image, np.uint8).reshape(shape), sample.image)
        assert (mask is None) == (sample.mask is None)
        if sample.mask is not None:
            assert np.array_equal(np.frombuffer(mask, np.uint8).reshape(shape[:2]), sample.mask)
        named = {name: value for name, value in sample.row.items() if name not in without}
        assert row == named


def test_duckdb_reads_what_the_database_has(exported: Path, database: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        files = f"{exported}/**/*.parquet"
        rows = connection.execute("FROM read_parquet(?)", [files]).to_arrow_table().to_pylist()
    assert_equal(rows, database)


def test_polars_reads_what_the_database_has(exported: Path, database: Path) -> None:
    polars = pytest.importorskip("polars")
    assert_equal(polars.read_parquet(exported / "data").to_dicts(), database)
    lazily = polars.scan_parquet(exported / "data").filter(category="carpet").collect()
    assert lazily["image_id"].to_list() == [
        "mvtec_ad/carpet/test/hole/000.png",
        "mvtec_ad/carpet/train/good/000.png",
    ]


@pytest.mark.parametrize("folder", ["", "data"])
def test_pyarrow_reads_what_the_database_has(exported: Path, database: Path, folder: str) -> None:
    assert_equal(pq.read_table(exported / folder).to_pylist(), database)
    dataset = pyarrow.dataset.dataset(exported / folder, partitioning="hive")
    assert_equal(dataset.to_table().to_pylist(), database)


def test_datasets_reads_what_the_database_has(
    exported: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(
        "parquet", data_files=f"{exported}/**/*.parquet", split="train", cache_dir=str(tmp_path)
    )
    assert_equal(found.to_list(), database, without=parquet.PARTITIONED_BY)


def test_the_schema_says_the_shape_of_the_tensors(exported: Path, database: Path) -> None:
    for path in exported.rglob("*.parquet"):
        schema = pq.read_schema(path)
        assert schema.metadata[b"snapshot_id"].decode() == snapshot_id(database)
        for name, shape, sides in (
            ("image_tensor", [8, 6, 3], ["height", "width", "channels"]),
            ("mask_tensor", [8, 6], ["height", "width"]),
        ):
            field = schema.field(name)
            assert field.type == pa.binary()
            assert field.metadata[b"dtype"] == b"uint8"
            assert json.loads(field.metadata[b"shape"]) == shape
            assert json.loads(field.metadata[b"dim_names"]) == sides


def test_columns_are_those_of_samples_in_their_order(exported: Path, database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute("DESCRIBE main.samples").fetchall()
    columns = [row[0] for row in rows if row[0] not in parquet.PARTITIONED_BY]
    (path, *_) = exported.rglob("*.parquet")
    assert pq.read_schema(path).names == columns


def test_a_category_has_a_folder_of_its_own(exported: Path) -> None:
    found = {
        path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()
    }
    assert found == {
        MARKER,
        "data/source_dataset=dagm_2007/category=Class1/part-0000.parquet",
        "data/source_dataset=mvtec_ad/category=bottle/part-0000.parquet",
        "data/source_dataset=mvtec_ad/category=carpet/part-0000.parquet",
    }


def test_grey_tensors_have_one_channel(grey_database: Path, tmp_path: Path) -> None:
    to_parquet(tmp_path / "export", grey_database)
    table = pq.read_table(tmp_path / "export")
    assert json.loads(table.schema.field("image_tensor").metadata[b"shape"]) == [8, 6, 1]
    assert_equal(table.to_pylist(), grey_database)


def test_row_groups_end_when_they_hold_enough_bytes(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomaly_assets.export.selection._LARGEST_BATCH", 1)
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 600)
    to_parquet(tmp_path / "export", database, category="bottle")
    (path,) = (tmp_path / "export").rglob("*.parquet")
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert sum(groups) == 5
    assert max(groups) < 5
    assert {row["image_id"] for row in pq.read_table(path).to_pylist()} == set(
        stored(database, "category = 'bottle'")
    )


def test_categories_of_any_name_come_back_from_their_folder(tmp_path: Path) -> None:
    names = ["a b", "ü%=&+", "new\nline", "it's", "..", "Case", "case", "x" * 200]
    kept = [name for name in names if name != ".."]
    pictures = {f"mvtec_ad/{name}/train/good/0.png": noise(n) for n, name in enumerate(kept)}
    database = publish_pictures(tmp_path, pictures)
    to_parquet(tmp_path / "export", database)
    table = pq.read_table(tmp_path / "export")
    assert sorted(table["category"].to_pylist()) == sorted(kept)
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT category FROM read_parquet(?)", [f"{tmp_path}/export/**/*.parquet"]
        ).fetchall()
    assert sorted(row[0] for row in found) == sorted(kept)
    polars = pytest.importorskip("polars")
    read = polars.read_parquet(tmp_path / "export" / "data")
    assert sorted(read["category"].to_list()) == sorted(kept)
    folders = [path.name.casefold() for path in (tmp_path / "export").rglob("category=*")]
    assert len(folders) == len(set(folders)) == len(kept)


def test_a_category_whose_folder_would_have_too_long_a_name_is_shortened(tmp_path: Path) -> None:
    names = ["y" * 255, "y" * 254, "\N{CROCODILE}" * 60]
    pictures = {f"mvtec_ad/{name}/train/good/0.png": noise(n) for n, name in enumerate(names)}
    database = publish_pictures(tmp_path, pictures)
    to_parquet(tmp_path / "export", database)
    table = pq.read_table(tmp_path / "export")
    assert len(set(table["category"].to_pylist())) == 3
    assert sorted(table["image_id"].to_pylist()) == sorted(stored(database))
