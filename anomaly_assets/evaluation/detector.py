"""Score the images of a category with a bank of good patches, and measure the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from anomaly_assets.evaluation import protocol
from anomaly_assets.evaluation.backbone import Backbone
from anomaly_assets.evaluation.bank import (
    MOST_PATCHES,
    SEED,
    Bank,
    Nearest,
    Reservoir,
    k_center,
    projected,
)
from anomaly_assets.evaluation.maps import SmallMap, full_size, small_map
from anomaly_assets.evaluation.masking import Highest
from anomaly_assets.evaluation.metrics import (
    LEAST_IMAGES,
    WEAK_LABELS,
    MetricRow,
    image_metrics,
)
from anomaly_assets.evaluation.pixels import Part, PixelMetrics
from anomaly_assets.evaluation.protocol import BANK, SCORED, TEST, VALIDATION, Roles, Use
from anomaly_assets.reader.batch import Batch

QUANTILE = 0.99
"""Fraction of good images below the threshold."""

FROM_VALIDATION = "validation"
OUT_OF_FOLD = "out_of_fold"

Floats = npt.NDArray[np.float32]


Images = Callable[[Sequence[str]], Iterable[Batch]]
"""Returns the images with these ids, in any order, a few at a time: uint8, with their masks.

It is called once for each pass over the images.
"""
Progress = Callable[[int, int], None]
"""Called with the number of images that were processed, and how many there will be."""


@dataclass(frozen=True)
class ImageScore:
    """Score of one image.

    Attributes:
        use: The image, and what it was used for.
        score: Largest distance of one of its patches to the nearest one of the bank; for an image of the
            bank, its score out of fold. None if the bank has one fold only.
        out_of_fold_score: Score by patches of other folds alone, for images of the bank; None for others.
        is_above_threshold: Whether the score is above the threshold; None without one of both.
        map: Distances of the patches, for display; None without a score.
        vector: float32, D: mean of the features of all patches.
        unmasked_score: Score of an image of the bank (out of fold) or of validation, without the patches of
            the images of the bank with the highest scores, to find label errors; None for other images.
    """

    use: Use
    score: float | None
    out_of_fold_score: float | None
    is_above_threshold: bool | None
    map: SmallMap | None
    vector: Floats
    unmasked_score: float | None = None


@dataclass(frozen=True)
class CategoryResult:
    """Result of one category at one recipe.

    Attributes:
        scores: One for each image that is not left out, ordered by `image_id`.
        threshold: Score above which an image is called anomalous; None if there are too few good images.
        threshold_source: `validation` or `out_of_fold`; None without a threshold.
        metrics: Metrics of images and pixels; empty if nothing can be measured.
        counts: Number of images by role and by reason. `test_masks_unknown` are anomalous test images
            without a known mask, `test_masks_empty` those whose mask has no pixel, because resizing erased
            it or because it never had one: both are left out of the metrics of pixels.
        no_number: Sentence if nothing could be measured; None otherwise.
        bank: The bank; None without good training images.
        bank_is_kept: Whether the bank is the one that was given.
    """

    scores: tuple[ImageScore, ...]
    threshold: float | None
    threshold_source: str | None
    metrics: tuple[MetricRow, ...]
    counts: Mapping[str, int]
    no_number: str | None
    bank: Bank | None
    bank_is_kept: bool


def evaluate_category(
    images: Images,
    roles: Roles,
    backbone: Backbone,
    *,
    kept: Bank | None = None,
    pixels: str = "",
    weak_labels: bool = False,
    parts: Mapping[str, Part] | None = None,
    progress: Progress | None = None,
) -> CategoryResult:
    """Score and measure a category.

    In memory are the sample of patches while a bank is made (61 MB with the packaged network), the bank (6
    MB), a batch of images, a few kB for each image, and another 20 kB for each one of the bank or of
    validation (`Highest`).

    Args:
        images: Reads images.
        roles: What each image is used for.
        backbone: The network.
        kept: Bank of an earlier evaluation; it is used if it was made from the same things.
        pixels: Text that names how the pixels were made from the files, such as recipe and transform.
        weak_labels: Whether masks are rough, such as the ellipses of DAGM; noted at metrics of pixels.
        parts: Part of each tensor that is the picture, by image id, for metrics of pixels; None for all of
            each tensor.
        progress: Called after each batch.
    """
    in_bank, scored = roles.of(BANK), roles.of(BANK, TEST, VALIDATION, SCORED)
    if not in_bank:
        return CategoryResult((), None, None, (), roles.counts, roles.no_number, None, False)
    digest = protocol.bank_digest(roles, backbone.digest, pixels)
    is_kept = kept is not None and kept.digest == digest
    report = _Report(progress, len(scored) + (0 if is_kept else len(in_bank)))
    bank = kept if kept and is_kept else _bank_of(images, in_bank, backbone, digest, report)
    of_pixels = PixelMetrics(parts)
    counts = roles.counts | {"test_masks_unknown": 0, "test_masks_empty": 0}
    scores: list[ImageScore] = []
    highest, at = Highest(bank, backbone), []
    nearest = Nearest(backbone.place(bank.patches), bank.folds)
    for use, features, mask in _each(images, scored, backbone, report):
        found = _distances(nearest, features, use.fold, backbone)
        if found is not None and use.role == TEST:
            _add_pixels(of_pixels, use, found, mask, counts)
        if found is not None and use.role in (BANK, VALIDATION):
            highest.add(features, found, use.fold)
            at.append(len(scores))
        scores.append(_scored(use, features, found))
    for number, score in zip(at, highest.unmasked_scores(), strict=True):
        scores[number] = replace(scores[number], unmasked_score=score)
    scores.sort(key=lambda each: each.use.image.image_id)
    threshold, source = _threshold(scores)
    if threshold is not None:
        scores = [
            each if each.score is None else replace(each, is_above_threshold=each.score > threshold)
            for each in scores
        ]
    metrics = _image_metrics(scores, threshold) if roles.no_number is None else []
    if metrics:
        metrics += of_pixels.rows(WEAK_LABELS if weak_labels else "")
    return CategoryResult(
        tuple(scores), threshold, source, tuple(metrics), counts, roles.no_number, bank, is_kept
    )


def _bank_of(
    images: Images, in_bank: Sequence[Use], backbone: Backbone, digest: str, report: _Report
) -> Bank:
    reservoir = Reservoir()
    for use, features, _ in _each(images, in_bank, backbone, report):
        reservoir.add(features.reshape(-1, features.shape[-1]), use.image.content, use.fold)
    patches, folds = reservoir.patches()
    chosen = k_center(backbone.place(projected(patches)), MOST_PATCHES)
    return Bank(patches[chosen], folds[chosen], SEED, digest)


def _each(
    images: Images, uses: Sequence[Use], backbone: Backbone, report: _Report
) -> Iterator[tuple[Use, Floats, npt.NDArray[np.uint8] | None]]:
    """Yield each image with its features, h x w x D, and its mask; None if that is unknown."""
    by_id = {use.image.image_id: use for use in uses}
    for batch in images(list(by_id)):
        features = backbone.features(batch.images)
        for at, image_id in enumerate(batch.image_ids):
            mask = batch.masks[at] if batch.has_mask[at] else None
            yield by_id[image_id], features[at], mask
        report.add(len(batch.image_ids))


def _distances(nearest: Nearest, features: Floats, fold: int, backbone: Backbone) -> Floats | None:
    """Return the distances of the patches of an image, h x w; None without patches of other folds."""
    patches = backbone.place(features.reshape(-1, features.shape[-1]))
    found = nearest.distances(patches, fold)
    return None if found is None else found.reshape(features.shape[:2])


def _add_pixels(
    of_pixels: PixelMetrics,
    use: Use,
    distances: Floats,
    mask: npt.NDArray[np.uint8] | None,
    counts: dict[str, int],
) -> None:
    is_anomalous = use.image.label_index == 1
    if mask is None:
        counts["test_masks_unknown"] += 1
    elif is_anomalous and not mask.any():
        counts["test_masks_empty"] += 1
    else:
        kind = use.image.defect_type if is_anomalous else None
        of_pixels.add(use.image.image_id, full_size(distances, mask.shape), mask, kind)


def _scored(use: Use, features: Floats, distances: Floats | None) -> ImageScore:
    score = None if distances is None else float(distances.max())
    return ImageScore(
        use=use,
        score=score,
        out_of_fold_score=score if use.role == BANK else None,
        is_above_threshold=None,
        map=None if distances is None else small_map(distances),
        vector=features.mean((0, 1)),
    )


def _threshold(scores: Sequence[ImageScore]) -> tuple[float | None, str | None]:
    """Return the threshold and its source: good validation images if there are enough, else the bank."""
    for role, source in ((VALIDATION, FROM_VALIDATION), (BANK, OUT_OF_FOLD)):
        found = [each.score for each in scores if each.use.role == role and each.score is not None]
        if len(found) >= LEAST_IMAGES:
            return float(np.quantile(found, QUANTILE, method="higher")), source
    return None, None


def _image_metrics(scores: Sequence[ImageScore], threshold: float | None) -> list[MetricRow]:
    test = [(each.score, each.use.image) for each in scores if each.use.role == TEST]
    values = [score for score, _ in test if score is not None]
    return image_metrics(
        values,
        [image.label_index == 1 for _, image in test],
        [image.defect_type for _, image in test],
        threshold,
    )


class _Report:
    """Number of images that were processed so far."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)
