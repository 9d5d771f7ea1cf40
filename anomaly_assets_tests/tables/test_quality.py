"""Test the tables of the results of all checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

import duckdb
import pytest

from anomaly_assets.tables import checks, quality
from anomaly_assets.tables.quality import QUALITY_TABLES, failed, update_quality
from anomaly_assets_tests.sampled import SAMPLED
from anomaly_assets_tests.warehouse.project import Project

CRACK = "mvtec_ad/bottle/test/crack/000.png"
MASKS = "anomalous_images_have_masks"
HOLE = "mvtec_ad/carpet/test/hole/000.png"


@pytest.fixture
def connection(project: Project) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse of nine images without faults."""
    with project.warehouse.connect() as connection:
        yield connection


def test_every_check_of_the_warehouse_has_a_row_but_the_one_on_the_published_database(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    update_quality(connection)
    expected = {(asset, check.name) for asset, of in checks.CHECKS.items() for check in of}
    for name in SAMPLED:
        expected |= {(f"{name}/stray_files", check.name) for check in checks.STRAY_CHECKS}
    found = connection.execute("SELECT asset, check_name FROM quality").fetchall()
    assert {*found} == expected
    assert len(found) == len(expected)


def test_a_failed_check_has_its_count_a_sentence_and_a_query_for_what_is_affected(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("UPDATE mvtec_ad.images SET mask_relative_path = NULL")
    connection.execute("INSERT INTO dagm_2007.stray_files VALUES ('a.txt', 'unknown', NULL, '1.5')")
    update_quality(connection)
    found = {row.check_name: row for row in failed(connection)}
    masks, files = found["anomalous_images_have_masks"], found["files_are_recognised"]
    assert (masks.asset, masks.severity, masks.affected) == ("samples", "warning", 2)
    assert masks.sentence == (
        "2 anomalous images have no mask. Add the missing mask files, or exclude them from pixel-level "
        "evaluation."
    )
    assert (files.asset, files.affected) == ("dagm_2007/stray_files", 1)
    assert connection.execute(f"SELECT image_id, split FROM ({masks.query})").fetchall() == [
        (CRACK, "test"),
        (HOLE, "test"),
    ]
    assert connection.execute(str(files.query)).fetchall() == [
        ("dagm_2007/stray_files", "files_are_recognised", 1, None, "a.txt", "unknown")
    ]


@pytest.mark.slow
def test_a_passed_check_has_the_property_or_says_that_there_is_nothing_to_check(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    query = "SELECT sentence, query FROM quality WHERE check_name = 'masks_are_binary'"
    update_quality(connection)
    assert connection.execute(query).fetchall() == [
        ("Every mask file has at most two grey values.", None)
    ]
    connection.execute("DELETE FROM image_tensors")
    update_quality(connection)
    assert connection.execute(query).fetchall() == [
        ("Nothing to check yet: no image is decoded.", None)
    ]


def test_checks_of_the_baseline_have_nothing_to_check_until_something_was_judged(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    query = """
        SELECT sentence LIKE 'Nothing to check yet: no category was evaluated%' FROM quality
        WHERE check_name IN ('detail_is_kept', 'labels_fit_the_scores') ORDER BY asset
    """
    update_quality(connection)
    assert connection.execute(query).fetchall() == [(True,), (True,)]
    connection.execute(
        "INSERT INTO evaluations (source_dataset, category, recipe, status, inputs, backbone, bank_images, "
        "bank_patches, images_scored, images_good, images_anomalous, left_out, threshold, evaluated_at, "
        "seconds) VALUES ('mvtec_ad', 'bottle', '8x6x3', 'measured', '', '', 0, 0, 0, 0, 0, MAP {}, 1, "
        "now(), 0)"
    )
    update_quality(connection)
    assert connection.execute(query).fetchall() == [(True,), (False,)]


def test_copies_of_one_content_are_all_named(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "INSERT INTO duplicate_images VALUES ('00', 2, ?, true, false, false)", [[CRACK, HOLE]]
    )
    update_quality(connection)
    query = "SELECT image_id, detail FROM quality_images WHERE asset = 'duplicate_images'"
    assert connection.execute(query).fetchall() == [(CRACK, HOLE), (HOLE, None)]
    [row] = [row for row in failed(connection) if row.asset == "duplicate_images"]
    assert row.affected == 1


def test_what_is_affected_is_bounded_and_counted(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "MOST_AFFECTED", 1)
    connection.execute("UPDATE mvtec_ad.images SET mask_relative_path = NULL")
    update_quality(connection)
    query = f"SELECT image_id FROM quality_images WHERE check_name = '{MASKS}'"
    assert connection.execute(query).fetchall() == [(CRACK,)]
    [row] = [row for row in failed(connection) if row.check_name == MASKS]
    assert row.affected == 2
    assert row.sentence.startswith("2 anomalous images have no mask. Add")


def test_the_same_results_are_not_written_again(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("UPDATE mvtec_ad.images SET mask_relative_path = NULL")
    results = update_quality(connection)
    rows = [f"SELECT rowid, * FROM {name}" for name in QUALITY_TABLES]
    before = [connection.execute(query).fetchall() for query in rows]
    assert update_quality(connection) == results
    assert [connection.execute(query).fetchall() for query in rows] == before


def test_a_check_whose_table_was_never_made_has_no_row(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("DROP VIEW anomaly.duplicate_images; DROP TABLE duplicate_images")
    update_quality(connection)
    query = "SELECT DISTINCT asset FROM quality WHERE asset IN ('duplicate_images', 'images')"
    assert connection.execute(query).fetchall() == [("images",)]


def test_source_datasets_that_the_process_does_not_know_are_checked_too(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = update_quality(connection)
    monkeypatch.setattr(checks, "SOURCE_DATASETS", {"dagm_2007": SAMPLED["dagm_2007"]})
    of_process = "counts_equal_the_official_ones"  # counts are read from the declarations
    assert [row for row in update_quality(connection) if row.check_name != of_process] == [
        row for row in results if row.check_name != of_process
    ]


def test_rows_of_an_earlier_release_are_none(connection: duckdb.DuckDBPyConnection) -> None:
    update_quality(connection)
    assert [astuple(row) for row in failed(connection)] == connection.execute(
        "FROM quality WHERE NOT passed"
    ).fetchall()
    connection.execute("DROP VIEW anomaly.quality; DROP TABLE quality")
    assert failed(connection) == []
