"""Test that databases of earlier releases are opened, read, refreshed and replaced without new decoding."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.reader import list_snapshots, open_samples
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job
from anomaly_assets_tests.releases import copy_samples, unpack_release
from anomaly_assets_tests.warehouse.project import without_zones

# Columns that hold the URL of the root, and therefore change when it moves.
_ADDRESSES = ("source_uri",)
_WITHOUT_NEW = "SELECT * EXCLUDE (source_uri, attributes) FROM anomaly.samples ORDER BY image_id"
_ROWS = f"SELECT * EXCLUDE ({', '.join(_ADDRESSES)}) FROM anomaly.samples ORDER BY image_id"


def rows(path: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def upgraded(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Place the files of the first release where the settings expect them."""
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "8")
    environment.warehouse.parent.mkdir()
    return environment


def unpack(environment: Environment, name: str) -> None:
    folder = unpack_release(name, environment.warehouse.parent)
    environment.database.parent.mkdir()
    for path in folder.glob("anomaly*.duckdb"):
        path.rename(environment.database.parent / path.name)


@pytest.mark.parametrize("release", ["first", "second"])
def test_published_files_of_earlier_releases_are_read(upgraded: Environment, release: str) -> None:
    unpack(upgraded, f"{release}_named_roots")
    newest, older = list_snapshots(upgraded.database)
    with open_samples(upgraded.database) as samples:
        assert (len(samples), samples.snapshot_id) == (62, newest.snapshot_id)
        assert samples.images[:].any()
    with open_samples(upgraded.database, snapshot=older.snapshot_id) as samples:
        assert len(samples) == 61


@pytest.mark.parametrize(("release", "formats"), [("first", 0), ("second", 62)])
def test_a_refresh_after_the_upgrade_decodes_nothing_and_replaces_its_own_file(
    upgraded: Environment, monkeypatch: pytest.MonkeyPatch, release: str, formats: int
) -> None:
    unpack(upgraded, f"{release}_named_roots")
    copy_samples(upgraded.mvtec_ad.parent)
    before = rows(upgraded.database, _ROWS)
    ids = rows(upgraded.database, "SELECT snapshot_id FROM snapshots ORDER BY published_at")
    run = run_job()
    assert run.success, run.failures
    tensors = run.materialized["image_tensors"]
    assert (tensors["rows_added"], tensors["rows_changed"], tensors["rows_unchanged"]) == (0, 0, 62)
    assert rows(upgraded.database, _WITHOUT_NEW) == without_zones(before)
    facts = "SELECT count(*), count(content_sha256), count(file_format) FROM anomaly.facts"
    assert rows(upgraded.database, facts) == [(62, 62, formats)]
    after = rows(upgraded.database, "SELECT snapshot_id FROM snapshots ORDER BY published_at")
    assert after[:2] == ids
    assert len(after) == 3  # the roots have another URL
    held = "SELECT source_dataset, from_samples, root_uri FROM anomaly.source_datasets ORDER BY ALL"
    assert rows(upgraded.database, held) == [
        ("dagm_2007", False, upgraded.dagm_2007.as_uri()),
        ("mvtec_ad", False, upgraded.mvtec_ad.as_uri()),
    ]
    held = "SELECT DISTINCT recipe, transform, named_by FROM anomaly.recipes"
    assert rows(upgraded.database, held) == [("8x8x3", "lanczos-8x8x3", "upgrade")]
    run = run_job()
    assert run.success
    assert not run.materialized["published_database"]["written"]

    monkeypatch.setenv("ANOMALY_SIZES", "declared")
    run = run_job()
    assert run.success
    assert run.materialized["image_tensors"]["rows_changed"] == 0
    assert run.materialized["recipe_tensors"]["rows_added"] == 28
    held = "SELECT DISTINCT recipe, transform FROM anomaly.recipe_tensors"
    assert rows(upgraded.database, held) == [("512x512x1", "lanczos-512x512x1")]


def test_a_refresh_of_a_part_keeps_the_rest(
    upgraded: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(upgraded, "first_named_roots")
    copy_samples(upgraded.mvtec_ad.parent)
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    assert run_job().success
    held = "SELECT source_dataset, root_uri FROM anomaly.source_datasets ORDER BY ALL"
    assert rows(upgraded.database, held) == [
        ("dagm_2007", "file:///data/dagm_2007"),
        ("mvtec_ad", upgraded.mvtec_ad.as_uri()),
    ]
    assert len(rows(upgraded.database, _ROWS)) == 62


def test_samples_that_the_first_release_loaded_are_recognised_and_leave(
    upgraded: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(upgraded, "first_sample_roots")
    copy_samples(upgraded.mvtec_ad.parent)
    for path in upgraded.mvtec_ad.rglob("test/*"):
        if path.is_dir() and path.name != "good":
            for file in path.iterdir():
                file.unlink()
    monkeypatch.setenv(SOURCE_DATASETS["dagm_2007"].root_variable, "")
    run = run_job()
    assert run.success, run.failures
    counts = "SELECT source_dataset, count(*) FROM anomaly.samples GROUP BY ALL"
    assert rows(upgraded.database, counts) == [("mvtec_ad", 22)]
    assert run.materialized["image_tensors"]["rows_added"] == 0
