"""Compare how well a category can be told apart at two recipes, on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from anomaly_assets.evaluation.metrics import LEAST_IMAGES

MOST_LOSS = 0.05
"""Loss of AUROC at the common recipe from which on a warning names the finest recipe."""
CONFIDENCE = 0.9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Detail:
    """Difference of the image AUROC between two recipes.

    Attributes:
        common: AUROC at the common recipe.
        finest: AUROC at the finest recipe.
        low: Lower end of the 90 % interval of `finest - common`.
        high: Upper end.
    """

    common: float
    finest: float
    low: float
    high: float

    @property
    def is_kept(self) -> bool:
        """Return whether the common recipe is not shown to lose more than 0.05."""
        return self.low <= MOST_LOSS


def detail_of(
    common: npt.ArrayLike, finest: npt.ArrayLike, anomalous: npt.ArrayLike
) -> Detail | None:
    """Return the difference between two recipes, with DeLong's interval for paired scores.

    Args:
        common: N scores of test images at the common recipe.
        finest: N scores of the same images at the finest recipe.
        anomalous: N booleans.

    Returns:
        The difference; None if there are fewer than 10 images of a class.
    """
    labels = np.asarray(anomalous, bool)
    if min((~labels).sum(), labels.sum()) < LEAST_IMAGES:
        return None
    (one, of_anomalous, of_good), (other, *others) = (
        _placements(np.asarray(scores, np.float64), labels) for scores in (common, finest)
    )
    variance = sum(
        np.var(after - before, ddof=1) / len(after)
        for before, after in zip((of_anomalous, of_good), others, strict=True)
    )
    width = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * float(np.sqrt(variance))
    difference = other - one
    return Detail(one, other, difference - width, difference + width)


def _placements(scores: Floats, anomalous: npt.NDArray[np.bool_]) -> tuple[float, Floats, Floats]:
    """Return the AUROC, and the fraction of the other class that each image is on the right side of."""
    good, bad = np.sort(scores[~anomalous]), np.sort(scores[anomalous])

    def below(some: Floats, values: Floats) -> Floats:
        ranks = np.searchsorted(some, values, "left") + np.searchsorted(some, values, "right")
        return ranks / (2 * len(some))

    of_bad = below(good, scores[anomalous])
    return float(of_bad.mean()), of_bad, 1 - below(bad, scores[~anomalous])
