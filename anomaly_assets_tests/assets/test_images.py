"""Test the catalogue in the graph: reports and refusals of a refresh."""

import json
import re
import shutil
from typing import Any

import dagster as dg
import pytest

from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, catalogue, run_job, run_selection
from anomaly_assets_tests.assets.trees import write_image
from anomaly_assets_tests.sampled import SAMPLED

COUNTS = ("rows_added", "rows_changed", "rows_removed", "rows_unchanged")
CATALOGUE = {f"{name}/{table}" for name in SAMPLED for table in ("images", "stray_files")}

PIXELS = dg.AssetSelection.assets("images", "image_tensors", "rejected_images", "samples")


def changes(run: Run, asset: str) -> tuple[int, ...]:
    """Return the reported numbers of added, changed, removed and unchanged rows."""
    return tuple(run.materialized[asset][name] for name in COUNTS)


def per_dataset(run: Run) -> dict[str, int]:
    """Return the reported images of each source dataset in the view `images`."""
    facts = run.materialized["images"]
    prefix = "images_"
    return {name.removeprefix(prefix): facts[name] for name in facts if name.startswith(prefix)}


def images(environment: Environment) -> set[str]:
    """Return the ids in the catalogue of MVTec AD."""
    rows = environment.query("SELECT image_id FROM mvtec_ad.images", database=environment.warehouse)
    return {image_id for (image_id,) in rows}


@pytest.mark.slow
def test_a_refresh_with_nothing_changed_loads_decodes_and_publishes_nothing(
    samples: Environment,
) -> None:
    first = run_job()
    assert first.success
    assert changes(first, "mvtec_ad/images") == (34, 0, 0, 0)
    assert changes(first, "dagm_2007/images") == (28, 0, 0, 0)
    assert first.materialized["mvtec_ad/images"]["ignored_files"] == 2
    assert first.materialized["mvtec_ad/images"]["root"] == samples.mvtec_ad.as_uri()
    assert per_dataset(first) == {"dagm_2007": 28, "mvtec_ad": 34}
    for asset in ("images", "image_tensors", "samples", "published_database"):
        assert changes(first, asset) == (62, 0, 0, 0), asset
        assert first.materialized[asset]["dagster/row_count"] == 62
    assert first.materialized["published_database"]["written"] is True
    assert first.failed_checks == {
        "samples:counts_equal_the_official_ones",
        "samples:labels_are_known",
    }
    tables = ("images", "image_tensors")
    rows = {name: samples.rows(name, "image_id") for name in tables}
    published = samples.database.stat()

    second = run_job()
    assert second.success
    assert changes(second, "mvtec_ad/images") == (0, 0, 0, 34)
    assert changes(second, "dagm_2007/images") == (0, 0, 0, 28)
    for asset in CATALOGUE:
        assert changes(second, asset)[:3] == (0, 0, 0)
        for fact in ("dagster/row_count", "root", "listing_digest"):
            assert second.materialized[asset][fact] == first.materialized[asset][fact]
    for asset in ("images", "image_tensors", "samples", "published_database"):
        assert changes(second, asset) == (0, 0, 0, 62), asset
    for asset in ("dataset_summary", "pixel_statistics", "defect_summary", "load_history"):
        count = first.materialized[asset]["dagster/row_count"]
        assert changes(first, asset) == (count, 0, 0, 0), asset
        assert changes(second, asset) == (0, 0, 0, count), asset
    publishing = [run.materialized["published_database"] for run in (first, second)]
    assert [facts["written"] for facts in publishing] == [True, False]
    for fact in ("snapshot_id", "file_bytes", "roots", "load_ids", "published_at"):
        assert publishing[1][fact] == publishing[0][fact], fact
    assert samples.database.stat() == published
    assert {name: samples.rows(name, "image_id") for name in tables} == rows
    assert second.failed_checks == first.failed_checks


@pytest.mark.slow
def test_one_category_is_reloaded_and_the_others_wait(tiny: Environment) -> None:
    tensors = (catalogue("mvtec_ad") | PIXELS).without_checks()
    assert run_selection(tensors).success
    before = images(tiny)
    for category in ("bolt", "woven"):
        write_image(tiny.mvtec_ad, f"{category}/train/good/009.png")
        (tiny.mvtec_ad / f"{category}/train/good/001.png").unlink()
    only_bolt = {"ops": {"mvtec_ad": {"config": {"categories": ["bolt"]}}}}
    run = run_selection(tensors, run_config=only_bolt)
    assert run.success
    assert changes(run, "mvtec_ad/images") == (1, 0, 1, 4)
    assert run.materialized["mvtec_ad/images"]["dagster/row_count"] == 9
    assert changes(run, "images") == (1, 0, 1, 8)
    assert changes(run, "image_tensors") == (1, 0, 1, 8)
    assert images(tiny) ^ before == {
        "mvtec_ad/bolt/train/good/001.png",
        "mvtec_ad/bolt/train/good/009.png",
    }


@pytest.mark.slow
def test_a_category_that_exists_nowhere_fails_and_names_those_that_do(tiny: Environment) -> None:
    unknown = {"ops": {"mvtec_ad": {"config": {"categories": ["bottle"]}}}}
    run = run_selection(catalogue("mvtec_ad"), run_config=unknown)
    assert not run.success
    assert run.failures.keys() == {"mvtec_ad"}
    assert (
        "MVTec AD has no category 'bottle'. Below the root: bolt, woven."
        in run.failures["mvtec_ad"]
    )


@pytest.mark.slow
def test_a_root_that_lost_a_fifth_fails_until_the_run_config_in_its_message_is_used(
    tiny: Environment,
) -> None:
    assert run_selection(catalogue("mvtec_ad")).success
    before = images(tiny)
    published = pretend_to_have_published(tiny)
    shutil.rmtree(tiny.mvtec_ad / "woven")

    refused = run_job()
    assert not refused.success
    assert refused.failures.keys() == {"mvtec_ad"}
    message = refused.failures["mvtec_ad"]
    root = tiny.mvtec_ad.as_uri()
    assert f"{root} lists 5 images of MVTec AD, 9 are loaded; nothing was changed." in message
    # The other source dataset was loaded; assets that need both were not materialized.
    assert refused.materialized.keys() == {"dagm_2007/images", "dagm_2007/stray_files"}
    assert images(tiny) == before
    assert tiny.database.read_bytes() == published

    allowed = run_selection(catalogue("mvtec_ad"), run_config=run_config_in(message))
    assert allowed.success
    assert changes(allowed, "mvtec_ad/images") == (0, 0, 4, 5)
    assert len(images(tiny)) == 5


def run_config_in(message: str) -> Any:
    [config] = re.findall(r"--config-json '(.+?)'", message)
    return json.loads(config.replace('\\"', '"'))


def pretend_to_have_published(environment: Environment) -> bytes:
    """Write a file in place of the published database, to detect any change to it."""
    environment.database.parent.mkdir()
    environment.database.write_bytes(b"as it was")
    return b"as it was"


def test_a_missing_root_fails_its_asset_and_touches_nothing(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_selection(catalogue("mvtec_ad")).success
    before = images(tiny)
    published = pretend_to_have_published(tiny)
    missing = tiny.mvtec_ad.parent / "unplugged"
    monkeypatch.setenv("MVTEC_AD_ROOT", str(missing))
    run = run_job()
    assert not run.success
    assert run.failures.keys() == {"mvtec_ad"}
    assert (
        f"MVTec AD (MVTEC_AD_ROOT): {missing} does not exist. 0 images listed, 9 loaded; nothing was "
        "changed. To leave this dataset out, set MVTEC_AD_ROOT to the empty string."
    ) in run.failures["mvtec_ad"]
    assert run.materialized.keys() == {"dagm_2007/images", "dagm_2007/stray_files"}
    assert images(tiny) == before
    assert tiny.database.read_bytes() == published


@pytest.mark.slow
def test_a_source_dataset_can_be_left_out_before_and_after_it_was_loaded(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    run = run_job()
    assert run.success
    for asset in ("dagm_2007/images", "dagm_2007/stray_files"):
        assert run.materialized[asset] == {
            "left_out": "DAGM 2007 not refreshed (DAGM_2007_ROOT is empty)."
        }
    assert per_dataset(run) == {"mvtec_ad": 9}
    assert len(run.materialized) == 21
    assert tiny.query("SELECT source_dataset, count(*) FROM anomaly.samples GROUP BY ALL") == [
        ("mvtec_ad", 9)
    ]
    # The root of the other dataset is set and that of this one is unset: loaded rows stay.
    monkeypatch.setenv("DAGM_2007_ROOT", str(tiny.dagm_2007))
    monkeypatch.setenv("MVTEC_AD_ROOT", " ")
    shutil.rmtree(tiny.mvtec_ad)
    run = run_selection((catalogue("mvtec_ad", "dagm_2007") | PIXELS).without_checks())
    assert run.success
    assert changes(run, "dagm_2007/images") == (4, 0, 0, 0)
    assert run.materialized["mvtec_ad/images"] == {
        "left_out": "MVTec AD not refreshed (MVTEC_AD_ROOT is empty)."
    }
    assert changes(run, "image_tensors") == (4, 0, 0, 9)
    assert run.materialized["samples"]["dagster/row_count"] == 13


@pytest.mark.slow
def test_both_source_datasets_can_be_left_out(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dataset in SAMPLED.values():
        monkeypatch.setenv(dataset.root_variable, "")
    run = run_job()
    assert run.success
    assert len(run.materialized) == 21
    assert all(run.materialized[asset].keys() == {"left_out"} for asset in CATALOGUE)
    assert run.materialized["published_database"]["dagster/row_count"] == 0
    assert run.failed_checks == set()
    assert environment.query("SELECT count(*) FROM anomaly.samples") == [(0,)]


@pytest.mark.slow
def test_what_a_killed_load_staged_and_did_not_document_is_put_right_by_a_run_without_changes(
    tiny: Environment,
) -> None:
    assert run_selection(catalogue("mvtec_ad")).success
    next(tiny.mvtec_ad.rglob("train/good/001.png")).unlink()
    assert run_selection(catalogue("mvtec_ad")).success  # the first load stages nothing
    with tiny.open_warehouse() as warehouse:
        warehouse.execute("INSERT INTO mvtec_ad_staging.images FROM mvtec_ad.images")
        warehouse.execute("COMMENT ON TABLE mvtec_ad.images IS NULL")
        warehouse.execute("COMMENT ON COLUMN mvtec_ad.images.split IS NULL")
    assert run_selection(catalogue("mvtec_ad")).success
    query = """
        SELECT (SELECT count(*) FROM mvtec_ad_staging.images), count(*)
        FROM duckdb_columns()
        WHERE schema_name = 'mvtec_ad' AND table_name = 'images' AND comment IS NULL
    """
    assert tiny.query(query, database=tiny.warehouse) == [(0, 0)]
