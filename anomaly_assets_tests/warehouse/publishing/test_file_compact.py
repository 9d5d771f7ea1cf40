"""Test dead rows: a bloated warehouse is rewritten, a compact one is copied byte by byte."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.warehouse.file import compact
from anomaly_assets.warehouse.file import duckdb_settings as instance
from anomaly_assets.warehouse.file import publish as publishing
from anomaly_assets_tests.warehouse.project import SPEC, Project, without_zones

COLUMNS = """
    SELECT schema_name, table_name, column_name, comment,
        replace(data_type, ' WITH TIME ZONE', '') AS data_type
    FROM duckdb_columns() WHERE NOT internal AND NOT ends_with(schema_name, '_staging') ORDER BY ALL
"""
COMMENTS = """
    SELECT schema_name, table_name, comment FROM duckdb_tables()
    WHERE NOT internal AND NOT ends_with(schema_name, '_staging')
    UNION ALL
    SELECT schema_name, view_name, comment FROM duckdb_views() WHERE NOT internal
    ORDER BY ALL
"""
SETTINGS = """
    SELECT name, value FROM duckdb_settings()
    UNION ALL SELECT 'attached', database_name FROM duckdb_databases() ORDER BY ALL
"""

BLOATED_BYTES, COMPACT_BYTES = 30_000_000, 15_000_000
"""A warehouse with deleted rows is larger than the first, one without them is smaller than the second."""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "shared" / "team.duckdb"


@pytest.fixture
def bloated(project: Project) -> Project:
    """Delete 30 MB from a warehouse."""
    project.rows("CREATE TABLE gone AS SELECT repeat('x' || range, 100) AS text FROM range(60_000)")
    # Data after the rows keeps DuckDB from truncating the file.
    project.rows("CREATE TABLE kept AS SELECT repeat('y' || range, 100) AS text FROM range(2_000)")
    project.rows("DROP TABLE gone")
    assert project.warehouse.path.stat().st_size > BLOATED_BYTES
    return project


@pytest.fixture
def no_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat small files like large ones."""
    monkeypatch.setattr(publishing, "_SMALL_BYTES", 0)


def schema_of(path: Path) -> list[list[tuple]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        found = [connection.execute(query).fetchall() for query in (COLUMNS, COMMENTS)]
    of_one_place = {"identity", "owners", "published_files", "intended_publication"}
    return [[row for row in rows if not of_one_place & set(row[:2])] for rows in found]


@pytest.mark.slow
@pytest.mark.usefixtures("no_allowance")
def test_a_bloated_warehouse_is_published_and_replaced_without_its_dead_rows(
    bloated: Project, target: Path
) -> None:
    inode, schema = bloated.warehouse.path.stat().st_ino, schema_of(bloated.warehouse.path)
    tensors = bloated.rows("FROM image_tensors ORDER BY image_id")

    publication = bloated.warehouse.publish(target, SPEC)

    assert publication.details["file_bytes"] < COMPACT_BYTES
    assert bloated.warehouse.path.stat().st_size < COMPACT_BYTES
    assert bloated.warehouse.path.stat().st_ino != inode
    assert schema_of(target) == schema
    assert schema_of(bloated.warehouse.path) == schema
    assert bloated.rows("FROM image_tensors ORDER BY image_id") == tensors
    with duckdb.connect(str(target), read_only=True) as connection:
        assert connection.execute(
            "FROM anomaly.image_tensors ORDER BY image_id"
        ).fetchall() == without_zones(tensors)
    assert bloated.warehouse.differences(target) == []


@pytest.mark.slow
@pytest.mark.usefixtures("no_allowance")
@pytest.mark.parametrize("fails", [False, True])
def test_a_rewrite_leaves_no_trace_in_the_duckdb_that_others_go_on_with(
    bloated: Project, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    with bloated.warehouse.locked():
        before = bloated.rows(SETTINGS)
        if fails:
            monkeypatch.setattr(publishing, "_beside", lambda _: nullcontext(tmp_path))  # no file
            with pytest.raises(duckdb.IOException):
                bloated.warehouse.publish(target, SPEC)
        else:
            bloated.warehouse.publish(target, SPEC)
        assert bloated.rows(SETTINGS) == before


@pytest.mark.slow
@pytest.mark.usefixtures("no_allowance")
def test_a_rewritten_warehouse_goes_on_working(bloated: Project, target: Path) -> None:
    bloated.warehouse.publish(target, SPEC)
    assert not bloated.warehouse.publish(target, SPEC).written
    assert bloated.build().decoded == 0
    bloated.rows("UPDATE image_tensors SET run_id = 'second'")
    bloated.refresh_all()
    assert bloated.warehouse.publish(target, SPEC).written
    assert bloated.warehouse.differences(target) == []
    assert sorted(path.name for path in target.parent.iterdir()) == ["team.duckdb"]
    assert not [path for path in bloated.folder.iterdir() if "unfinished" in path.name]


@pytest.mark.slow
@pytest.mark.usefixtures("no_allowance")
def test_tensors_that_do_not_fit_into_memory_are_rewritten_in_parts(
    bloated: Project, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rewrite in parts, because a row group is 6 GB at 1024 x 1024 x 3."""
    tensors = bloated.rows("FROM image_tensors ORDER BY image_id")
    monkeypatch.setattr(instance, "_ROW_GROUP_BYTES", 0)
    monkeypatch.setattr(instance, "COPIED_BYTES", 3 * SPEC.tensor_bytes)
    parts: list[str] = []
    real = compact._parts

    def noted(*given: Any) -> list[str]:
        parts.extend(real(*given))
        return parts

    monkeypatch.setattr(compact, "_parts", noted)
    bloated.warehouse.publish(target, SPEC)
    assert bloated.rows("FROM image_tensors ORDER BY image_id") == tensors
    assert len(parts) == -(-len(tensors) // 3) == 3
    assert bloated.warehouse.differences(target) == []


@pytest.mark.usefixtures("no_allowance")
def test_rewritten_tensors_stay_uncompressed(bloated: Project, target: Path) -> None:
    bloated.warehouse.publish(target, SPEC)
    query = """
        SELECT DISTINCT column_name, compression FROM pragma_storage_info('image_tensors')
        WHERE column_name IN ('image_tensor', 'mask_tensor') AND segment_type = 'BLOB' ORDER BY ALL
    """
    for path in (target, bloated.warehouse.path):
        with duckdb.connect(str(path), read_only=True) as connection:
            assert connection.execute(query).fetchall() == [
                ("image_tensor", "Uncompressed"),
                ("mask_tensor", "Uncompressed"),
            ]


@pytest.mark.slow
@pytest.mark.usefixtures("no_allowance")
def test_a_slightly_bloated_warehouse_is_rewritten_for_people_and_stays_as_it_is(
    bloated: Project, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "REWRITE_RATIO", 1e9)
    inode = bloated.warehouse.path.stat().st_ino
    assert bloated.warehouse.publish(target, SPEC).details["file_bytes"] < COMPACT_BYTES
    assert bloated.warehouse.path.stat().st_ino == inode
    assert bloated.warehouse.path.stat().st_size > BLOATED_BYTES


@pytest.mark.slow
@pytest.mark.usefixtures("no_allowance")
def test_a_bloated_warehouse_behind_a_link_is_replaced_where_it_lies(
    bloated: Project, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    real = (tmp_path / "disk" / "warehouse.duckdb").resolve()
    bloated.warehouse.path.rename(real)
    bloated.warehouse.path.symlink_to(real)
    linked = Project.at(bloated.folder, bloated.roots_folder)
    linked.warehouse.publish(target, SPEC)
    assert (bloated.folder / "warehouse.duckdb").is_symlink()
    assert real.stat().st_size < COMPACT_BYTES
    assert linked.warehouse.differences(target) == []


@pytest.mark.slow
def test_a_compact_warehouse_is_copied_as_it_is(
    project: Project, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten: list[object] = []
    monkeypatch.setattr(publishing, "write_compact", lambda *given: rewritten.append(given))
    assert project.warehouse.publish(target, SPEC).written
    assert rewritten == []
    assert project.warehouse.differences(target) == []


@pytest.mark.slow
@pytest.mark.usefixtures("no_allowance")
def test_a_disk_that_fills_up_while_the_warehouse_is_replaced_loses_nothing(
    bloated: Project, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "copy_file", fails)
        with pytest.raises(OSError, match="No space left"):
            bloated.warehouse.publish(target, SPEC)
    assert list(target.parent.iterdir()) == []
    assert not [path for path in bloated.folder.iterdir() if "unfinished" in path.name]
    assert bloated.column("SELECT count(*) FROM samples") == [9]
    assert bloated.warehouse.publish(target, SPEC).written
