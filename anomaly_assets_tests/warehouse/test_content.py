"""Test that the id of a snapshot does not depend on how the rows are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import duckdb
import pytest

from anomaly_assets.tables.registry import SUMMARIES
from anomaly_assets.tables.source_datasets import stored_datasets
from anomaly_assets.warehouse import content
from anomaly_assets.warehouse.content import content_id
from anomaly_assets_tests.warehouse.project import Project

OF_RELEASE_0_2 = (
    "SELECT encode(row::VARCHAR) FROM (SELECT * EXCLUDE (attributes) FROM images) AS row ORDER BY image_id",
    "SELECT encode(row::VARCHAR) FROM "
    "(SELECT image_id, file_format, bit_depth, mask_file_format FROM facts) AS row ORDER BY image_id",
    "SELECT encode(row::VARCHAR) FROM "
    "(SELECT * EXCLUDE (image_tensor, mask_tensor) FROM image_tensors) AS row ORDER BY image_id",
    "SELECT encode(row::VARCHAR) FROM rejected_images AS row ORDER BY relative_path, image_id",
    "SELECT encode(row::VARCHAR) FROM strays AS row ORDER BY source_dataset, relative_path",
)
STRAYS = """
CREATE TEMP VIEW strays AS
SELECT 'dagm_2007' AS source_dataset, relative_path, reason, detail, _dlt_load_id FROM dagm_2007.stray_files
UNION ALL
SELECT 'mvtec_ad' AS source_dataset, relative_path, reason, detail, _dlt_load_id FROM mvtec_ad.stray_files
"""
"""The union over both datasets, written out."""


def id_of_release_0_2(connection: duckdb.DuckDBPyConnection) -> str:
    connection.execute(STRAYS)
    rows = [row for query in OF_RELEASE_0_2 for (row,) in connection.execute(query).fetchall()]
    digest = hashlib.sha256(repr((hashlib.sha256(b"\n".join(rows)).hexdigest(),)).encode())
    for name in SUMMARIES:
        found = connection.execute("FROM query_table($name) ORDER BY ALL", {"name": name})
        digest.update(repr((name, found.fetchall())).encode())
    for held in stored_datasets(connection).values():
        declared = (held.source_dataset, held.title, held.licence, held.definition_digest)
        digest.update(repr(declared).encode())
    return digest.hexdigest()


@pytest.fixture
def connection(project: Project) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a warehouse with rows in every table that is digested."""
    with project.warehouse.connect() as connection:
        connection.execute(
            """
            INSERT INTO rejected_images BY NAME
            SELECT image_id, relative_path, file_version, 'any' AS transform, 'damaged' AS reason,
                'né' AS detail, TIMESTAMPTZ '2026-01-02 03:04:05.678+00' AS rejected_at
            FROM images
            """
        )
        for name in ("mvtec_ad", "dagm_2007"):
            connection.execute(
                f"INSERT INTO {name}.stray_files "
                "SELECT relative_path || '.txt', 'junk', NULL, '1' FROM images"
            )
        yield connection


@pytest.mark.parametrize("rows_at_once", [1, 2, 5, 1000])
def test_reading_by_ranges_of_keys_gives_the_id_of_earlier_releases(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    expected = id_of_release_0_2(connection)
    monkeypatch.setattr(content, "ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr(content, "_FETCHED_AT_ONCE", 2)
    assert content_id(connection) == expected


def test_rows_are_not_collected(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_FETCHED_AT_ONCE", 2)
    connection.execute("INSERT INTO image_tensors BY NAME FROM image_tensors")
    parts = content._contents(
        connection, "SELECT image_id AS key, 'x' AS content FROM image_tensors;"
    )
    assert [len(part) for part in parts] == [2] * 9


def test_every_range_has_about_the_same_number_of_rows(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "ROWS_AT_ONCE", 1000)
    connection.execute("CREATE TABLE many AS SELECT md5(range::VARCHAR) AS key FROM range(20_000)")
    limits = content._limits(connection, "(FROM many)")
    counts = connection.execute(
        "SELECT count(*) FROM many GROUP BY len(list_filter($limits, lambda x: x <= key))",
        {"limits": limits},
    ).fetchall()
    assert len(counts) == 20
    assert max(counts) < (2000,)
