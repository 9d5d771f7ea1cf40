"""Compare metrics of pixels with the definitions, written out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage  # noqa: TID253

from anomaly_assets.evaluation import pixels
from anomaly_assets.evaluation.metrics import TOO_FEW, MetricRow
from anomaly_assets.evaluation.pixels import PixelMetrics

Maps = list[npt.NDArray[np.float32]]
Masks = list[npt.NDArray[np.uint8]]


def naive(maps: Maps, masks: Masks, kind: int | None = None) -> tuple[float, float]:
    """Return pixel AUROC and AUPRO, threshold by threshold; `kind` takes every second anomalous image."""
    free = np.concatenate([scores[mask == 0] for scores, mask in zip(maps, masks, strict=True)])
    regions = []
    for number, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        if kind is None or number % 2 == kind:
            labels, count = ndimage.label(mask, np.ones((3, 3)))
            regions += [scores[labels == region] for region in range(1, count + 1)]
    found = np.concatenate(regions)
    thresholds = np.unique(np.concatenate([free, found]))[::-1]
    alarms = [0.0, *((free >= each).mean() for each in thresholds)]
    hits = [0.0, *((found >= each).mean() for each in thresholds)]
    covered = [
        0.0,
        *(np.mean([(region >= each).mean() for region in regions]) for each in thresholds),
    ]
    area = 0.0
    for before, after, low, high in zip(alarms, alarms[1:], covered, covered[1:], strict=False):
        if before < 0.3 < after:
            high = low + (high - low) * (0.3 - before) / (after - before)
        if before < 0.3:
            area += (min(after, 0.3) - before) * (low + high) / 2
    return float(np.trapezoid(hits, alarms)), area / 0.3


def images(seed: int, values: int, lift: float) -> tuple[Maps, Masks]:
    """Return 12 good and 12 anomalous images; `values` distinct scores, 0 for as many as float32 has."""
    random = np.random.default_rng(seed)
    height, width = random.integers(4, 14, 2)
    maps: Maps = []
    masks: Masks = []
    for number in range(24):
        mask = (random.random((height, width)) < random.random()).astype(np.uint8)
        mask *= number >= 12
        mask[0, 0] |= number >= 12
        scores = random.random((height, width)) + lift * mask
        if values:
            scores = np.round(scores * values) / values
        maps.append(scores.astype(np.float32))
        masks.append(mask)
    return maps, masks


def measured(maps: Maps, masks: Masks) -> dict[tuple[str, str], MetricRow]:
    metrics = PixelMetrics()
    for number, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        metrics.add(f"{number}", scores, mask, "ab"[number % 2] if mask.any() else None)
    return {(row.defect_type, row.metric): row for row in metrics.rows()}


@pytest.mark.slow
@pytest.mark.parametrize("values", [0, 1, 3, 1000])
@pytest.mark.parametrize("lift", [0, 0.3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_values_equal_the_definitions_with_and_without_ties(
    seed: int, lift: float, values: int
) -> None:
    maps, masks = images(seed, values, lift)
    found = measured(maps, masks)
    expected = naive(maps, masks)
    values_found = found["", "pixel_auroc"].value, found["", "aupro"].value
    assert values_found == pytest.approx(expected, abs=1e-9)
    for row in (found["", "pixel_auroc"], found["", "aupro"]):
        assert row.low is not None
        assert row.high is not None
        assert row.value is not None
        assert 0 <= row.low <= row.value + 1e-9 <= row.high + 2e-9 <= 1 + 3e-9
        assert (row.images_good, row.images_anomalous) == (12, 12)


def test_a_kind_of_defect_is_compared_with_all_defect_free_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pixels, "LEAST_IMAGES", 6)
    maps, masks = images(2, 100, 0.4)
    found = measured(maps, masks)
    for number, kind in enumerate("ab"):
        expected = naive(maps, masks, number)
        values = found[kind, "pixel_auroc"].value, found[kind, "aupro"].value
        assert values == pytest.approx(expected, abs=1e-9)
        assert found[kind, "aupro"].images_anomalous == 6


def test_rounding_of_many_distinct_scores_changes_the_result_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maps, masks = images(3, 0, 0.4)
    exact = measured(maps, masks)
    monkeypatch.setattr(pixels, "MOST_DISTINCT", 200)
    rounded = measured(maps, masks)
    for key in (("", "pixel_auroc"), ("", "aupro")):
        assert rounded[key].value == pytest.approx(exact[key].value, abs=2e-3)
        assert rounded[key].value != exact[key].value


def test_one_good_pixel_above_all_defects_leaves_a_gap_below_the_curve() -> None:
    maps, masks = images(4, 0, 0)
    for scores, mask in zip(maps, masks, strict=True):
        scores[:] = mask
    assert measured(maps, masks)["", "aupro"].value == 1
    maps[0][0, 0] = 2
    free = sum(int((mask == 0).sum()) for mask in masks)
    assert measured(maps, masks)["", "aupro"].value == pytest.approx(1 - 1 / free / 0.3)


def test_diagonal_neighbours_are_one_region() -> None:
    maps, masks = images(5, 0, 0)
    for scores, mask in zip(maps, masks, strict=True):
        scores[:] = 0
        mask[:] = 0
    for scores, mask in zip(maps[12:], masks[12:], strict=True):
        mask[0, 0] = mask[1, 1] = mask[3, 3] = 1
        scores[0, 0] = 1
    # The region of two pixels is found by one half, the other region is not found.
    assert naive(maps, masks)[1] == pytest.approx(0.25 + 0.75 * 0.15, abs=1e-3)
    assert measured(maps, masks)["", "aupro"].value == pytest.approx(naive(maps, masks)[1])


def test_few_images_of_a_class_have_no_number() -> None:
    maps, masks = images(6, 0, 1)
    found = measured(maps[3:], masks[3:])
    assert {row.value for row in found.values()} == {None}
    assert found["", "aupro"].note == TOO_FEW
    assert found["", "aupro"].images_good == 9


def test_without_images_there_is_no_number() -> None:
    rows = PixelMetrics().rows("weak labels")
    assert [row.note for row in rows] == [f"{TOO_FEW}; weak labels"] * 2


@pytest.mark.parametrize("score", [-1, float("nan"), float("inf")])
def test_scores_that_are_no_distances_are_refused(score: float) -> None:
    scores = np.full((2, 2), score, np.float32)
    with pytest.raises(ValueError, match="finite"):
        PixelMetrics().add("a", scores, np.zeros((2, 2), np.uint8), None)


def test_an_anomalous_image_with_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="needs defective pixels"):
        PixelMetrics().add("a", np.ones((2, 2), np.float32), np.zeros((2, 2), np.uint8), "crack")
    with pytest.raises(ValueError, match="good image has none"):
        PixelMetrics().add("a", np.ones((2, 2), np.float32), np.ones((2, 2), np.uint8), None)


def test_what_is_outside_of_the_measured_part_changes_nothing() -> None:
    maps, masks = images(5, 0, 0.3)
    height, width = maps[0].shape
    names = [f"{number:02}" for number in range(len(maps))]
    plain = PixelMetrics()
    padded = PixelMetrics(dict.fromkeys(names, (slice(3, 3 + height), slice(0, width))))
    for number, (name, scores, mask) in enumerate(zip(names, maps, masks, strict=True)):
        kind = "hole" if number >= 12 else None
        plain.add(name, scores, mask, kind)
        around = [(3, 4 * height), (0, 0)]
        padded.add(name, np.pad(scores, around), np.pad(mask, around), kind)
    assert padded.rows() == plain.rows()
