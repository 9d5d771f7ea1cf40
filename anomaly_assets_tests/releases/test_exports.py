"""Test exports of databases that earlier releases published."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.errors import WarehouseError
from anomaly_assets.export import FORMATS, ExportError
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.releases import unpack_release

RELEASES = ["first_named_roots", "first_sample_roots", "second_named_roots"]


@pytest.fixture(scope="module", params=RELEASES)
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_release(request.param, tmp_path_factory.mktemp("release")) / "anomaly.duckdb"


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "mvtec"])
def test_every_format_exports_them(published: Path, tmp_path: Path, name: str) -> None:
    assert FORMATS[name](tmp_path / "out", published).samples == 62


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return unpack_release(RELEASES[0], tmp_path / "release") / "anomaly.duckdb"


def test_a_check_says_that_an_earlier_release_published_them(first: Path, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="the check labels_agree reads. If an earlier release"):
        FORMATS["coco"](tmp_path / "out", first, check="labels_agree")


def test_originals_say_that_an_earlier_release_published_them(
    first: Path, tmp_path: Path, samples: Environment
) -> None:
    with pytest.raises(ExportError, match="An earlier release published this database"):
        FORMATS["coco"](tmp_path / "out", first, originals=True)
