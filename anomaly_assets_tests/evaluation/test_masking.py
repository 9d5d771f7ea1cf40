"""Test that label errors of the same kind do not hide each other."""

from __future__ import annotations

import numpy as np

from anomaly_assets.evaluation.bank import Bank, Nearest
from anomaly_assets.evaluation.masking import HIGHEST, Highest
from anomaly_assets_tests.evaluation.test_detector import Blocks

DIMENSIONS = 12


def test_similar_defects_score_high_once_their_patches_are_removed() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((50, 6, 6, DIMENSIONS)).astype(np.float32)
    odd = [3, 9, 15, 21]  # in four folds, with similar defects
    features[odd, 2, 2] = 9 + random.normal(0, 1.05, (4, DIMENSIONS))
    folds = np.arange(50) % 5
    patches = features.reshape(-1, DIMENSIONS)
    bank = Bank(patches, folds.repeat(36).astype(np.int8), 0, "")
    nearest = Nearest(patches, bank.folds)
    highest, before = Highest(bank, Blocks()), []
    for image, fold in zip(features, folds.tolist(), strict=True):
        distances = nearest.distances(image.reshape(-1, DIMENSIONS), fold)
        assert distances is not None
        before.append(float(distances.max()))
        highest.add(image, distances.reshape(6, 6), fold)
    after = np.asarray(highest.unmasked_scores())
    assert sum(score > min(before[each] for each in odd) for score in before) >= 10
    assert set(np.argsort(-after)[:4].tolist()) == set(odd)
    assert after[odd].min() > 4 * np.median(after)


def test_a_validation_image_is_not_hidden_by_similar_defects_of_the_bank() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((52, 6, 6, DIMENSIONS)).astype(np.float32)
    odd = [3, 9, 15, 21, 50]  # the last two images are of validation
    features[odd, 2, 2] = 9 + random.normal(0, 1.05, (5, DIMENSIONS))
    folds = np.where(np.arange(52) < 50, np.arange(52) % 5, -1)
    patches = features[:50].reshape(-1, DIMENSIONS)
    bank = Bank(patches, folds[:50].repeat(36).astype(np.int8), 0, "")
    nearest, highest = Nearest(patches, bank.folds), Highest(bank, Blocks())
    for image, fold in zip(features, folds.tolist(), strict=True):
        distances = nearest.distances(image.reshape(-1, DIMENSIONS), fold)
        assert distances is not None
        highest.add(image, distances.reshape(6, 6), fold)
    after = np.asarray(highest.unmasked_scores())
    assert after[50] > 4 * np.median(after)
    assert after[51] < 2 * np.median(after)


def test_few_images_and_few_patches_have_scores() -> None:
    features = np.random.default_rng(0).random((2, 1, 2, 3)).astype(np.float32)
    bank = Bank(features.reshape(-1, 3), np.asarray([0, 0, 1, 1], np.int8), 0, "")
    highest = Highest(bank, Blocks())
    assert highest.unmasked_scores() == []
    nearest = Nearest(bank.patches, bank.folds)
    expected = []
    for fold, image in enumerate(features):
        distances = nearest.distances(image.reshape(-1, 3), fold)
        assert distances is not None
        assert distances.size < HIGHEST
        highest.add(image, distances.reshape(1, 2), fold)
        expected.append(float(distances.max()))
    assert highest.unmasked_scores() == expected
