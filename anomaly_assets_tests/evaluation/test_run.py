"""Test evaluations of a published database: what is computed, stored, resumed and removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pytest

from anomaly_assets.datasets.declaration_files import built_in_declaration
from anomaly_assets.evaluation.inputs import EvaluationError, subjects_of
from anomaly_assets.evaluation.report import metric_lines
from anomaly_assets.evaluation.stored import GAIN
from anomaly_assets.reader.open import open_database
from anomaly_assets.tables.checks import METRICS_CHECKS, SUSPECT_CHECKS, evaluate
from anomaly_assets.tables.registry import EVALUATION
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.evaluation.categories import (
    FINE,
    GOOD,
    TESTED,
    Evaluating,
    FakeBackbone,
    picture,
    pictures,
)
from anomaly_assets_tests.warehouse.project import SPEC, Project

KEYS = [
    ("mvtec_ad", category, recipe)
    for category in ("bolt", "woven")
    for recipe in (SPEC.name, FINE.name)
]
AUROC = "SELECT value FROM baseline_metrics WHERE metric = 'image_auroc' AND defect_type = ''"
IMAGES = GOOD + 2 * TESTED


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Evaluating:
    made = Evaluating.at(tmp_path_factory.mktemp("evaluated"))
    made.evaluate(FakeBackbone())
    return made


@pytest.fixture
def evaluated(once: Evaluating, tmp_path: Path) -> Evaluating:
    """Return a copy of two categories at two recipes, which were evaluated."""
    shutil.copytree(once.project.folder, tmp_path, dirs_exist_ok=True)
    return Evaluating(Project.at(tmp_path))


@pytest.mark.slow
def test_every_category_and_recipe_is_measured_and_stored(evaluated: Evaluating) -> None:
    rows = evaluated.project.rows
    assert rows("SELECT source_dataset, category, recipe FROM evaluations ORDER BY ALL") == sorted(
        KEYS
    )
    counts = "SELECT DISTINCT status, bank_images, images_scored, images_good, images_anomalous"
    assert rows(f"{counts} FROM evaluations") == [("measured", GOOD, IMAGES, TESTED, TESTED)]
    assert rows(AUROC) == [(1.0,)] * 4
    for table, count in (
        ("baseline_scores", 4 * IMAGES),
        ("baseline_maps", 4 * IMAGES),
        ("baseline_vectors", 4 * IMAGES),
        ("baseline_banks", 4),
    ):
        assert rows(f"SELECT count(*) FROM {table}") == [(count,)]
    roles = "SELECT role, label, count(*) FROM baseline_scores GROUP BY ALL ORDER BY ALL"
    assert rows(roles) == [
        ("bank", "good", 4 * GOOD),
        ("test", "anomalous", 4 * TESTED),
        ("test", "good", 4 * TESTED),
    ]
    assert rows("SELECT count(*) FROM baseline_scores WHERE role = 'bank' AND score = 0") == [(0,)]
    found = rows("SELECT height, width, map, low, high FROM baseline_maps WHERE recipe = '8x6x3'")
    assert all(len(content) == height * width for height, width, content, *_ in found)
    assert all(low <= high for *_, low, high in found)


def test_nothing_is_computed_again_while_nothing_changes(evaluated: Evaluating) -> None:
    backbone = FakeBackbone()
    done = evaluated.evaluate(backbone)
    assert (done.evaluated, done.unchanged, done.removed, backbone.seen) == ([], 4, 0, [])


@pytest.mark.slow
def test_another_network_changes_everything(evaluated: Evaluating) -> None:
    done = evaluated.evaluate(FakeBackbone(digest="another"))
    assert [tuple(key) for key in done.evaluated] == KEYS
    banks = "SELECT count(DISTINCT bank_sha256) FROM baseline_banks"
    assert evaluated.project.rows(banks) == [(4,)]


@pytest.mark.slow
def test_a_new_test_image_is_scored_with_the_kept_bank(evaluated: Evaluating) -> None:
    bank = "SELECT bank, folds, bank_sha256 FROM baseline_banks ORDER BY ALL"
    before = evaluated.project.rows(bank)
    evaluated.project.save({"mvtec_ad/bolt/test/good/900.png": picture(900)})
    evaluated.publish()
    backbone = FakeBackbone()
    done = evaluated.evaluate(backbone)
    assert [key.category for key in done.evaluated] == ["bolt", "bolt"]
    assert sum(backbone.seen) == 2 * (IMAGES + 1)  # one pass, with the kept bank
    assert evaluated.project.rows(bank) == before


@pytest.mark.slow
def test_a_new_training_image_makes_another_bank_and_scores_its_category_again(
    evaluated: Evaluating,
) -> None:
    evaluated.project.save({"mvtec_ad/woven/train/good/900.png": picture(901)})
    evaluated.publish()
    backbone = FakeBackbone()
    done = evaluated.evaluate(backbone)
    assert [key.category for key in done.evaluated] == ["woven", "woven"]
    assert sum(backbone.seen) == 2 * (IMAGES + 1 + GOOD + 1)


def test_a_split_assignment_does_not_change_images_with_a_split(evaluated: Evaluating) -> None:
    with evaluated.project.warehouse.connect() as connection:
        connection.execute("INSERT INTO assignments VALUES ('v1', '{}', ['train'])")
        assert connection.execute("SELECT fold FROM splits").fetchall()
    evaluated.project.warehouse.publish(evaluated.database, SPEC)
    assert evaluated.evaluate(FakeBackbone()).unchanged == 4


@pytest.mark.slow
def test_the_history_has_an_event_for_what_a_run_evaluated(evaluated: Evaluating) -> None:
    events = "SELECT source_dataset, detail, run_id FROM history WHERE event = 'evaluated'"
    assert evaluated.project.rows(events) == []  # evaluated without a run
    evaluated.evaluate(FakeBackbone(), run_id="nothing changed")
    evaluated.evaluate(FakeBackbone(digest="another"), run_id="run 1", categories=["woven"])
    evaluated.evaluate(FakeBackbone(digest="third"), run_id="run 2")
    assert evaluated.project.rows(f"{events} ORDER BY run_id") == [
        ("mvtec_ad", "2 results of woven", "run 1"),
        ("mvtec_ad", "4 results of bolt, woven", "run 2"),
    ]


@pytest.mark.slow
def test_an_interrupted_evaluation_goes_on_with_the_next_category(tmp_path: Path) -> None:
    one = Evaluating.at(tmp_path)

    def stopping() -> Iterator[Warehouse]:
        for _ in range(5):  # the digests, then bank and results of two recipes
            yield one.project.warehouse
        raise KeyboardInterrupt

    asked = stopping()
    with pytest.raises(KeyboardInterrupt):
        one.evaluate(FakeBackbone(), lambda: next(asked))
    assert one.project.rows("SELECT DISTINCT category FROM evaluations") == [("bolt",)]
    done = one.evaluate(FakeBackbone())
    assert [key.category for key in done.evaluated] == ["woven", "woven"]
    assert done.unchanged == 2


@pytest.mark.slow
def test_results_of_a_category_that_is_gone_are_removed(evaluated: Evaluating) -> None:
    shutil.rmtree(evaluated.project.roots_folder / "mvtec_ad" / "woven")
    evaluated.publish(allow_shrink=True)
    done = evaluated.evaluate(FakeBackbone())
    assert (done.removed, done.unchanged) == (2, 2)
    for table in EVALUATION:
        assert ("woven",) not in evaluated.project.rows(f"SELECT category FROM {table}")


@pytest.mark.slow
def test_only_the_wanted_categories_are_evaluated(evaluated: Evaluating) -> None:
    done = evaluated.evaluate(FakeBackbone(digest="another"), categories=["woven"])
    assert {key.category for key in done.evaluated} == {"woven"}
    with pytest.raises(EvaluationError, match="no category 'screw'. Existing ones: bolt, woven"):
        evaluated.evaluate(FakeBackbone(), categories=["screw"])


def test_the_warehouse_is_free_while_features_are_computed(evaluated: Evaluating) -> None:
    other, free = FileWarehouse(evaluated.project.warehouse.path, 0.0), []

    def locked() -> None:
        with other.locked():
            free.append(True)

    evaluated.evaluate(FakeBackbone(digest="another", on_call=locked), categories=["bolt"])
    assert all(free)
    assert free


@pytest.mark.slow
def test_a_refresh_meanwhile_changes_nothing_in_the_snapshot_that_is_evaluated(
    evaluated: Evaluating,
) -> None:
    new = "mvtec_ad/woven/test/good/900.png"

    def refresh() -> None:
        if not (evaluated.project.roots_folder / new).exists():
            evaluated.project.save({new: picture(900)})
            evaluated.publish()  # keeps no older snapshot

    done = evaluated.evaluate(FakeBackbone(digest="another", on_call=refresh))
    assert [tuple(key) for key in done.evaluated] == KEYS
    scored = f"SELECT count(*) FROM baseline_scores WHERE image_id = '{new}'"
    assert evaluated.project.rows(scored) == [(0,)]
    evaluated.publish_results()
    done = evaluated.evaluate(FakeBackbone(digest="another"))
    assert {key.category for key in done.evaluated} == {"woven"}
    assert evaluated.project.rows(scored) == [(2,)]


def test_before_anything_is_published_the_message_says_what_to_run(tmp_path: Path) -> None:
    nothing = Evaluating(Project.at(tmp_path))
    with pytest.raises(EvaluationError, match="anomaly.duckdb does not exist.*materialize` first"):
        nothing.evaluate(FakeBackbone())


def test_a_database_of_an_earlier_release_must_be_refreshed_first(evaluated: Evaluating) -> None:
    with duckdb.connect(str(evaluated.database)) as connection:
        connection.execute("DROP TABLE anomaly.near_duplicates")
    with pytest.raises(EvaluationError, match="earlier release published it, run .* materialize"):
        evaluated.evaluate(FakeBackbone())


@pytest.mark.slow
def test_a_database_of_another_warehouse_is_refused_before_anything_is_computed(
    evaluated: Evaluating, tmp_path: Path
) -> None:
    other = Evaluating(Project.at(tmp_path / "other"))
    other.project.save(pictures("screw", 300))
    other.publish()
    backbone = FakeBackbone(digest="another")
    with pytest.raises(EvaluationError, match="not published by this warehouse"):
        evaluated.evaluate(backbone, location=str(other.database))
    assert backbone.seen == []
    assert evaluated.evaluate(FakeBackbone()).unchanged == 4


def test_without_training_images_there_is_no_number_and_why(evaluated: Evaluating) -> None:
    shutil.rmtree(evaluated.project.roots_folder / "mvtec_ad/bolt/train")
    evaluated.publish(allow_shrink=True)
    done = evaluated.evaluate(FakeBackbone())
    assert {key.category for key in done.without_number} == {"bolt"}
    [(status, threshold)] = evaluated.project.rows(
        "SELECT DISTINCT status, threshold FROM evaluations WHERE category = 'bolt'"
    )
    assert "no good training image" in status
    assert threshold is None
    evaluated.publish_results()
    lines = [*metric_lines(str(evaluated.database), ["bolt"])]
    assert lines[0].startswith("category")
    assert lines[1].startswith("mvtec_ad/bolt  8x6x3")
    assert lines[-1].endswith(status)


@pytest.mark.slow
def test_with_too_few_test_images_there_is_no_number_and_how_many_are_needed(
    evaluated: Evaluating,
) -> None:
    shutil.rmtree(evaluated.project.roots_folder / "mvtec_ad/bolt/test/box")
    evaluated.publish(allow_shrink=True)
    said: list[str] = []
    evaluated.evaluate(FakeBackbone(), log=said.append)
    assert said[0] == (
        "1 of 2: mvtec_ad/bolt at 8x6x3, no number: 10 good and 0 anomalous test images, and 10 of each "
        "are needed"
    )
    evaluated.publish_results()
    *_, last = metric_lines(str(evaluated.database))
    assert last == (
        "No number, because it needs 10 good and 10 anomalous test images: mvtec_ad/bolt."
    )


def test_a_recipe_that_finds_more_is_named_by_the_check(evaluated: Evaluating) -> None:
    [(recipe, value, low, note)] = evaluated.project.rows(
        f"SELECT recipe, value, low, note FROM baseline_metrics WHERE metric = '{GAIN}' "
        "AND category = 'bolt'"
    )
    assert (recipe, value, note) == (FINE.name, 0, f"over {SPEC.name}")
    assert low <= 0.05
    with evaluated.project.warehouse.connect() as connection:
        [(_, passed)] = evaluate(connection, *METRICS_CHECKS)
        assert passed.passed
        connection.execute(f"UPDATE baseline_metrics SET low = 0.06 WHERE metric = '{GAIN}'")
        [(_, failed)] = evaluate(connection, *METRICS_CHECKS)
    assert [name for name, _ in failed.shown] == ["mvtec_ad/bolt", "mvtec_ad/woven"]
    assert f"use {FINE.name}" in str(failed.shown[0][1])


def test_of_two_recipes_of_equal_size_the_one_with_padding_is_not_the_finest(
    evaluated: Evaluating,
) -> None:
    fit = f"{FINE.name}/fit"
    with duckdb.connect(str(evaluated.database)) as connection:
        for table in ("recipes", "recipe_tensors"):
            connection.execute(
                f"INSERT INTO {table} SELECT * REPLACE (? AS recipe) FROM {table} WHERE recipe = ?",
                [fit, FINE.name],
            )
    with closing(open_database(str(evaluated.database))) as database:
        subjects = subjects_of(database, {}, None)
    found = [subject.key.recipe for subject in subjects if subject.key.category == "bolt"]
    assert found == [SPEC.name, fit, FINE.name]


def test_a_dataset_with_the_masks_of_dagm_is_marked_whatever_its_name(
    evaluated: Evaluating,
) -> None:
    with duckdb.connect(str(evaluated.database)) as connection:
        connection.execute(
            "UPDATE source_datasets SET declaration = ?",
            [built_in_declaration("dagm_2007").canonical_json],
        )
    evaluated.evaluate(FakeBackbone(digest="another"), categories=["woven"])
    notes = "SELECT DISTINCT note FROM baseline_metrics WHERE metric = 'aupro' AND category = "
    assert evaluated.project.rows(f"{notes} 'woven'") == [("weak labels",)]
    assert evaluated.project.rows(f"{notes} 'bolt'") == [(None,)]
    evaluated.publish_results()
    *_, last = metric_lines(str(evaluated.database))
    assert last.endswith("rough masks, which cover more than the defects: mvtec_ad.")
    assert "rough" not in "".join(metric_lines(str(evaluated.database), ["bolt"]))


@pytest.mark.slow
def test_a_planted_label_error_is_a_suspect(evaluated: Evaluating) -> None:
    wrong = "mvtec_ad/bolt/train/good/014.png"
    evaluated.project.save({wrong: picture(950, defect=True)})
    evaluated.publish()
    evaluated.evaluate(FakeBackbone())
    found = evaluated.project.rows(
        "SELECT image_id, kind, rank FROM suspect_images WHERE is_likely AND recipe = '8x6x3'"
    )
    assert (wrong, "good_like_anomalous", 1) in found
    with evaluated.project.warehouse.connect() as connection:
        [(_, finding)] = evaluate(connection, *SUSPECT_CHECKS)
    assert wrong in dict(finding.shown)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE baseline_scores SET content_sha256 = 'another'",
        "UPDATE baseline_scores SET label = 'anomalous'",
        "DELETE FROM image_tensors",
    ],
    ids=["replaced", "relabelled", "removed"],
)
def test_a_suspect_that_was_changed_since_fails_no_check(
    evaluated: Evaluating, change: str
) -> None:
    suspect = "mvtec_ad/bolt/train/good/000.png"
    with evaluated.project.warehouse.connect() as connection:
        connection.execute("DELETE FROM suspect_images")
        connection.execute(
            "INSERT INTO suspect_images BY NAME SELECT image_id, recipe, 'good_like_anomalous' AS kind, "
            "source_dataset, category, 1 AS rank, score, true AS is_likely, '' AS reason "
            "FROM baseline_scores WHERE image_id = ?",
            [suspect],
        )
        [(_, before)] = evaluate(connection, *SUSPECT_CHECKS)
        connection.execute(f"{change} WHERE image_id = '{suspect}'")
        [(_, after)] = evaluate(connection, *SUSPECT_CHECKS)
    assert ([name for name, _ in before.shown], after.count) == ([suspect], 0)


def test_a_bank_is_read_back_as_it_was_stored(evaluated: Evaluating) -> None:
    [(patches, dimensions, content)] = evaluated.project.rows(
        "SELECT patches, dimensions, bank FROM baseline_banks WHERE category = 'bolt' "
        "AND recipe = '8x6x3'"
    )
    bank = np.frombuffer(content, "<f4").reshape(patches, dimensions)
    assert bank.shape[1] == 6
    assert 0 < bank.max() <= 1
