"""Test the schedule and the sensors, evaluated, and their runs executed."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import dagster as dg
import pytest

from anomaly_assets.definitions import defs
from anomaly_assets.roots.base import RootError
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import catalogue, run_job, run_selection
from anomaly_assets_tests.assets.trees import write_image
from anomaly_assets_tests.watch import NO_CHANGE, Watch

WatchOf = Callable[[str], Watch]

FIRST_IMAGE = {"mvtec_ad": "bolt/train/good/000.png", "dagm_2007": "Class1/Test/0001.PNG"}
SOURCE_DATASETS = sorted(FIRST_IMAGE)
EACH = pytest.mark.parametrize(
    "name", ["mvtec_ad", pytest.param("dagm_2007", marks=pytest.mark.slow)]
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def watch_of(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> WatchOf:
    """Return a function that gives the sensor of a source dataset."""
    return lambda name: Watch(name, instance, monkeypatch)


@pytest.mark.slow
def test_the_schedule_refreshes_everything_at_the_time_that_is_set(
    tiny: Environment, instance: dg.DagsterInstance
) -> None:
    schedule = defs.resolve_schedule_def("scheduled_refresh")
    at = datetime(2026, 1, 2, 3, 0, tzinfo=timezone.utc)
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=at)
    evaluated = schedule.evaluate_tick(context)
    assert evaluated.skip_message is None
    [request] = evaluated.run_requests or []
    assert schedule.job_name == "refresh_all"
    run = run_job(
        schedule.job_name, instance=instance, run_config=request.run_config, tags=request.tags
    )
    assert run.success
    assert len(run.materialized) == 21
    assert len(run.checks) == 31
    assert run.result.dagster_run.tags["dagster/schedule_name"] == "scheduled_refresh"
    assert tiny.query("SELECT count(*) FROM samples") == [(13,)]


@pytest.mark.slow
@EACH
def test_a_sensor_asks_for_what_was_never_loaded_and_its_run_loads_it(
    tiny: Environment, watch_of: WatchOf, name: str
) -> None:
    watch = watch_of(name)
    run = watch.carry_out(watch.asks_when_two_looks_agree())
    assert run.success
    assert watch.sensor.job_name == f"refresh_{name}"
    assert tiny.query("SELECT DISTINCT source_dataset FROM samples") == [(name,)]
    assert watch.tick() == NO_CHANGE


@pytest.mark.slow
@EACH
def test_every_kind_of_change_is_asked_for_and_what_was_loaded_by_hand_is_not(
    tiny: Environment, instance: dg.DagsterInstance, watch_of: WatchOf, name: str
) -> None:
    watch = watch_of(name)
    assert run_selection(catalogue(name), instance=instance).success
    assert watch.tick() == NO_CHANGE
    path = tiny.roots[name] / FIRST_IMAGE[name]
    content, modified = path.read_bytes(), path.stat().st_mtime

    run_keys = []
    for change in (
        lambda: path.with_name(f"9{path.name}").write_bytes(content),
        lambda: os.utime(path, (modified + 5, modified + 5)),
        path.unlink,
        lambda: (path.parent / "notes.csv").write_text("what is this?"),
    ):
        change()
        run_keys.append(watch.asks_when_two_looks_agree().run_key)
    assert len(set(run_keys)) == 4

    # Loaded by hand, or by the schedule, before the sensor looked.
    path.write_bytes(content)
    assert run_selection(catalogue(name), instance=instance).success
    assert watch.tick() == NO_CHANGE


@pytest.mark.slow
def test_a_sensor_of_one_source_dataset_does_not_ask_for_the_other(
    tiny: Environment, instance: dg.DagsterInstance, watch_of: WatchOf
) -> None:
    assert run_selection(catalogue(*SOURCE_DATASETS), instance=instance).success
    write_image(tiny.mvtec_ad, "bolt/train/good/003.png")
    assert watch_of("dagm_2007").tick() == NO_CHANGE
    watch_of("mvtec_ad").asks_when_two_looks_agree()


@pytest.mark.slow
def test_files_that_every_copy_may_carry_are_no_change(
    tiny: Environment, instance: dg.DagsterInstance, watch_of: WatchOf
) -> None:
    assert run_selection(catalogue("dagm_2007"), instance=instance).success
    (tiny.dagm_2007 / "Class1/Train/Thumbs.db").write_bytes(b"thumbs")
    assert watch_of("dagm_2007").tick() == NO_CHANGE


@pytest.mark.slow
def test_labels_that_say_something_else_are_a_change(
    tiny: Environment, instance: dg.DagsterInstance, watch_of: WatchOf
) -> None:
    labels = tiny.dagm_2007 / "Class1/Test/Label/Labels.txt"
    labels.write_bytes(b"1\n1\t0\t0001.PNG\t0\t0\t\n")
    assert run_selection(catalogue("dagm_2007"), instance=instance).success
    watch = watch_of("dagm_2007")
    labels.write_bytes(b"1\r\n1\t0\t0001.PNG\t0\t0\r\n")
    assert watch.tick() == NO_CHANGE
    labels.write_bytes(b"1\n1\t1\t0001.PNG\t0\t0\t\n")
    watch.asks_when_two_looks_agree()


@pytest.mark.slow
def test_a_listing_that_changes_back_is_asked_for_with_another_key(
    tiny: Environment, instance: dg.DagsterInstance, watch_of: WatchOf
) -> None:
    watch = watch_of("mvtec_ad")
    assert run_selection(catalogue("mvtec_ad"), instance=instance).success
    assert watch.tick() == NO_CHANGE
    path = tiny.mvtec_ad / FIRST_IMAGE["mvtec_ad"]
    elsewhere = tiny.mvtec_ad.parent / "kept.png"
    run_keys = []
    for source, target in ((path, elsewhere), (elsewhere, path), (path, elsewhere)):
        source.rename(target)
        run_keys.append(watch.asks_when_two_looks_agree().run_key)
        assert run_selection(catalogue("mvtec_ad"), instance=instance).success
        assert watch.tick() == NO_CHANGE
    assert len(set(run_keys)) == 3


@pytest.mark.slow
def test_a_reload_of_one_category_does_not_hide_changes_in_another(
    tiny: Environment, instance: dg.DagsterInstance, watch_of: WatchOf
) -> None:
    watch = watch_of("mvtec_ad")
    assert run_selection(catalogue("mvtec_ad"), instance=instance).success
    assert watch.tick() == NO_CHANGE
    for category in ("bolt", "woven"):
        write_image(tiny.mvtec_ad, f"{category}/train/good/009.png")
    only_bolt = {"ops": {"mvtec_ad": {"config": {"categories": ["bolt"]}}}}
    assert run_selection(catalogue("mvtec_ad"), instance=instance, run_config=only_bolt).success
    assert tiny.query("SELECT count(*) FROM mvtec_ad.images", database=tiny.warehouse) == [(10,)]
    watch.asks_when_two_looks_agree()


def test_a_root_that_is_gone_fails_the_tick_and_the_sensor_remembers_what_it_held(
    tiny: Environment, instance: dg.DagsterInstance, watch_of: WatchOf
) -> None:
    watch = watch_of("mvtec_ad")
    assert run_selection(catalogue("mvtec_ad"), instance=instance).success
    assert watch.tick() == NO_CHANGE
    unplugged = tiny.mvtec_ad.with_name("unplugged")
    tiny.mvtec_ad.rename(unplugged)
    with pytest.raises(RootError) as failed:
        watch.tick()
    assert str(failed.value) == (
        f"MVTec AD (MVTEC_AD_ROOT): {tiny.mvtec_ad} does not exist. To leave this dataset out, set "
        "MVTEC_AD_ROOT to the empty string."
    )
    unplugged.rename(tiny.mvtec_ad)
    assert watch.tick() == NO_CHANGE


def test_a_sensor_of_a_source_dataset_that_is_left_out_skips_until_there_is_a_root(
    tiny: Environment,
    instance: dg.DagsterInstance,
    watch_of: WatchOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    assert run_selection(catalogue("dagm_2007"), instance=instance).success
    watch = watch_of("dagm_2007")
    assert watch.tick() == "DAGM_2007_ROOT is empty: not watched."
    monkeypatch.setenv("DAGM_2007_ROOT", str(tiny.dagm_2007))
    watch.asks_when_two_looks_agree()


@pytest.mark.slow
def test_the_same_files_at_another_root_are_a_change_because_addresses_are_columns(
    tiny: Environment,
    instance: dg.DagsterInstance,
    watch_of: WatchOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = watch_of("dagm_2007")
    assert run_selection(catalogue("dagm_2007"), instance=instance).success
    assert watch.tick() == NO_CHANGE
    copy = shutil.copytree(tiny.dagm_2007, tiny.dagm_2007.with_name("copy"))
    monkeypatch.setenv("DAGM_2007_ROOT", str(copy))
    watch.asks_when_two_looks_agree()
