"""Test publishing from a warehouse of any kind: what is refused, what is written, what readers get."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from anomaly_assets.decoding.build import build_tensors
from anomaly_assets.decoding.open import open_compute
from anomaly_assets.errors import rerun_with
from anomaly_assets.recipes import Recipe, Recipes
from anomaly_assets.settings import Settings
from anomaly_assets.splitting.plan import Plan
from anomaly_assets.splitting.update import update
from anomaly_assets.tables.checks import CHECKS
from anomaly_assets.tables.ddl import HISTORY_VIEWS, SAMPLE_VIEWS, ensure_tables, refresh
from anomaly_assets.tables.history import StepEvent, note_step_events
from anomaly_assets.tables.recipes import record_recipes
from anomaly_assets.warehouse.publication import PublishRefusedError
from anomaly_assets.warehouse.removal import forget, remove_samples
from anomaly_assets_tests.warehouse.kinds.published import Published
from anomaly_assets_tests.warehouse.project import MADE_BY_REFRESH, SPEC, Project, without_zones

ONLY = "mvtec_ad/bottle/train/good/000.png"
COUNTS = "SELECT source_dataset, count(*) FROM samples GROUP BY ALL ORDER BY ALL"
RUNS = "SELECT list(DISTINCT run_id) FROM image_tensors"
CHANGE = "UPDATE image_tensors SET run_id = '{}'"


@pytest.mark.slow
def test_content_that_is_published_is_not_written_again(published: Published) -> None:
    before = published.newest_id()
    again = published.publish()
    assert (again.written, again.snapshot_id, again.samples) == (False, before, 9)
    assert published.differences() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        CHANGE.format("another"),
        "UPDATE image_tensors SET mask_area_fraction = 0 WHERE image_id LIKE '%crack%'",
        "UPDATE mvtec_ad.images SET defect_type = 'cut' WHERE defect_type = 'crack'",
        "INSERT INTO dagm_2007.stray_files VALUES ('a.txt', 'unrecognised_path', NULL, '1.5')",
        "UPDATE image_tensors SET mask_tensor = NULL, mask_box = NULL WHERE image_id LIKE '%hole%'",
    ],
)
def test_a_changed_row_is_published(published: Published, change: str) -> None:
    before = published.newest_id()
    published.rows(change)
    second = published.publish()
    assert second.written
    assert second.snapshot_id == published.newest_id() != before
    for table in ("image_tensors", "samples", "mvtec_ad.images", "dagm_2007.stray_files"):
        everything = f"SELECT * FROM {table} AS row ORDER BY row::VARCHAR"
        assert without_zones(published.read(everything)) == without_zones(
            published.rows(everything)
        )


@pytest.mark.slow
def test_a_change_of_quality_alone_is_published_under_the_same_id(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published.newest_id()
    query = "SELECT sentence FROM quality WHERE check_name = 'images_are_usable'"
    assert published.read(query) == [("No file had to be rejected.",)]
    [check] = CHECKS["rejected_images"]
    renamed = replace(check, description="Every file is usable.")
    monkeypatch.setitem(cast(Any, CHECKS), "rejected_images", (renamed,))
    for written in (True, False):
        again = published.publish()
        assert (again.written, again.snapshot_id, published.newest_id()) == (
            written,
            before,
            before,
        )
        assert published.read(query) == [("Every file is usable.",)]
    assert published.differences() == []


@pytest.mark.slow
def test_a_warehouse_of_an_earlier_release_gets_the_results_of_the_checks(
    published: Published,
) -> None:
    before = published.newest_id()
    published.rows("UPDATE mvtec_ad.images SET mask_relative_path = NULL WHERE label = 'anomalous'")
    found = {row.check_name: row.affected for row in published.publish().quality if not row.passed}
    assert published.newest_id() != before
    query = "SELECT check_name, affected FROM quality WHERE NOT passed"
    assert dict(published.read(query)) == found
    assert found["anomalous_images_have_masks"] == 2
    for name in ("quality", "quality_images"):
        published.rows(f"DROP VIEW anomaly.{name}")
        published.rows(f"DROP TABLE {name}")
    assert not published.publish().written
    assert dict(published.rows(query)) == found


@pytest.mark.slow
def test_a_refused_step_is_in_the_history_and_no_reason_to_publish_again(
    published: Published,
) -> None:
    with published.warehouse.connect() as connection:
        note_step_events(connection, "run", [StepEvent("mvtec_ad", "refused", "It shrank.")])
        note_step_events(connection, "run", [StepEvent("mvtec_ad", "refused", "It shrank.")])
        refresh(connection, *HISTORY_VIEWS)
    query = "SELECT event, count(*) FROM history GROUP BY ALL ORDER BY ALL"
    # On a lake, the publication is that of the copy.
    known = dict(published.rows(query))
    assert (known["loaded"], known["refused"]) == (2, 1)
    assert published.publish().written is False
    assert published.differences() == []
    assert dict(published.read(query))["loaded"] == 2


@pytest.mark.slow
def test_tensors_of_further_recipes_are_built_published_and_read(
    published: Published, project: Project
) -> None:
    grey, tiles = Recipe(12, 12, 1), Recipe(8, 8, 3, overlap=2)
    recipes = Recipes(SPEC, {"mvtec_ad": (grey, tiles)})
    roots = project.roots()
    compute = partial(open_compute, "threads", roots, SPEC, workers=1)
    report = build_tensors(published.warehouse, roots, recipes, compute=compute)
    assert report.decoded == 0
    assert report.recipe_rows > 12
    with published.warehouse.connect() as connection:
        record_recipes(connection, recipes, Settings.from_environment({}), roots)
        refresh(connection, *SAMPLE_VIEWS)
    before = published.newest_id()
    done = published.publish()
    assert done.written
    assert done.snapshot_id != before
    every = "FROM recipe_tensors ORDER BY image_id, recipe, tile"
    assert without_zones(published.read(every)) == without_zones(published.rows(every))
    shapes = "SELECT DISTINCT height, width, channels, recipe FROM samples_at('12x12x1')"
    assert published.read(shapes) == [(12, 12, 1, grey.name)]
    assert not published.publish().written
    fewer = build_tensors(published.warehouse, roots, Recipes(SPEC), compute=compute)
    assert fewer.recipe_rows_removed == report.recipe_rows


@pytest.mark.slow
def test_an_assignment_is_published_and_its_newcomers_too(
    published: Published, tmp_path: Path
) -> None:
    before, plan = published.newest_id(), Plan(val=0.4, by=("label",))
    training = "FROM assigned_contents WHERE contains(image_id, 'bottle')"
    folds = "SELECT image_id, fold FROM splits WHERE assignment = 'v1' ORDER BY ALL"
    with published.warehouse.connect() as connection:
        ensure_tables(connection)
        made = update(connection, tmp_path, "v1", plan, makes_file=True)
        assert made.newcomers == 5
    assert published.publish().snapshot_id != before
    assert len(published.read(folds)) == 9
    assert published.read(folds) == published.rows(folds)
    (tmp_path / "v1.csv").unlink()
    published.rows(f"DELETE {training}")
    with published.warehouse.connect() as connection:
        assert update(connection, tmp_path, "v1").newcomers == 2
    published.publish()
    assert published.read(folds) == published.rows(folds)
    assert not published.publish().written


@pytest.mark.slow
def test_a_removed_image_leaves_the_published_samples(published: Published) -> None:
    published.delete("image_id LIKE 'mvtec_ad/carpet/test/%'")
    assert published.publish().samples == 8
    assert published.read(COUNTS) == [("dagm_2007", 3), ("mvtec_ad", 5)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "before", ["DELETE FROM dataset_summary", "UPDATE dataset_summary SET images = 0"]
)
def test_a_summary_that_was_missing_or_outdated_is_published_once_it_is_rebuilt(
    published: Published, before: str
) -> None:
    """Materialize and publish tensors alone, and the summaries only later."""
    published.rows(before)
    published.publish()
    with published.warehouse.connect() as connection:
        refresh(connection, *MADE_BY_REFRESH)
    summary = "FROM dataset_summary ORDER BY ALL"
    expected = published.rows(summary)
    assert [row[5] for row in expected] == [1, 1, 1, 1, 1, 2, 1, 1]
    published.publish()
    assert published.differences() == []
    assert published.read(summary) == expected


@pytest.mark.slow
def test_a_reader_that_has_the_old_snapshot_open_keeps_reading_it(published: Published) -> None:
    with closing(published.open()) as reader:
        assert reader.execute(RUNS).fetchall() == [(["first"],)]
        published.rows(CHANGE.format("second"))
        assert published.publish().written
        assert reader.execute(RUNS).fetchall() == [(["first"],)]
        assert reader.execute("SELECT count(image_tensor) FROM samples").fetchall() == [(9,)]
        assert published.read(RUNS) == [(["second"],)]


@pytest.mark.slow
def test_the_only_sample_of_a_source_dataset_does_not_leave_without_consent(
    published: Published,
) -> None:
    published.delete(f"image_id LIKE 'mvtec_ad/%' AND image_id <> '{ONLY}'")
    published.publish(allow_shrink=True)
    published.delete(f"image_id = '{ONLY}'")
    before = published.newest_id()
    with pytest.raises(PublishRefusedError, match="would be lost: mvtec_ad would have 0 of 1"):
        published.publish()
    assert published.newest_id() == before


@pytest.mark.slow
def test_an_empty_warehouse_does_not_replace_samples_without_consent(published: Published) -> None:
    published.delete("true")
    with pytest.raises(PublishRefusedError) as caught:
        published.publish()
    place = published.warehouse.name if "lake" in published.warehouse.name else published.target
    assert str(caught.value) == (
        f"Nothing was published: {place} holds 9 samples, and the warehouse has none. Materialize all "
        "assets, then publish again. If you removed them on purpose, "
        + rerun_with("published_database", "allow_shrink")
    )
    assert published.read(COUNTS) == [("dagm_2007", 3), ("mvtec_ad", 6)]
    assert published.publish(allow_shrink=True).samples == 0
    assert published.publish().written is False  # nothing over nothing is no loss


def test_a_single_sample_is_not_replaced_by_none_without_consent(published: Published) -> None:
    published.delete(f"image_id <> '{ONLY}'")
    assert published.publish(allow_shrink=True).samples == 1
    published.delete("true")
    with pytest.raises(PublishRefusedError, match="holds 1 sample, and the warehouse has none"):
        published.publish()
    assert published.read(COUNTS) == [("mvtec_ad", 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "DELETE FROM image_tensors WHERE image_id LIKE '%crack%'",
            r"images_have_a_tensor_or_a_rejection \(1, first mvtec_ad/bottle/test/crack/000.png\)",
        ),
        (
            "INSERT INTO mvtec_ad.images FROM mvtec_ad.images WHERE category = 'carpet'",
            r"image_ids_are_unique \(2, first mvtec_ad/carpet/test/hole/000.png\)",
        ),
        (
            "UPDATE image_tensors SET width = 7 WHERE image_id LIKE 'dagm%'",
            r"tensors_have_the_configured_shape \(3, first dagm_2007/Class1/Test/0003.PNG\)",
        ),
    ],
)
def test_a_failing_blocking_check_refuses_and_leaves_the_old_snapshot(
    published: Published, fault: str, message: str
) -> None:
    before = published.newest_id()
    published.rows(fault)
    with pytest.raises(PublishRefusedError, match=message):
        published.publish()
    assert published.newest_id() == before


def test_tensors_of_another_shape_than_the_configured_one_are_not_published(
    published: Published,
) -> None:
    with pytest.raises(PublishRefusedError, match=r"tensors_have_the_configured_shape \(9, "):
        published.warehouse.publish(published.target, Recipe(8, 6, 1))


@pytest.mark.slow
def test_every_publication_is_recorded_in_the_warehouse_and_for_readers(
    published: Published,
) -> None:
    first = published.newest_id()
    published.rows(CHANGE.format("second"))
    second = published.publish(run_id="a later run")
    query = (
        "SELECT snapshot_id, images, tensors, rejected, transform, run_id "
        "FROM snapshots ORDER BY published_at"
    )
    expected = [
        (first, 9, 9, 0, "lanczos-8x6x3", None),
        (second.snapshot_id, 9, 9, 0, "lanczos-8x6x3", "a later run"),
    ]
    assert published.rows(query) == expected
    assert published.read(query) == expected
    [(newest,)] = published.read("SELECT max(published_at)::VARCHAR FROM snapshots")
    age = datetime.now(timezone.utc) - datetime.fromisoformat(newest).astimezone(timezone.utc)
    assert 0 <= age.total_seconds() < 600


def test_counts_that_differ_are_named(published: Published) -> None:
    published.rows("DELETE FROM image_tensors WHERE image_id LIKE '%crack%'")
    assert published.differences() == [
        ("image_tensors", "9 published, 8 in the warehouse"),
        ("samples", "9 published, 8 in the warehouse"),
        ("samples_without_tensors", "9 published, 8 in the warehouse"),
    ]


@pytest.mark.slow
def test_a_dataset_is_forgotten_and_published_without_it(published: Published) -> None:
    assert forget(published.warehouse, "dagm_2007") == 3
    assert published.publish().samples == 6
    assert published.read(COUNTS) == [("mvtec_ad", 6)]


def test_samples_of_the_repository_are_removed(published: Published) -> None:
    published.rows("UPDATE source_datasets SET from_samples = source_dataset = 'mvtec_ad'")
    assert remove_samples(published.warehouse) == {"mvtec_ad": 6}
    assert published.rows(COUNTS) == [("dagm_2007", 3)]


@pytest.mark.slow
def test_losing_samples_needs_consent(published: Published) -> None:
    published.delete("image_id LIKE 'mvtec_ad/carpet/%'")
    with pytest.raises(PublishRefusedError, match="mvtec_ad would have 4 of 6"):
        published.publish()
    assert published.publish(allow_shrink=True).samples == 7
    assert published.publish().written is False
