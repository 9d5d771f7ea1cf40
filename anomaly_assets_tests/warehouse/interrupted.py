"""Test killed loads for every kind of warehouse; each kind has a test module that imports these tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.tables.ddl import row_count
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job
from anomaly_assets_tests.faults.content import Content, read_content
from anomaly_assets_tests.warehouse.killed_loads import (
    as_if_killed_before_the_counts,
    as_if_killed_before_the_merges,
    history,
    merges_broken_off_after_their_deletions,
)
from anomaly_assets_tests.warehouse.project import Project, mask, noise

MVTEC = SOURCE_DATASETS["mvtec_ad"]
GOOD = "mvtec_ad/bottle/train/good"
ORPHAN = "mvtec_ad/bottle/ground_truth/crack/000_mask.png"


def rows_that_nothing_counts_are_counted_for_good(warehouse: Warehouse, folder: Path) -> None:
    project, root = _four_images(folder)
    load(MVTEC, root, warehouse)
    as_if_killed_before_the_counts(warehouse, "mvtec_ad")
    interrupted = ("mvtec_ad", 4, 0, 0, 1, "interrupted")
    assert history(warehouse) == [interrupted]
    assert not load(MVTEC, root, warehouse).any_change
    assert history(warehouse) == [interrupted]
    # The rows of the killed load are loaded again, and get the id of the new load.
    project.save({f"{GOOD}/{number:03}.png": noise(10 + number) for number in range(4)})
    project.save({ORPHAN: mask((0, 0, 9, 9))})
    assert load(MVTEC, root, warehouse).tables["images"].updated == 4
    assert history(warehouse) == [interrupted, ("mvtec_ad", 0, 4, 0, 0, "completed")]


def a_second_load_that_nothing_counts_is_told_from_the_first(
    warehouse: Warehouse, folder: Path
) -> None:
    project, root = _four_images(folder)
    load(MVTEC, root, warehouse)
    project.save({f"{GOOD}/004.png": noise(4), f"{GOOD}/000.png": noise(50)})
    load(MVTEC, root, warehouse)
    as_if_killed_before_the_counts(warehouse, "mvtec_ad")
    assert not load(MVTEC, root, warehouse).any_change
    assert history(warehouse) == [
        ("mvtec_ad", 4, 0, 0, 1, "completed"),
        (
            "mvtec_ad",
            2,
            0,
            0,
            0,
            "interrupted",
        ),  # one existed before, which is not recorded
    ]


def counts_of_rows_that_never_came_do_not_stay(warehouse: Warehouse, folder: Path) -> None:
    project, root = _four_images(folder)
    load(MVTEC, root, warehouse)
    project.save({f"{GOOD}/004.png": noise(4), f"{GOOD}/005.png": noise(5)})
    load(MVTEC, root, warehouse)
    as_if_killed_before_the_merges(warehouse, "mvtec_ad")
    assert load(MVTEC, root, warehouse).tables["images"].inserted == 2
    load(MVTEC, root, warehouse)
    assert history(warehouse) == [
        ("mvtec_ad", 4, 0, 0, 1, "completed"),
        ("mvtec_ad", 2, 0, 0, 0, "completed"),
    ]


def a_merge_that_is_broken_off_deletes_nothing(warehouse: Warehouse, folder: Path) -> None:
    project, root = _four_images(folder)
    load(MVTEC, root, warehouse)
    project.save({f"{GOOD}/004.png": noise(4), f"{GOOD}/000.png": noise(50)})
    project.path(f"{GOOD}/003.png").unlink()
    with (
        merges_broken_off_after_their_deletions(),
        pytest.raises(PipelineStepFailed, match="broken off"),
    ):
        load(MVTEC, root, warehouse)
    with warehouse.connect() as connection:
        assert row_count(connection, "mvtec_ad.images") == 4
    load(MVTEC, root, warehouse)
    assert history(warehouse) == [
        ("mvtec_ad", 4, 0, 0, 1, "completed"),
        ("mvtec_ad", 1, 1, 1, 0, "completed"),
    ]


def undisturbed_content(
    environment: Environment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Content:
    """Return the content that an undisturbed run publishes from these roots, in another file."""
    with monkeypatch.context() as patch:
        patch.setenv("ANOMALY_WAREHOUSE", str(folder / "undisturbed" / "warehouse.duckdb"))
        patch.setenv("ANOMALY_DATABASE", str(folder / "undisturbed" / "anomaly.duckdb"))
        assert run_job().success
    return read_content(folder / "undisturbed" / "anomaly.duckdb")


def _four_images(folder: Path) -> tuple[Project, str]:
    """Create four images, and a mask without an image."""
    shutil.rmtree(folder, ignore_errors=True)
    project = Project.at(folder)
    project.save({f"{GOOD}/{number:03}.png": noise(number) for number in range(4)})
    project.save({ORPHAN: mask()})
    return project, str(folder / "mvtec_ad")


EVERYWHERE = [
    rows_that_nothing_counts_are_counted_for_good,
    a_second_load_that_nothing_counts_is_told_from_the_first,
    counts_of_rows_that_never_came_do_not_stay,
    a_merge_that_is_broken_off_deletes_nothing,
]
