"""Test killed loads in the history of a lake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job
from anomaly_assets_tests.warehouse.interrupted import EVERYWHERE, undisturbed_content
from anomaly_assets_tests.warehouse.killed_loads import (
    as_if_killed_before_the_counts,
    as_if_killed_before_the_merges,
)
from anomaly_assets_tests.warehouse.lake.lakes import Lake


@pytest.mark.parametrize("holds", EVERYWHERE, ids=lambda holds: holds.__name__)
def test_in_a_lake(lake: Lake, tmp_path: Path, holds: Callable[[Warehouse, Path], None]) -> None:
    holds(lake.warehouse(), tmp_path / "files")


@pytest.mark.parametrize("kill", [as_if_killed_before_the_counts, as_if_killed_before_the_merges])
def test_the_next_run_publishes_what_one_that_nobody_killed_does(
    tiny: Environment,
    lake: Lake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill: Callable[[Warehouse, str], None],
) -> None:
    undisturbed = undisturbed_content(tiny, tmp_path, monkeypatch)
    load(SOURCE_DATASETS["dagm_2007"], str(tiny.dagm_2007), lake.warehouse())
    kill(lake.warehouse(), "dagm_2007")
    assert run_job().success
    assert lake.published().differences(undisturbed) == []
    versions = lake.versions()
    assert run_job().success
    assert lake.versions() == versions
