"""Test the warehouse as a resource: locked for the whole run, with a wait, and released."""

import os
import time

import dagster as dg
import pytest

from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import catalogue, run_selection


@pytest.mark.slow
def test_a_run_that_waited_in_vain_says_who_has_the_warehouse_and_does_nothing(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_LOCK_WAIT_SECONDS", "1")
    with FileWarehouse(tiny.warehouse, wait_seconds=0).locked():
        run = run_selection(catalogue("mvtec_ad"))
    assert not run.success
    assert run.materialized == {}
    assert not tiny.warehouse.exists()
    [message] = run.messages_about("WarehouseBusyError")
    assert (
        f"{tiny.warehouse} was held for more than 1 s by the run with process id {os.getpid()}"
        in (message)
    )


@pytest.mark.parametrize("selected", [("mvtec_ad",), ("mvtec_ad", "dagm_2007")])
def test_a_root_that_is_not_there_is_told_at_once_and_not_after_the_wait_for_another_run(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch, selected: tuple[str, ...]
) -> None:
    nowhere = tiny.mvtec_ad / "nowhere"
    monkeypatch.setenv("MVTEC_AD_ROOT", str(nowhere))
    started = time.monotonic()
    with FileWarehouse(tiny.warehouse, wait_seconds=0).locked():
        run = run_selection(catalogue(*selected))
    assert time.monotonic() - started < 60  # of the hour that it would wait
    assert not run.success
    assert run.materialized == {}
    assert (
        f"MVTec AD (MVTEC_AD_ROOT): {nowhere} does not exist. Nothing was changed. To leave this dataset "
        "out, set MVTEC_AD_ROOT to the empty string."
    ) in run.messages_about("RootError")[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "selected",
    ["samples", "image_tensors", "dataset_summary", "pixel_statistics", "published_database"],
)
def test_an_asset_alone_on_a_fresh_warehouse_says_what_to_materialize_first(
    tiny: Environment, selected: str
) -> None:
    run = run_selection(dg.AssetSelection.assets(selected).without_checks())
    [message] = run.failures.values()
    assert (
        "WarehouseError: The warehouse has no images yet. Materialize the assets upstream of this one "
        "first, or the whole graph."
    ) in message
    assert "CatalogException" not in message


@pytest.mark.slow
def test_a_root_that_a_run_does_not_list_is_no_reason_not_to_wait(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MVTEC_AD_ROOT", str(tiny.mvtec_ad / "nowhere"))
    monkeypatch.setenv("ANOMALY_LOCK_WAIT_SECONDS", "1")
    with FileWarehouse(tiny.warehouse, wait_seconds=0).locked():
        run = run_selection(catalogue("dagm_2007"))
    [message] = run.messages_about("WarehouseBusyError")
    assert "was held for more than 1 s" in message


@pytest.mark.slow
def test_a_run_lets_the_warehouse_go_whether_or_not_it_succeeds(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_selection(catalogue("dagm_2007")).success
    monkeypatch.setenv("MVTEC_AD_ROOT", str(tiny.mvtec_ad / "nowhere"))
    assert not run_selection(catalogue("mvtec_ad")).success
    with FileWarehouse(tiny.warehouse, wait_seconds=0).connect() as connection:
        assert connection.execute("SELECT count(*) FROM dagm_2007.images").fetchall() == [(4,)]


def test_a_setting_that_cannot_be_used_fails_the_run_and_is_named(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "256x")
    run = run_selection(catalogue("mvtec_ad"))
    assert not run.success
    [message] = run.messages_about("SettingsError")
    assert "ANOMALY_IMAGE_SIZE='256x': use one side in pixels" in message
    assert not tiny.warehouse.exists()
