"""Test the history of the catalogue, load by load."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.tables.ddl import refresh
from anomaly_assets.warehouse.content import content_id
from anomaly_assets_tests.warehouse.project import Project, mask, noise

MVTEC = SOURCE_DATASETS["mvtec_ad"]
COUNTS = """
    SELECT rows_inserted, rows_updated, rows_deleted, stray_changes, status
    FROM load_history ORDER BY loaded_at
"""


@pytest.fixture(scope="module")
def loaded_twice(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Load six images; then change one, remove one, add two, and add a mask without an image."""
    project = Project.at(tmp_path_factory.mktemp("history"))
    good = "mvtec_ad/bottle/train/good"
    project.save({f"{good}/{number:03}.png": noise(number) for number in range(6)})
    root = str(project.folder / "mvtec_ad")
    load(MVTEC, root, project.warehouse)
    project.save({f"{good}/000.png": noise(70), f"{good}/008.png": noise(8)})
    project.save({f"{good}/009.png": noise(9)})
    project.save({"mvtec_ad/bottle/ground_truth/crack/000_mask.png": mask()})
    project.path(f"{good}/005.png").unlink()
    load(MVTEC, root, project.warehouse)
    load(MVTEC, root, project.warehouse)
    project.refresh_all()
    return project


@pytest.mark.slow
def test_history_has_one_row_per_load_that_changed_something(loaded_twice: Project) -> None:
    assert loaded_twice.rows(COUNTS) == [(6, 0, 0, 0, "completed"), (2, 1, 1, 1, "completed")]


def test_rows_name_the_load_that_changed_them_last(loaded_twice: Project) -> None:
    assert loaded_twice.rows(
        """
        SELECT list(filename ORDER BY filename)
        FROM load_history JOIN images ON _dlt_load_id = load_id
        GROUP BY loaded_at ORDER BY loaded_at
        """
    ) == [
        (["001.png", "002.png", "003.png", "004.png"],),
        (["000.png", "008.png", "009.png"],),
    ]


def test_a_load_records_the_terms_of_its_declaration(loaded_twice: Project) -> None:
    """Check that a warehouse of an earlier release gets them with its next load, and keeps its content."""
    terms = "SELECT commercial_use, citation FROM source_datasets"
    expected = [("forbidden", MVTEC.declaration.citation)]
    assert loaded_twice.rows(terms) == expected
    with loaded_twice.warehouse.connect() as connection:
        before = content_id(connection)
        for column in ("commercial_use", "citation"):
            connection.execute(f"ALTER TABLE source_datasets DROP COLUMN {column}")
    load(MVTEC, str(loaded_twice.folder / "mvtec_ad"), loaded_twice.warehouse)
    assert loaded_twice.rows(terms) == expected
    with loaded_twice.warehouse.connect() as connection:
        assert content_id(connection) == before


def test_history_says_which_source_dataset_was_loaded_and_when(loaded_twice: Project) -> None:
    rows = loaded_twice.rows("SELECT source_dataset, loaded_at FROM load_history")
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    assert [name for name, _ in rows] == ["mvtec_ad", "mvtec_ad"]
    assert all(0 <= (now - loaded_at).total_seconds() < 600 for _, loaded_at in rows)


def test_a_load_that_dlt_never_finished_shows_as_interrupted(loaded_twice: Project) -> None:
    with loaded_twice.warehouse.connect() as connection:
        connection.begin()
        connection.execute("DELETE FROM mvtec_ad._dlt_loads WHERE load_id = "
                           "(SELECT max(load_id) FROM mvtec_ad._dlt_loads)")  # fmt: skip
        assert connection.execute(COUNTS).fetchall() == [
            (6, 0, 0, 0, "completed"),
            (2, 1, 1, 1, "interrupted"),
        ]
        connection.rollback()


def test_loads_of_two_source_datasets_are_told_apart(project: Project) -> None:
    query = "SELECT source_dataset, rows_inserted, stray_changes FROM load_history ORDER BY ALL"
    assert project.rows(query) == [("dagm_2007", 3, 0), ("mvtec_ad", 6, 0)]


def test_history_is_empty_before_the_first_load(tmp_path: Path) -> None:
    with Project.at(tmp_path).warehouse.connect() as connection:
        refresh(connection, "load_history")
        assert connection.execute("FROM anomaly.load_history").fetchall() == []
