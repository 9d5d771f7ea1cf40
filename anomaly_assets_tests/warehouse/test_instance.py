"""Test the memory that DuckDB holds."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from anomaly_assets import linux
from anomaly_assets.recipes import MOST_TENSOR_BYTES, Recipe
from anomaly_assets.warehouse import buffers
from anomaly_assets.warehouse.base import ROW_GROUP_SIZE
from anomaly_assets.warehouse.buffers import collect_and_free, drop_cached, free_memory
from anomaly_assets.warehouse.file import duckdb_settings
from anomaly_assets.warehouse.file.duckdb_settings import rows_at_once, start_duckdb
from anomaly_assets.warehouse.file.warehouse import FileWarehouse

LIMIT = "SELECT current_setting('memory_limit')"


def test_dlt_loads_with_one_thread_and_later_steps_have_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the threads: each would hold row groups of the catalogue, 100 MB for 60,000 images."""
    monkeypatch.setattr(duckdb_settings, "_SMALL_BYTES", -1)  # every file is large
    query = "SELECT current_setting('threads'), current_setting('checkpoint_threshold')"
    warehouse = FileWarehouse(tmp_path / "warehouse.duckdb")
    with warehouse.connect() as connection:
        connection.execute("CREATE TABLE made (number INTEGER)")
    with warehouse.locked():
        with warehouse.connect() as connection:
            before = connection.execute(query).fetchall()
        with warehouse.loading() as target:
            target.connection.execute("SET checkpoint_threshold = '1 GB'")  # as dlt does
            assert target.connection.execute("SELECT current_setting('threads')").fetchall() == [
                (1,)
            ]
        with warehouse.connect() as connection:
            assert connection.execute(query).fetchall() == before


@pytest.mark.parametrize(("side", "rows"), [(64, 2048), (256, 2048), (419, 254), (512, 170)])
def test_a_transaction_is_a_row_group_or_128_mb(side: int, rows: int) -> None:
    assert rows_at_once(Recipe(side, side).tensor_bytes) == rows


@pytest.mark.parametrize("tensor_bytes", [1, 200_000, MOST_TENSOR_BYTES, 10**10])
def test_a_transaction_has_a_row_and_no_more_than_a_row_group(tensor_bytes: int) -> None:
    assert 1 <= rows_at_once(tensor_bytes) <= ROW_GROUP_SIZE


@pytest.mark.slow
def test_what_was_read_is_dropped_and_the_limit_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "KEPT_BYTES", 1_000_000)
    path = tmp_path / "large.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE held AS SELECT md5(range::VARCHAR) AS text FROM range(500_000)"
        )
    with start_duckdb(path) as connection:
        connection.execute(f"ATTACH '{path}' AS large (READ_ONLY)")
        limit = connection.execute(LIMIT).fetchall()
        connection.execute("SELECT max(text) FROM large.held").fetchall()
        assert _held(connection) > 5_000_000
        for _ in range(3):
            drop_cached(connection)
        assert _held(connection) < 1_000_000
        assert connection.execute(LIMIT).fetchall() == limit
        # The limit also holds: this needs more than what it was lowered to.
        connection.execute(
            "CREATE TEMP TABLE made AS SELECT repeat('x', 10_000_000) || range FROM range(20)"
        )


@pytest.mark.slow
def test_what_is_in_use_is_not_dropped(tmp_path: Path) -> None:
    with start_duckdb(tmp_path / "none.duckdb") as connection:
        connection.execute("SET temp_directory = ''")
        connection.execute(
            "CREATE TABLE made AS SELECT repeat('x', 10_000_000) || range FROM range(20)"
        )
        limit = connection.execute(LIMIT).fetchall()
        drop_cached(connection)
        assert connection.execute(LIMIT).fetchall() == limit
        assert connection.execute("SELECT count(*) FROM made").fetchall() == [(20,)]


def _held(connection: duckdb.DuckDBPyConnection) -> int:
    query = "SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory() WHERE tag = 'BASE_TABLE'"
    return int(connection.execute(query).fetchall()[0][0])


def test_a_small_file_is_read_by_one_thread(tmp_path: Path) -> None:
    def threads(path: Path) -> int:
        with start_duckdb(path) as connection:
            [(count,)] = connection.execute("SELECT current_setting('threads')").fetchall()
        return int(count)

    with duckdb.connect(":memory:") as connection:
        [(default,)] = connection.execute("SELECT current_setting('threads')").fetchall()
    path = tmp_path / "warehouse.duckdb"
    assert threads(path) == 1
    path.touch()
    os.truncate(path, 32 * 1024 * 1024)
    assert threads(path) == 1
    os.truncate(path, 32 * 1024 * 1024 + 1)
    assert threads(path) == default


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read there")
def test_freed_memory_goes_back_to_the_system(tmp_path: Path) -> None:
    """Sort a million rows: without `free_memory`, DuckDB keeps most of what it needed."""
    query = "SELECT md5(range::VARCHAR) AS text FROM range(1_000_000) ORDER BY text"
    with start_duckdb(tmp_path / "none.duckdb") as connection:
        limit = connection.execute(LIMIT).fetchall()
        assert connection.execute(query).to_arrow_table().num_rows == 1_000_000
        before = _resident_pages()
        for _ in range(3):
            free_memory(connection)
        assert before - _resident_pages() > 10_000
        assert connection.execute(LIMIT).fetchall() == limit


def _resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_collected_first(tmp_path: Path) -> None:
    garbage = weakref.ref(Cycle())
    assert garbage() is not None
    with start_duckdb(tmp_path / "none.duckdb") as connection:
        collect_and_free(connection)
    assert garbage() is None


def test_a_limit_is_restored_whatever_happens(tmp_path: Path) -> None:
    """Lower it where a temporary table cannot be written to the disk."""
    with start_duckdb(tmp_path / "none.duckdb") as connection:
        (tmp_path / "file").touch()
        connection.execute(f"SET temp_directory = '{tmp_path / 'file' / 'none'}'")
        connection.execute("CREATE TEMP TABLE held AS SELECT range AS number FROM range(1_000_000)")
        limit = connection.execute(LIMIT).fetchall()
        with suppress(duckdb.IOException):
            drop_cached(connection, kept_bytes=0)
        assert connection.execute(LIMIT).fetchall() == limit


def test_freeing_memory_keeps_the_rows_of_a_query(tmp_path: Path) -> None:
    with start_duckdb(tmp_path / "none.duckdb") as connection:
        found = connection.execute("FROM range(3)")
        assert found.fetchone() == (0,)
        free_memory(connection)
        assert found.fetchone() == (1,)


@pytest.mark.parametrize("library", [None, object()])
def test_without_glibc_nothing_is_returned(
    monkeypatch: pytest.MonkeyPatch, library: object
) -> None:
    monkeypatch.setattr(linux, "_libc", lambda: library)
    assert not linux.return_freed_memory()
