"""Test what the queries of several checks share, and that it does not change their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pytest

from anomaly_assets.tables import check_queries
from anomaly_assets.tables.check_queries import CheckQueries
from anomaly_assets.tables.checks import CHECKS, evaluate
from anomaly_assets.tables.quality import QUALITY_TABLES, update_quality
from anomaly_assets_tests.warehouse.project import Project

AT_HAND = "SELECT count(*) FROM duckdb_tables() WHERE temporary AND table_name = 'effective_images'"
NAMES = ("checks/masks_are_not_empty", "checks/training_images_are_good")


@pytest.fixture
def connection(project: Project) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse of nine images without faults."""
    with project.warehouse.connect() as connection:
        yield connection


def made(connection: duckdb.DuckDBPyConnection) -> bool:
    return connection.execute(AT_HAND).fetchall() == [(1,)]


def test_labels_are_kept_while_several_queries_read_them(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    queries = CheckQueries(connection)
    with queries.labels_at_hand(NAMES):
        assert made(connection)
        with queries.labels_at_hand(NAMES):  # checks of one asset, among those of all
            pass
        assert made(connection)
    assert not made(connection)
    with queries.labels_at_hand(NAMES[:1]):
        assert not made(connection)


def test_labels_of_a_large_warehouse_are_not_kept(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(images,)] = connection.execute("SELECT count(*) FROM effective_images").fetchall()
    monkeypatch.setattr(check_queries, "MOST_AT_HAND", images - 1)
    with CheckQueries(connection).labels_at_hand(NAMES):
        assert not made(connection)
    monkeypatch.setattr(check_queries, "MOST_AT_HAND", images)
    with CheckQueries(connection).labels_at_hand(NAMES):
        assert made(connection)


def test_without_the_view_there_is_nothing_to_keep(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DROP VIEW effective_images")
    with CheckQueries(connection).labels_at_hand(NAMES):
        assert not made(connection)


def test_a_check_sees_what_changed_since_the_last_one(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    def failed() -> set[str]:
        found = evaluate(connection, *CHECKS["samples"])
        return {check.name for check, finding in found if not finding.passed}

    before = failed()
    connection.execute("UPDATE mvtec_ad.images SET mask_relative_path = NULL")
    assert failed() - before == {"anomalous_images_have_masks"}


@pytest.mark.slow
def test_results_are_the_same_with_and_without_labels_at_hand(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("UPDATE mvtec_ad.images SET mask_relative_path = NULL")
    results: list[list[Sequence[object]]] = []
    for most in (check_queries.MOST_AT_HAND, 0):
        monkeypatch.setattr(check_queries, "MOST_AT_HAND", most)
        results.append(
            [
                update_quality(connection),
                *(
                    connection.execute(f"FROM {name} ORDER BY ALL").fetchall()
                    for name in QUALITY_TABLES
                ),
            ]
        )
    assert results[0] == results[1]
    assert len(results[0][2]) > 1
