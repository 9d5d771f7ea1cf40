"""Define the fixtures of the tests of exports."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.export.published import PICTURES, publish_pictures

collect_ignore = [] if find_spec("anomalib") else ["test_with_anomalib.py"]
"""`make test-anomalib` runs this module, in the environment that has anomalib."""


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish ten images, of both datasets, splits and labels; 8 x 6 pixels in colour."""
    return publish_pictures(tmp_path_factory.mktemp("published"), PICTURES)


@pytest.fixture(scope="session")
def grey_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish the same images with one channel."""
    return publish_pictures(tmp_path_factory.mktemp("grey"), PICTURES, Recipe(8, 6, 1))


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return `datasets.load_dataset`, without network and with a cache of its own."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets.load_dataset
