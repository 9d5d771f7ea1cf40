"""Score good training images again without the patches of the images that score highest.

Label errors hide each other: if two training images have the same kind of defect, each finds its defect in
the bank, because the choice of centers prefers unusual patches. So the unusual patches of the images with
the highest scores leave the bank, and all images are scored again by what is left.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anomaly_assets.evaluation.backbone import Backbone
from anomaly_assets.evaluation.bank import Bank, Nearest

HIGHEST = 32
"""Patches that are kept of an image: those with the largest distances."""

_REMOVED = 0.3
"""Fraction of the images whose patches leave the bank."""
_ROUNDS = 3
_SAME = 0.01
"""Distance of equal patches, as a fraction of the median score: batches change features a little."""

Floats = npt.NDArray[np.float32]


class Highest:
    """Patches with the largest distances of each image of the bank."""

    def __init__(self) -> None:
        self._patches: list[Floats] = []
        self._scores: list[float] = []
        self._folds: list[int] = []

    def add(self, features: Floats, distances: Floats, fold: int) -> None:
        """Add an image.

        Args:
            features: float32, h x w x D.
            distances: float32, h x w: out of fold.
            fold: Fold of the image.
        """
        count = min(HIGHEST, distances.size)
        chosen = np.argpartition(-distances.ravel(), count - 1)[:count]
        self._patches.append(features.reshape(-1, features.shape[-1])[chosen])
        self._scores.append(float(distances.max()))
        self._folds.append(fold)

    def unmasked_scores(self, bank: Bank, backbone: Backbone) -> list[float]:
        """Return the score of each image, in the order in which they were added.

        In each of three rounds, the kept patches of the 30 % of the images with the highest scores are
        removed from the bank. Scores stay out of fold.

        Args:
            bank: The bank.
            backbone: Decides where distances are computed.
        """
        if not self._patches:
            return []
        patches, folds = np.stack(self._patches), np.asarray(self._folds)
        scores = np.asarray(self._scores, np.float32)
        same = _SAME * float(np.median(scores))
        for _ in range(_ROUNDS):
            first = np.argsort(-scores, kind="stable")[: round(_REMOVED * len(scores))]
            if not len(first):
                break
            removed = Nearest(backbone.place(patches[first].reshape(-1, patches.shape[2])))
            distances = removed.distances(backbone.place(bank.patches))
            is_left = np.asarray(distances) > same
            left = Nearest(backbone.place(bank.patches[is_left]), bank.folds[is_left])
            again = scores.copy()
            for fold in np.unique(folds).tolist():
                chosen = folds == fold
                some = patches[chosen].reshape(-1, patches.shape[2])
                found = left.distances(backbone.place(some), fold)
                if found is None:
                    return self._scores
                again[chosen] = found.reshape(-1, patches.shape[1]).max(1)
            scores = again
        return [float(score) for score in scores]
