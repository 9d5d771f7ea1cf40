"""Compute metrics of pixels from maps, one image at a time and in bounded memory.

Scores are counted instead of kept: how many defect-free pixels have a score, and how much of the defective
regions has it. Up to a million distinct scores are exact. Beyond that, the last bits of the numbers are
dropped, one after the other: scores between 8 and 32 then differ by at least a 500,000th of their value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from anomaly_assets.evaluation.metrics import LEAST_IMAGES, TOO_FEW, MetricRow, resamples
from anomaly_assets.recipes import fitted_box, parse_recipe

MOST_FALSE_POSITIVES = 0.3
"""Fraction of defect-free pixels up to which AUPRO integrates."""
MOST_DISTINCT = 1 << 20

_COARSE_BITS = np.uint32(16)
"""Bits that are dropped for intervals: scores with a relative difference of 0.8 % become equal."""

_GOOD = "good"
_KIND = "kind of defect: "

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint32]
Curve = tuple[Floats, Floats, Floats]
"""Defect-free pixels, defective pixels and covered regions at or above each score, R x G, highest first."""


Part = tuple[slice, slice]
"""Rows and columns of a tensor."""


def picture_parts(recipe: str, samples: pa.Table) -> dict[str, Part]:
    """Return the part of each tensor that the picture fills, by image id; empty if it fills all of it.

    A recipe that keeps the aspect ratio fills the rest with zeros, which are no defect-free pixels.

    Args:
        recipe: Name of a recipe without tiles.
        samples: Columns `image_id`, `original_width` and `original_height` in pixels.
    """
    parsed = parse_recipe(recipe)
    parts: dict[str, Part] = {}
    if parsed.fit:
        names = ("image_id", "original_width", "original_height")
        for image_id, *size in zip(*(samples[name].to_pylist() for name in names), strict=True):
            left, top, right, bottom = fitted_box(parsed, *size)
            parts[image_id] = slice(top, bottom), slice(left, right)
    return parts


class PixelMetrics:
    """Pixel AUROC and AUPRO of a category.

    A region is a group of defective pixels that touch each other at sides or corners. AUPRO averages, over
    all regions, the fraction of the region that is found, as a function of the fraction of all defect-free
    pixels that are found; it is the area below this curve up to 0.3 (trapezoids, interpolated at 0.3),
    divided by 0.3. Defect-free pixels are those of good and of anomalous images.

    Args:
        parts: Part of a map and its mask that is measured, by image id; all of it for other images.
    """

    def __init__(self, parts: Mapping[str, Part] | None = None) -> None:
        self._parts = parts or {}
        self._free = _Scores(1)
        self._defective: dict[str, _Scores] = {}
        self._images: dict[str, tuple[str, _Scores]] = {}

    def add(
        self,
        image_id: str,
        scores: npt.NDArray[np.float32],
        mask: npt.NDArray[np.uint8],
        defect_type: str | None,
    ) -> None:
        """Add the map of one test image whose mask is known.

        Args:
            image_id: Its id. The order in which images are added does not change the result.
            scores: float32, H x W, not negative: the map in the size of the mask.
            mask: uint8, H x W; defective pixels are not 0. An anomalous image must have at least one.
            defect_type: Kind of defect; None for a good image.

        Raises:
            ValueError: A score is negative or not a number, or an anomalous image has an empty mask.
        """
        from scipy import ndimage

        part = self._parts.get(image_id, ...)
        scores, mask = scores[part], mask[part]
        keys = _keys(scores).ravel()
        is_defect = (mask > 0).ravel()
        if is_defect.any() == (defect_type is None):
            raise ValueError(
                "An anomalous image needs defective pixels, and a good image has none."
            )
        columns = np.zeros((len(keys), 3))
        columns[:, 0] = ~is_defect
        self._free.add(keys[~is_defect], None)
        if defect_type is not None:
            regions = ndimage.label(mask > 0, np.ones((3, 3)))[0].ravel()[is_defect]
            columns[is_defect, 1] = 1
            columns[is_defect, 2] = 1 / np.bincount(regions)[regions]
            of_kind = self._defective.setdefault(defect_type, _Scores(2))
            of_kind.add(keys[is_defect], columns[is_defect, 1:])
        rounded = _Scores(3)
        rounded.add(keys >> _COARSE_BITS, columns)
        rounded.merge()
        self._images[image_id] = (_GOOD if defect_type is None else _KIND + defect_type), rounded

    def rows(self, note: str = "") -> list[MetricRow]:
        """Return pixel AUROC and AUPRO: of all images, and of each kind of defect.

        The defect-free pixels are those of all images in every row. Intervals come from resamples of
        images, stratified by kind of defect, with slightly rounded scores.

        Args:
            note: Remark for every row.
        """
        strata = Counter(stratum for stratum, _ in self._images.values())
        rows = []
        kinds = sorted(self._defective)
        for kind in ["", *filter(None, kinds)]:
            chosen = [kind] if kind else kinds
            counts = strata[_GOOD], sum(strata[_KIND + each] for each in chosen)
            for name, metric in (("pixel_auroc", _auroc), ("aupro", _aupro)):
                value = low = high = None
                remarks = [note] if note else []
                if min(counts) < LEAST_IMAGES:
                    remarks.insert(0, TOO_FEW)
                else:
                    [value] = metric(
                        _curve(self._free, [self._defective[each] for each in chosen])
                    ).tolist()
                    low, high = self._interval(chosen, metric, value)
                rows.append(MetricRow(kind, name, value, low, high, *counts, "; ".join(remarks)))
        return rows

    def _interval(
        self, kinds: list[str], metric: Callable[[Curve], Floats], value: float
    ) -> tuple[float, float]:
        strata, scores = zip(*(self._images[name] for name in sorted(self._images)), strict=True)
        keys = np.unique(np.concatenate([each.keys for each in scores]))[::-1]
        sums = np.stack([each.spread(keys) for each in scores])
        is_chosen = np.isin(strata, [_KIND + kind for kind in kinds])

        def curve(weights: Floats) -> Curve:
            false = np.cumsum(weights @ sums[:, :, 0], axis=1)
            true, covered = (
                np.cumsum(weights[:, is_chosen] @ sums[is_chosen][:, :, column], axis=1)
                for column in (1, 2)
            )
            return false, true, covered

        [center] = metric(curve(np.ones((1, len(strata))))).tolist()
        values = np.concatenate(
            [metric(curve(weights)) for weights in resamples(np.asarray(strata))]
        )
        low, high = (np.quantile(values, [0.025, 0.975]) + value - center).clip(0, 1).tolist()
        return low, high


class _Scores:
    """Sums of columns for each distinct score.

    Attributes:
        keys: uint32, sorted: scores without their last `shift` bits.
        sums: float64, G x columns.
        shift: Number of bits that were dropped because there were too many scores.
    """

    def __init__(self, columns: int) -> None:
        self.keys = np.empty(0, np.uint32)
        self.sums = np.empty((0, columns))
        self.shift = 0
        self._waiting: list[tuple[Keys, Floats | None]] = []
        self._count = 0

    def add(self, keys: Keys, columns: Floats | None) -> None:
        """Add keys, N, with their columns, N x columns; None for ones."""
        self._waiting.append((keys >> np.uint32(self.shift), columns))
        self._count += len(keys)
        if self._count > 4 * MOST_DISTINCT:
            self.merge()

    def merge(self) -> None:
        """Add up what was added, and drop bits until there are few enough keys."""
        waiting, self._waiting, self._count = self._waiting, [], 0
        if not waiting:
            return
        columns = [each for _, each in waiting if each is not None]
        keys = np.concatenate([each for each, _ in waiting])
        if columns:
            sums = np.concatenate(columns)
        else:
            keys, counts = np.unique(keys, return_counts=True)
            sums = counts[:, None].astype(np.float64)
        keys, sums = np.concatenate([self.keys, keys]), np.concatenate([self.sums, sums])
        order = np.argsort(keys, kind="stable")
        self.keys, self.sums = _grouped(keys[order], sums[order])
        while len(self.keys) > MOST_DISTINCT:
            self.drop_bits(1)

    def drop_bits(self, count: int) -> None:
        """Drop further bits of the keys."""
        self.shift += count
        self.keys, self.sums = _grouped(self.keys >> np.uint32(count), self.sums)

    def spread(self, keys: Keys) -> Floats:
        """Return the sums of these keys, G x columns; zeros where there is none."""
        found = np.zeros((len(keys), self.sums.shape[1]))
        if len(self.keys):
            at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
            is_there = self.keys[at] == keys
            found[is_there] = self.sums[at[is_there]]
        return found


def _keys(scores: npt.NDArray[np.float32]) -> Keys:
    """Return integers of 32 bits in the order of the scores."""
    if not (np.isfinite(scores).all() and (scores >= 0).all()):
        raise ValueError("The scores of a map must be finite numbers that are not negative.")
    return (np.asarray(scores, np.float32) + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0


def _grouped(keys: Keys, sums: Floats) -> tuple[Keys, Floats]:
    """Add up the rows of equal keys, which are sorted."""
    if not len(keys):
        return keys, sums
    first = np.append(0, np.flatnonzero(np.diff(keys)) + 1)
    return keys[first], np.add.reduceat(sums, first)


def _curve(free: _Scores, defective: list[_Scores]) -> Curve:
    every = [free, *defective]
    for each in every:
        each.merge()
    shift = max(each.shift for each in every)
    for each in every:
        each.drop_bits(shift - each.shift)
    keys = np.unique(np.concatenate([each.keys for each in every]))[::-1]
    found = free.spread(keys)[:, 0]
    hit = np.sum([each.spread(keys) for each in defective], axis=0)
    return np.cumsum(found)[None], np.cumsum(hit[:, 0])[None], np.cumsum(hit[:, 1])[None]


def _auroc(curve: Curve) -> Floats:
    false, true, _ = (_from_zero_to_one(each) for each in curve)
    return np.asarray((np.diff(false) * (true[:, 1:] + true[:, :-1])).sum(1) / 2)


def _aupro(curve: Curve) -> Floats:
    """Return the area below the curve of coverage up to the limit, divided by the limit."""
    false, _, covered = (_from_zero_to_one(each) for each in curve)
    before, after = false[:, :-1], false[:, 1:]
    width = (after.clip(max=MOST_FALSE_POSITIVES) - before).clip(min=0)
    slope = np.divide(
        np.diff(covered), after - before, out=np.zeros_like(before), where=after > before
    )
    area = (width * (covered[:, :-1] + slope * width / 2)).sum(1)
    return np.asarray(area / MOST_FALSE_POSITIVES)


def _from_zero_to_one(counts: Floats) -> Floats:
    return np.concatenate([np.zeros((len(counts), 1)), counts / counts[:, -1:]], 1)
