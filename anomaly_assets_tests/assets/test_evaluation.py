"""Test the job `evaluate`: what it publishes, its messages, and what it locks."""

from __future__ import annotations

import os
from collections.abc import Iterator

import dagster as dg
import duckdb
import pytest

from anomaly_assets.assets.evaluation import EvaluationConfig, _plotted, unpublished
from anomaly_assets.definitions import defs
from anomaly_assets.evaluation import backbone as backbones
from anomaly_assets.evaluation.backbone import BaselineUnavailable
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job, run_selection
from anomaly_assets_tests.evaluation.categories import FakeBackbone

RESULTS = {"baseline_metrics", "baseline_scores", "suspect_images"}
SNAPSHOT = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBackbone:
    """Replace the network of the job."""
    made = FakeBackbone()
    monkeypatch.setattr(backbones, "open_backbone", lambda _: made)
    return made


@pytest.fixture
def refreshed(tiny: Environment, instance: dg.DagsterInstance) -> Environment:
    assert run_job(instance=instance).success
    return tiny


@pytest.mark.slow
def test_results_are_published_beside_the_same_snapshot_and_only_once(
    refreshed: Environment, instance: dg.DagsterInstance, fake: FakeBackbone
) -> None:
    before = refreshed.query(SNAPSHOT)
    first = run_job("evaluate", instance=instance)
    assert first.success
    assert first.materialized.keys() == {*RESULTS, "published_evaluation", "score_sheets"}
    assert first.materialized["published_evaluation"]["written"]
    assert refreshed.query(SNAPSHOT) == before
    assert refreshed.query("SELECT count(*) FROM baseline_scores") == [(17,)]
    assert first.checks.keys() == {
        "baseline_metrics:detail_is_kept",
        "suspect_images:labels_fit_the_scores",
    }
    assert first.materialized["score_sheets"]["files"] == 4
    seen = len(fake.seen)
    second = run_job("evaluate", instance=instance)
    assert second.success
    assert not second.materialized["published_evaluation"]["written"]
    assert second.materialized["score_sheets"]["drawn_again"] == 0
    assert second.materialized["baseline_scores"]["rows_unchanged"] == 17
    assert len(fake.seen) == seen


@pytest.mark.slow
def test_data_that_no_refresh_has_published_are_left_to_the_next_refresh(
    refreshed: Environment, instance: dg.DagsterInstance, fake: FakeBackbone
) -> None:
    before = refreshed.query(SNAPSHOT)
    with refreshed.open_warehouse() as warehouse:
        warehouse.execute("UPDATE image_tensors SET run_id = 'another'")
    run = run_job("evaluate", instance=instance)
    assert run.success
    [why] = unpublished
    assert "The next refresh publishes both" in why
    assert run.materialized["published_evaluation"]["left_out"] == why
    assert refreshed.query(SNAPSHOT) == before
    assert refreshed.query("SELECT count(*) FROM baseline_scores") == [(0,)]
    assert run_job(instance=instance).success
    assert refreshed.query(SNAPSHOT) != before
    assert refreshed.query("SELECT count(*) FROM baseline_scores") == [(17,)]


@pytest.mark.slow
def test_without_the_extra_the_assets_say_what_to_install_and_the_run_succeeds(
    refreshed: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: str) -> None:
        raise BaselineUnavailable("The baseline needs PyTorch: pip install it.")

    monkeypatch.setattr(backbones, "open_backbone", missing)
    run = run_selection(dg.AssetSelection.all(), instance=instance)
    assert run.success
    for name in RESULTS:
        assert "The baseline needs PyTorch" in run.materialized[name]["left_out"]
    assert refreshed.query("SELECT count(*) FROM evaluations") == [(0,)]


@pytest.mark.slow
def test_refreshes_do_not_wait_for_an_evaluation(
    refreshed: Environment, instance: dg.DagsterInstance, fake: FakeBackbone
) -> None:
    other, free = FileWarehouse(refreshed.warehouse, 0.0), []

    def locked() -> None:
        with other.locked():
            free.append(True)

    fake.on_call = locked
    assert run_job("evaluate", instance=instance).success
    assert free


@pytest.mark.slow
def test_only_the_named_categories_are_evaluated(
    refreshed: Environment, instance: dg.DagsterInstance, fake: FakeBackbone
) -> None:
    config = {"ops": {"evaluation": {"config": {"categories": ["bolt"]}}}}
    assert run_job("evaluate", instance=instance, run_config=config).success
    assert refreshed.query("SELECT DISTINCT category FROM evaluations") == [("bolt",)]
    assert EvaluationConfig().categories == []


def test_the_schedule_runs_the_job_at_the_time_that_is_set() -> None:
    schedule = defs.resolve_schedule_def("scheduled_evaluation")
    assert (schedule.job_name, schedule.cron_schedule) == ("evaluate", "0 5 * * 0")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert "ANOMALY_EVALUATE_CRON" not in os.environ


def test_metrics_of_the_common_recipe_are_plotted_first_and_the_number_of_others_is_stored() -> (
    None
):
    with duckdb.connect() as connection:
        ensure_tables(connection)
        connection.execute(
            "INSERT INTO recipes (recipe, source_dataset, transform, is_common, named_by) VALUES "
            "('32x32x1', 'mvtec_ad', '', true, ''), ('16x16x1', 'mvtec_ad', '', false, '')"
        )
        connection.execute(
            "INSERT INTO baseline_metrics BY NAME SELECT 'mvtec_ad' AS source_dataset, 'c' || number AS "
            "category, recipe, metric, '' AS defect_type, 0.5 AS value, 10 AS images_good, 10 AS "
            "images_anomalous FROM range(300) AS numbers (number), unnest(['32x32x1', '16x16x1']) AS "
            "recipes (recipe), unnest(['aupro', 'image_auroc']) AS metrics (metric)"
        )
        found = _plotted(connection)
    assert found.pop("metrics_not_plotted") == 800
    assert len(found) == 400
    assert [*found][:300] == sorted(
        f"mvtec_ad/c{number} 32x32x1 image_auroc" for number in range(300)
    )
    assert {name.split(" ", 1)[1] for name in [*found][300:]} == {"32x32x1 aupro"}
