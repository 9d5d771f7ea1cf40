"""Test behaviour of DuckDB that this project relies on: a failure means "upstream changed"."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest


def test_a_schema_called_like_its_database_is_ambiguous(tmp_path: Path) -> None:
    """Test the reason of docs/decisions/0003."""
    with duckdb.connect(str(tmp_path / "anomaly.duckdb")) as connection:
        connection.execute("CREATE SCHEMA anomaly")
        with pytest.raises(duckdb.BinderException, match="Ambiguous reference"):
            connection.execute("CREATE TABLE anomaly.samples AS SELECT 1 AS number")
        connection.execute("CREATE TABLE anomaly.anomaly.samples AS SELECT 1 AS number")
        with pytest.raises(duckdb.BinderException, match="Ambiguous reference"):
            connection.execute("FROM anomaly.samples")


def test_without_that_schema_the_name_means_the_database(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "anomaly.duckdb")) as connection:
        connection.execute("CREATE TABLE samples AS SELECT 1 AS number")
        assert connection.execute("FROM anomaly.samples").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("file", "catalogue"),
    [
        ("anomaly.duckdb", "anomaly"),
        ("Anomaly.duckdb", "Anomaly"),
        ("anomaly.v2.duckdb", "anomaly"),
    ],
)
def test_a_database_is_called_after_its_file_up_to_the_first_dot(
    tmp_path: Path, file: str, catalogue: str
) -> None:
    with duckdb.connect(str(tmp_path / file)) as connection:
        assert connection.execute("SELECT current_database()").fetchall() == [(catalogue,)]


def test_attach_takes_a_row_group_size_and_tables_keep_to_it(tmp_path: Path) -> None:
    connection = duckdb.connect(":memory:")
    connection.execute(f"ATTACH '{tmp_path}/rows.duckdb' AS rows_ (ROW_GROUP_SIZE 2048)")
    connection.execute("CREATE TABLE rows_.numbers AS FROM range(5000)")
    query = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('rows_.numbers')"
    assert connection.execute(query).fetchall() == [(3,)]


def test_a_row_group_has_at_least_2048_rows(tmp_path: Path) -> None:
    connection = duckdb.connect(":memory:")
    with pytest.raises(duckdb.Error, match=r"(?i)row group size"):
        connection.execute(f"ATTACH '{tmp_path}/rows.duckdb' AS rows_ (ROW_GROUP_SIZE 1024)")


def test_a_view_finds_its_tables_under_whatever_name_its_file_is_attached(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "first.duckdb")) as connection:
        connection.execute("CREATE TABLE rows_ AS SELECT 7 AS number")
        connection.execute("CREATE VIEW seen AS SELECT * FROM main.rows_")
    connection = duckdb.connect(":memory:")
    connection.execute(f"ATTACH '{tmp_path}/first.duckdb' AS second (READ_ONLY)")
    assert connection.execute("FROM second.seen").fetchall() == [(7,)]


def test_a_log_that_a_killed_writer_left_is_replayed_into_whatever_file_has_its_name(
    tmp_path: Path,
) -> None:
    """Test the reason why a published file must not be swapped in beside the log of another file."""
    for name, number in (("old", 1), ("new", 2)):
        with duckdb.connect(str(tmp_path / f"{name}.duckdb")) as connection:
            connection.execute(f"CREATE TABLE kept AS SELECT {number} AS number")
    connection = duckdb.connect(str(tmp_path / "old.duckdb"))
    connection.execute("SET debug_skip_checkpoint_on_commit = true")
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    connection.execute("CREATE TABLE mine AS SELECT 3 AS number")
    connection.close()
    (tmp_path / "new.duckdb").replace(tmp_path / "old.duckdb")
    assert (tmp_path / "old.duckdb.wal").exists()
    with duckdb.connect(str(tmp_path / "old.duckdb"), read_only=True) as connection:
        assert connection.execute(
            "SELECT table_name FROM duckdb_tables() ORDER BY ALL"
        ).fetchall() == [
            ("kept",),
            ("mine",),
        ]
