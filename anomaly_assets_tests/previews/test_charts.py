"""Test charts whose bars and marks have the expected positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.drawing import ANOMALOUS, GOOD
from anomaly_assets.previews import charts
from anomaly_assets_tests.previews.scene import built, even, square

PICTURES = {
    **{f"bottle/train/good/{number:03}.png": even(number) for number in range(8)},
    **{f"bottle/test/crack/{number:03}.png": even(number) for number in range(3)},
    "bottle/test/good/000.png": even(100),
    "bottle/ground_truth/crack/000_mask.png": square(),
}


def longest_bars(chart: Image.Image, colour: tuple[int, int, int]) -> set[int]:
    """Return the lengths of the bars of this colour below the legend, in pixels."""
    pixels = np.asarray(chart)[24:]
    return {int(count) for count in np.all(pixels == colour, axis=2).sum(axis=1)} - {0}


@pytest.mark.slow
def test_bars_are_as_long_as_their_numbers(tmp_path: Path) -> None:
    with built(tmp_path, PICTURES).warehouse.connect() as connection:
        chart = charts.image_counts(connection)
    assert chart is not None
    assert chart.width == 600
    one, eight = sorted(longest_bars(chart, GOOD))
    [three] = longest_bars(chart, ANOMALOUS)
    assert eight == pytest.approx(8 * one, rel=0.05)
    assert three == pytest.approx(3 * one, rel=0.05)


@pytest.mark.slow
def test_defects_are_marked_by_type(tmp_path: Path) -> None:
    with built(tmp_path, PICTURES).warehouse.connect() as connection:
        chart = charts.defect_areas(connection)
    assert chart is not None
    assert chart.width == 600
    assert longest_bars(chart, ANOMALOUS)


def test_without_images_or_masks_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with built(tmp_path, {}).warehouse.connect() as connection:
        assert charts.image_counts(connection) is None
        assert charts.defect_areas(connection) is None
    with built(
        tmp_path / "good", {"a/train/good/0.png": even(1)}
    ).warehouse.connect() as connection:
        assert charts.image_counts(connection) is not None
        assert charts.defect_areas(connection) is None


@pytest.mark.parametrize("most", [1, 2, 9, 10, 11, 99, 391, 575, 1000, 4999, 123_456])
def test_an_axis_has_a_handful_of_round_ticks(most: int) -> None:
    ticks = charts._Linear(most).ticks()
    assert 2 <= len(ticks) <= 7
    assert ticks[0][1] == "0"
    assert ticks[-1][0] <= charts._RIGHT


@pytest.mark.parametrize(
    ("least", "most"), [(0.27, 4.8), (0.0008, 9), (1, 1), (0.5, 0.5), (100, 100), (1e-9, 100)]
)
def test_a_logarithmic_axis_holds_all_of_its_values(least: float, most: float) -> None:
    axis = charts._Logarithmic(least, most)
    for value in (least, most):
        assert charts._LEFT <= axis.place(value) <= charts._RIGHT
    assert len(axis.ticks()) >= 2
