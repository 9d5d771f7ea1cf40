"""Test the view `history`: every kind of event, newest first, from the tables that record it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.tables.ddl import ensure_tables, refresh
from anomaly_assets.tables.history import (
    EVENTS,
    Event,
    StepEvent,
    newest_events,
    note_step_events,
)
from anomaly_assets.tables.source_datasets import note_consent
from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets.warehouse.removal import forget, remove_samples
from anomaly_assets_tests.warehouse.project import SPEC, Project, noise

REFUSED = StepEvent("mvtec_ad", "refused", "The root lists 1 image.", "mvtec_ad", "/data/mvtec")
FAILED = StepEvent("samples", "failed", "OSError: no space left")


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Load six images, publish, change one, accept two losses, refuse a run, and forget the dataset."""
    project = Project.at(tmp_path_factory.mktemp("history"))
    good = "mvtec_ad/bottle/train/good"
    project.save({f"{good}/{number:03}.png": noise(number) for number in range(6)})
    root = str(project.folder / "mvtec_ad")
    load(SOURCE_DATASETS["mvtec_ad"], root, project.warehouse)
    project.refresh_all()
    project.build()
    project.refresh_all()
    project.warehouse.publish(target(project), SPEC, run_id="run 1")
    project.save({f"{good}/000.png": noise(70)})
    load(SOURCE_DATASETS["mvtec_ad"], root, project.warehouse)
    with project.warehouse.connect() as connection:
        note_consent(connection, "mvtec_ad", "shrunk_root", 4, "run 2")
        note_consent(connection, "mvtec_ad", "fewer_samples", 3, "run 2")
        note_step_events(connection, "run 3", [REFUSED, FAILED])
    return project


def target(project: Project) -> Path:
    return project.folder / "published" / "anomaly.duckdb"


def read(project: Project, **wanted: object) -> list[Event]:
    with project.warehouse.connect() as connection:
        return newest_events(connection, 100, **wanted)[0]  # type: ignore[arg-type]


@pytest.mark.slow
def test_each_event_has_a_sentence_and_the_newest_comes_first(eventful: Project) -> None:
    found = read(eventful)
    root = (eventful.folder / "mvtec_ad").as_uri()
    [snapshot] = eventful.column("SELECT snapshot_id[:12] FROM snapshots")
    assert [(each.event, each.source_dataset, each.detail, each.root_uri) for each in found] == [
        ("failed", None, FAILED.detail, None),
        ("refused", "mvtec_ad", REFUSED.detail, "/data/mvtec"),
        ("accepted", "mvtec_ad", "a publication with only 3 samples", None),
        ("accepted", "mvtec_ad", "a root with only 4 images", None),
        ("loaded", "mvtec_ad", "1 changed", root),
        ("published", None, f"6 samples of mvtec_ad, snapshot {snapshot}", None),
        ("loaded", "mvtec_ad", "6 new", root),
    ]
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    assert all(timedelta(0) <= now - each.happened_at < timedelta(minutes=10) for each in found)


def test_events_are_chosen_by_kind_and_by_source_dataset(eventful: Project) -> None:
    assert [each.event for each in read(eventful, events=("loaded", "refused"))] == [
        "refused",
        "loaded",
        "loaded",
    ]
    assert {each.event for each in read(eventful, source_dataset="dagm_2007")} == {
        "failed",
        "published",
    }
    with eventful.warehouse.connect() as connection:
        found, matching = newest_events(connection, 2)
    assert (len(found), matching) == (2, 7)


def test_a_step_of_a_run_is_recorded_once_and_its_reason_is_bounded(eventful: Project) -> None:
    with eventful.warehouse.connect() as connection:
        connection.begin()
        connection.execute("DELETE FROM run_events")
        connection.commit()
        long = StepEvent("images", "failed", "x" * 10_000)
        note_step_events(connection, "run 3", [REFUSED, FAILED])
        note_step_events(connection, "run 3", [REFUSED, long])
        note_step_events(connection, "run 4", [REFUSED])
        note_step_events(connection, "run 5", [])
        rows = connection.execute(
            "SELECT run_id, step, length(detail) FROM run_events ORDER BY ALL"
        ).fetchall()
        connection.execute("DELETE FROM run_events WHERE run_id = 'run 4' OR step = 'images'")
    assert rows == [
        ("run 3", "images", 2000),
        ("run 3", "mvtec_ad", len(REFUSED.detail)),
        ("run 3", "samples", len(FAILED.detail)),
        ("run 4", "mvtec_ad", len(REFUSED.detail)),
    ]


def test_a_published_file_has_the_events_up_to_its_publication(eventful: Project) -> None:
    with duckdb.connect(str(target(eventful)), read_only=True) as connection:
        found, _ = newest_events(connection, 100)
        types = connection.execute("DESCRIBE anomaly.history").fetchall()
    assert [each.event for each in found] == ["published", "loaded"]
    assert found == [each for each in read(eventful) if each in found]
    assert types[0][:2] == ("happened_at", "TIMESTAMP")


@pytest.mark.slow
def test_a_copy_has_the_events_of_its_source(eventful: Project, tmp_path: Path) -> None:
    copy = tmp_path / "copy.duckdb"
    copy_database(str(target(eventful)), str(copy), log=lambda _: None)
    found = []
    for path in (target(eventful), copy):
        with duckdb.connect(str(path), read_only=True) as connection:
            found.append(newest_events(connection, 100))
    assert found[0] == found[1]
    assert found[0][1] == 2


@pytest.mark.slow
def test_a_refused_run_is_no_reason_to_publish_again(eventful: Project) -> None:
    eventful.build()
    eventful.refresh_all()
    first = eventful.warehouse.publish(target(eventful), SPEC)
    assert first.written
    with eventful.warehouse.connect() as connection:
        note_step_events(connection, "run 9", [REFUSED])
    again = eventful.warehouse.publish(target(eventful), SPEC)
    assert (again.snapshot_id, again.written) == (first.snapshot_id, False)
    assert eventful.warehouse.differences(target(eventful)) == []


@pytest.mark.slow
def test_a_published_file_of_an_earlier_release_gets_its_history_although_nothing_changed(
    eventful: Project,
) -> None:
    with duckdb.connect(str(target(eventful))) as connection:
        connection.execute("DROP VIEW main.history")
        connection.execute("DROP TABLE main.run_events")
    again = eventful.warehouse.publish(target(eventful), SPEC)
    assert again.written
    with duckdb.connect(str(target(eventful)), read_only=True) as connection:
        found, _ = newest_events(connection, 100)
    assert "published" in {each.event for each in found}
    assert not eventful.warehouse.publish(target(eventful), SPEC).written


def test_a_warehouse_of_an_earlier_release_gets_its_history(eventful: Project) -> None:
    before = read(eventful)
    with eventful.warehouse.connect() as connection:
        connection.execute("DROP VIEW anomaly.history; DROP VIEW history")
        connection.execute("DROP VIEW anomaly.run_events; DROP TABLE run_events")
        ensure_tables(connection)
        found, _ = newest_events(connection, 100)
    assert found == [each for each in before if each.event not in ("refused", "failed")]


def test_a_removed_dataset_leaves_the_event_of_its_removal(eventful: Project) -> None:
    forget(eventful.warehouse, "mvtec_ad")
    newest, *others = read(eventful)
    assert (newest.event, newest.source_dataset, newest.detail) == (
        "removed",
        "mvtec_ad",
        "from the warehouse, by anomaly-assets forget",
    )
    assert {each.event for each in others} == {"accepted", "published"}


def test_there_is_no_event_before_the_first_load(tmp_path: Path) -> None:
    with Project.at(tmp_path).warehouse.connect() as connection:
        ensure_tables(connection)
        refresh(connection, "load_history", "history")
        assert newest_events(connection, 100) == ([], 0)


def test_every_event_of_the_view_can_be_chosen(eventful: Project) -> None:
    assert {each.event for each in read(eventful)} <= {*EVENTS}


@pytest.mark.slow
def test_removed_sample_data_is_an_event(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.save(
        {f"mvtec_ad/bottle/train/good/{number:03}.png": noise(number) for number in range(2)}
    )
    root = str(project.folder / "mvtec_ad")
    load(SOURCE_DATASETS["mvtec_ad"], root, project.warehouse, from_samples=True)
    assert remove_samples(project.warehouse, "run 1") == {"mvtec_ad": 2}
    project.refresh_all()
    [event] = read(project, events=("removed",))
    assert (event.source_dataset, event.detail) == (
        "mvtec_ad",
        "2 images: samples of the repository, because data from another root was loaded",
    )
