"""Score good images again without the patches of the training images that score highest.

Label errors hide each other: if two training images have the same kind of defect, each finds its defect in
the bank, because the choice of centers prefers unusual patches. So the patches of the images with the
highest scores leave the bank, and all images are scored again by what is left.
"""

from __future__ import annotations

from typing import Any

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
"""Distance of equal patches, as a fraction of the score: batches change features a little."""

Floats = npt.NDArray[np.float32]


class Highest:
    """Patches with the largest distances of each good image, and the bank's patches of each image.

    Args:
        bank: The bank.
        backbone: Decides where distances are computed.
    """

    def __init__(self, bank: Bank, backbone: Backbone) -> None:
        self._bank = bank
        self._backbone = backbone
        self._image_of = np.full(len(bank), -1)
        self._patches: list[Floats] = []
        self._scores: list[float] = []
        self._folds: list[int] = []

    def add(self, features: Floats, distances: Floats, fold: int) -> None:
        """Add an image.

        Args:
            features: float32, h x w x D.
            distances: float32, h x w: out of fold.
            fold: Fold of the image; -1 for a validation image, which has no patches in the bank.
        """
        flat = features.reshape(-1, features.shape[-1])
        of_fold = np.flatnonzero(self._bank.folds == fold)
        same = Nearest(self._place(flat)).distances(self._place(self._bank.patches[of_fold]))
        is_own = np.asarray(same) <= _SAME * distances.max()
        self._image_of[of_fold[is_own]] = len(self._patches)
        count = min(HIGHEST, distances.size)
        chosen = np.argpartition(-distances.ravel(), count - 1)[:count]
        self._patches.append(flat[chosen])
        self._scores.append(float(distances.max()))
        self._folds.append(fold)

    def unmasked_scores(self) -> list[float]:
        """Return the score of each image, in the order in which they were added.

        In each of three rounds, the patches of the 30 % of the bank's images with the highest scores are
        removed from the bank. Scores stay out of fold.
        """
        if not self._patches:
            return []
        patches, folds = np.stack(self._patches), np.asarray(self._folds)
        scores = np.asarray(self._scores, np.float32)
        in_bank = np.flatnonzero(folds >= 0)
        for _ in range(_ROUNDS):
            highest = in_bank[np.argsort(-scores[in_bank], kind="stable")]
            is_left = ~np.isin(self._image_of, highest[: round(_REMOVED * len(in_bank))])
            left = Nearest(self._place(self._bank.patches[is_left]), self._bank.folds[is_left])
            again = scores.copy()
            for fold in np.unique(folds).tolist():
                chosen = folds == fold
                found = left.distances(
                    self._place(patches[chosen].reshape(-1, patches.shape[2])), fold
                )
                if found is None:
                    return self._scores
                again[chosen] = found.reshape(-1, patches.shape[1]).max(1)
            scores = again
        return [float(score) for score in scores]

    def _place(self, patches: Floats) -> Any:
        return self._backbone.place(patches)
