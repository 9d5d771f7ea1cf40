"""Test behaviour of dlt and DuckDB that this project relies on: a failure means "upstream changed"."""

from pathlib import Path
from typing import Any

import dlt
import duckdb
import pyarrow as pa
import pytest
from dlt.pipeline.pipeline import Pipeline

SCHEMA = pa.schema([pa.field("path", pa.string(), nullable=False), pa.field("note", pa.string())])

CDC = {"disposition": "merge", "strategy": "cdc", "skip_unchanged_rows": True}

Rows = dict[str, str | None]


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID", "true")
    monkeypatch.setenv("LOAD__TRUNCATE_STAGING_DATASET", "true")
    return dlt.pipeline(
        "upstream",
        pipelines_dir=str(tmp_path / "dlt"),
        destination=dlt.destinations.duckdb(str(tmp_path / "file.duckdb")),
        dataset_name="upstream",
    )


def table_of(rows: Rows) -> pa.Table:
    return pa.table([list(rows), list(rows.values())], schema=SCHEMA)


def merge(pipeline: Pipeline, *tables: pa.Table, **options: str) -> None:
    disposition: Any = {**CDC, **options}

    @dlt.resource(name="files", primary_key="path", write_disposition=disposition)
    def files() -> Any:
        yield from tables

    pipeline.run(files())


def stored(tmp_path: Path) -> dict[str, tuple[str | None, str]]:
    with duckdb.connect(str(tmp_path / "file.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT path, note, _dlt_load_id FROM upstream.files").fetchall()
    return {path: (note, load_id) for path, note, load_id in rows}


@pytest.mark.slow
def test_a_cdc_merge_deletes_inside_its_destination_scope_only(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    merge(pipeline, table_of({"a/1": "x", "a/2": "x", "b/1": "x", "c/1": "x"}))
    merge(pipeline, table_of({"a/1": "x", "a/2": "x", "b/1": "x"}))
    assert set(stored(tmp_path)) == {"a/1", "a/2", "b/1"}
    merge(pipeline, table_of({"a/1": "x"}), destination_scope="split_part(path, '/', 1) = 'a'")
    assert set(stored(tmp_path)) == {"a/1", "b/1"}


@pytest.mark.slow
def test_unchanged_rows_keep_their_load_id_and_null_is_a_value(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    merge(
        pipeline, table_of({"same": "x", "null": None, "gains": None, "loses": "x", "other": "x"})
    )
    before = stored(tmp_path)
    merge(
        pipeline, table_of({"same": "x", "null": None, "gains": "x", "loses": None, "other": "y"})
    )
    after = stored(tmp_path)
    assert {path for path in after if after[path][1] != before[path][1]} == {
        "gains",
        "loses",
        "other",
    }
    assert {path: note for path, (note, _) in after.items()} == {
        "same": "x",
        "null": None,
        "gains": "x",
        "loses": None,
        "other": "y",
    }


@pytest.mark.slow
def test_an_empty_table_empties_the_scope_and_nothing_at_all_changes_nothing(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    merge(pipeline, table_of({"a/1": "x", "b/1": "x"}))
    before = stored(tmp_path)
    merge(pipeline)
    assert stored(tmp_path) == before
    merge(pipeline, table_of({}), destination_scope="split_part(path, '/', 1) = 'a'")
    assert stored(tmp_path) == {"b/1": before["b/1"]}


@pytest.mark.slow
def test_a_pending_package_is_loaded_in_place_of_new_data(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    # The reason why the working folder is wiped before each load.
    merge(pipeline, table_of({"a/1": "x"}))
    pipeline.extract([table_of({"stale": "x"})], table_name="files", write_disposition="append")
    merge(pipeline, table_of({"fresh": "x"}))
    assert set(stored(tmp_path)) == {"a/1", "stale"}
