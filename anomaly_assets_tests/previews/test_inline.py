"""Test the small sheets in descriptions: every defect type has an image."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from anomaly_assets.previews import inline
from anomaly_assets.previews.inline import MOST_TILES, inline_sheet
from anomaly_assets.previews.sheets import Key
from anomaly_assets_tests.previews.scene import built, even, square
from anomaly_assets_tests.warehouse.project import Project


def keys(categories: int, types: int) -> list[Key]:
    """Return two good images of each category, and one image of each of its defect types."""
    return [
        (f"category {c}", label, caption, f"{c}/{label}/{caption}/{place}")
        for c in range(categories)
        for label, caption, place in (
            *(("good", "good", place) for place in range(2)),
            *(("anomalous", f"type {n}", 0) for n in range(types)),
        )
    ]


def test_each_category_has_one_good_image_and_each_defect_type_one() -> None:
    chosen = inline._chosen(keys(3, 4))
    assert len(chosen) == 3 * (1 + 4)
    assert [key[3] for key in chosen if key[1] == "good"] == [f"{c}/good/good/0" for c in range(3)]


def test_good_images_are_left_out_before_any_defect_type() -> None:
    chosen = inline._chosen(keys(12, 8))
    assert len(chosen) == MOST_TILES == 12 * 8
    assert {key[1] for key in chosen} == {"anomalous"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    pictures = {
        "bolt/train/good/000.png": even(80),
        "bolt/test/scratch/000.png": even(120),
        "bolt/ground_truth/scratch/000_mask.png": square(),
    }
    return built(tmp_path_factory.mktemp("built"), pictures)


@pytest.mark.slow
@pytest.mark.parametrize("most_bytes", [14_000, 2_000])
def test_a_sheet_stays_within_its_budget(project: Project, most_bytes: int) -> None:
    with project.warehouse.connect() as connection:
        content = inline_sheet(connection, "mvtec_ad", most_bytes)
        assert inline_sheet(connection, "unknown", most_bytes) is None
    assert content is not None
    assert len(content) <= most_bytes
    with Image.open(io.BytesIO(content)) as sheet:
        assert sheet.width == 600
