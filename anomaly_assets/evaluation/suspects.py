"""List images that a person should look at: possible label errors, and what is worth labelling first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anomaly_assets.evaluation.detector import CategoryResult
from anomaly_assets.evaluation.metrics import LEAST_IMAGES
from anomaly_assets.evaluation.protocol import BANK, SCORED, TEST, VALIDATION

GOOD_LIKE_ANOMALOUS = "good_like_anomalous"
ANOMALOUS_LIKE_GOOD = "anomalous_like_good"
LABEL_FIRST = "label_first"

LISTED = 0.1
"""Fraction of the good images that are listed, at least ten images; and of those without a label."""
LEAST_LISTED = 10
LEAST_AUROC = 0.9
"""Least image AUROC at which a low score of an anomalous image is suspicious, instead of usual."""

_FAR_OUT = (
    3  # quartile distances above the upper quartile: Tukey's limit of values that are far out
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Suspect:
    """Image to look at.

    Attributes:
        image_id: Its id.
        kind: `good_like_anomalous`, `anomalous_like_good` or `label_first`.
        rank: Place within its kind and category, from 1, the most suspicious one.
        score: Its score; for good training and validation images without patches of other suspects.
        is_likely: Whether the score is so unusual that a check warns about it. Other images are listed to
            be looked at in this order.
        reason: Sentence.
    """

    image_id: str
    kind: str
    rank: int
    score: float
    is_likely: bool
    reason: str


def suspects_of(result: CategoryResult) -> list[Suspect]:
    """Return the images of a category to look at, by kind and rank.

    - `good_like_anomalous`: the tenth of the good training and validation images with the highest scores,
      highest first. Likely are those that are far out: more than three quartile distances above the upper
      quartile of the good images.
    - `anomalous_like_good`: anomalous test images with a score that is not above the threshold, lowest
      first. Likely are those up to the median of the good test images, if the image AUROC is 0.9 at least.
      With fewer than ten of those, they are compared with the good training and validation images.
    - `label_first`: the tenth of the images of unknown label whose scores are nearest to the threshold, and
      about which the detector is least sure.

    Args:
        result: Scores of the category; without a threshold, there are no suspects.
    """
    threshold = result.threshold
    scored = [(each.score, each.use) for each in result.scores if each.score is not None]
    if threshold is None:
        return []
    good = [
        (
            each.score if each.unmasked_score is None else each.unmasked_score,
            each.use.image.image_id,
        )
        for each in result.scores
        if each.score is not None and each.use.role in (BANK, VALIDATION)
    ]
    missed = [
        (score, use.image.image_id)
        for score, use in scored
        if use.role == TEST and use.image.label_index == 1 and score <= threshold
    ]
    unknown = [(score, use.image.image_id) for score, use in scored if use.role == SCORED]
    values = np.sort([score for score, _ in good])
    lower, upper = np.quantile(values, [0.25, 0.75]).tolist()
    far_out = upper + _FAR_OUT * (upper - lower)
    aurocs = [row.value for row in result.metrics if row.metric == "image_auroc"]
    of_test = _of_good(result, TEST)
    # Scores without patches of suspects are higher than those of test images: not to be compared with them.
    alike = of_test if len(of_test) >= LEAST_IMAGES else _of_good(result, BANK, VALIDATION)
    median = float(np.median(alike))
    tells_apart = bool(aurocs) and (aurocs[0] or 0) >= LEAST_AUROC

    def above(score: float, of: Floats) -> str:
        return f"{np.mean(of < score):.0%} of the good images"

    return [
        *_ranked(
            GOOD_LIKE_ANOMALOUS,
            sorted(good, key=lambda each: (-each[0], each[1]))[: _listed(good)],
            lambda score: score > far_out,
            lambda score: (
                f"Labelled good, but its score {score:.2f} is above that of {above(score, values)}."
            ),
        ),
        *_ranked(
            ANOMALOUS_LIKE_GOOD,
            sorted(missed),
            lambda score: tells_apart and score <= median,
            lambda score: (
                f"Labelled anomalous, but its score {score:.2f} is above that of "
                f"{above(score, alike)} only."
            ),
        ),
        *_ranked(
            LABEL_FIRST,
            sorted(unknown, key=lambda each: (abs(each[0] - threshold), each[1]))[
                : _listed(unknown)
            ],
            lambda score: False,
            lambda score: (
                f"Not labelled, and its score {score:.2f} is near the threshold {threshold:.2f}."
            ),
        ),
    ]


def _of_good(result: CategoryResult, *roles: str) -> Floats:
    """Return the scores of good images with these roles."""
    return np.asarray(
        [
            each.score
            for each in result.scores
            if each.score is not None and each.use.role in roles and each.use.image.label_index == 0
        ]
    )


def _listed(images: Sequence[object]) -> int:
    return max(LEAST_LISTED, round(LISTED * len(images)))


def _ranked(
    kind: str,
    images: Sequence[tuple[float, str]],
    is_likely: Callable[[float], bool],
    reason: Callable[[float], str],
) -> list[Suspect]:
    return [
        Suspect(image_id, kind, rank, score, is_likely(score), reason(score))
        for rank, (score, image_id) in enumerate(images, 1)
    ]
