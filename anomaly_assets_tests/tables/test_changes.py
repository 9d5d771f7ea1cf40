"""Test changes of the rows of a table by a refresh or a publication."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from anomaly_assets.tables.registry import TABLES
from anomaly_assets.tables.row_changes import (
    RowChanges,
    Rows,
    compare,
    hashed_rows,
    keyed_rows,
)
from anomaly_assets_tests.warehouse.project import SPEC, Project


def rows(query: str) -> Rows:
    with duckdb.connect() as connection:
        return hashed_rows(connection, query, "key, place")


def test_rows_are_new_have_other_content_are_gone_or_are_as_they_were() -> None:
    columns = "t(key, place, content)"
    before = rows(
        "FROM (VALUES ('a', NULL, [1]), ('b', 1, [1]), ('c', 1, [1, NULL]), ('d', 1, NULL)) "
        + columns
    )
    after = rows(
        "FROM (VALUES ('f', 1, NULL), ('d', 1, NULL), ('c', 1, [1, NULL]), ('b', 1, [2]), "
        "('b', NULL, [1])) " + columns
    )
    assert compare(before, after) == RowChanges(added=2, changed=1, removed=1, unchanged=2)
    assert compare(Rows(), after) == RowChanges(added=5)
    assert compare(before, Rows()) == RowChanges(removed=4)
    assert compare(Rows(), Rows()) == RowChanges()


def test_a_row_takes_sixteen_bytes() -> None:
    found = rows("SELECT range AS key, 1 AS place, repeat('x', 1000) AS c FROM range(10_000)")
    assert sum(np.asarray(hashes).nbytes for hashes in (found.keys, found.contents)) == 160_000


@pytest.mark.slow
def test_keys_identify_the_rows_of_every_table_that_is_compared(project: Project) -> None:
    project.refresh_all()
    with project.warehouse.connect() as connection:
        for name in (table.name for table in TABLES.values() if table.key):
            found = connection.execute(
                "SELECT count(*) FROM query_table($name)", {"name": name}
            ).fetchall()
            keys = np.unique(np.asarray(keyed_rows(connection, name).keys))
            assert [(len(keys),)] == found, name


def test_a_table_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    with Project.at(tmp_path).warehouse.connect() as connection:
        assert keyed_rows(connection, "dataset_summary") == Rows()


@pytest.mark.slow
def test_what_publishing_will_do_is_known_before(project: Project, tmp_path: Path) -> None:
    target = tmp_path / "published.duckdb"
    project.refresh_all()
    assert project.warehouse.changes_to_publish(target) == RowChanges(added=9)
    project.warehouse.publish(target, SPEC)
    assert project.warehouse.changes_to_publish(target) == RowChanges(unchanged=9)

    with project.warehouse.connect() as connection:
        connection.execute(
            """
            UPDATE image_tensors SET content_sha256 = 'other'
            WHERE image_id = 'mvtec_ad/bottle/test/crack/000.png'
            """
        )
        connection.execute(
            "DELETE FROM image_tensors WHERE image_id = 'mvtec_ad/carpet/test/hole/000.png'"
        )
    assert project.warehouse.changes_to_publish(target) == RowChanges(
        changed=1, removed=1, unchanged=7
    )


def test_a_published_database_that_cannot_be_read_is_as_good_as_none(
    project: Project, tmp_path: Path
) -> None:
    target = tmp_path / "published.duckdb"
    target.write_bytes(b"no database")
    project.refresh_all()
    assert project.warehouse.changes_to_publish(target) == RowChanges(added=9)
