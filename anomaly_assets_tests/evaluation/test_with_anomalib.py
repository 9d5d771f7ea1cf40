"""Compare metrics and scores with scikit-learn and with PatchCore of anomalib.

`make test-anomalib` runs this module in the environment that has both.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch  # noqa: TID253 (only collected where it is installed)
from anomalib.metrics.aupro import _AUPRO
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from anomaly_assets.evaluation.bank import Nearest
from anomaly_assets.evaluation.metrics import auroc, average_precision, best_f1
from anomaly_assets.evaluation.pixels import PixelMetrics
from anomaly_assets_tests.evaluation.test_pixels import images


@pytest.mark.parametrize("values", [2, 5, 10_000])
@pytest.mark.parametrize("seed", range(10))
def test_metrics_of_images_are_those_of_scikit_learn(seed: int, values: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.random(200) < random.uniform(0.1, 0.9)
    scores = random.integers(0, values, 200) + labels * random.uniform(0, 2)
    assert auroc(scores, labels)[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    expected = average_precision_score(labels, scores)
    assert average_precision(scores, labels)[0] == pytest.approx(expected, abs=1e-9)
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert best_f1(scores, labels)[0] == pytest.approx(f1.max(), abs=1e-9)


@pytest.mark.parametrize("lift", [0, 0.3, 5])
@pytest.mark.parametrize("values", [0, 3, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_pixels_are_those_of_anomalib_and_scikit_learn(
    seed: int, values: int, lift: float
) -> None:
    maps, masks = images(seed, values, lift)
    metrics = PixelMetrics()
    for number, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        metrics.add(f"{number}", scores, mask, "defect" if mask.any() else None)
    found = {row.metric: row.value for row in metrics.rows() if not row.defect_type}
    theirs = _AUPRO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.update(torch.from_numpy(np.stack(maps)), torch.from_numpy(np.stack(masks)).int())
        assert found["aupro"] == pytest.approx(float(theirs.compute()), abs=1e-6)
    expected = roc_auc_score(np.stack(masks).ravel(), np.stack(maps).ravel())
    assert found["pixel_auroc"] == pytest.approx(expected, abs=1e-9)


def test_scores_are_those_of_patchcore_with_the_same_bank_and_one_neighbour() -> None:
    random = np.random.default_rng(0)
    bank = np.maximum(random.standard_normal((2000, 152)), 0).astype(np.float32) * 5
    patches = np.maximum(random.standard_normal((3000, 152)), 0).astype(np.float32) * 5
    model = PatchcoreModel(
        layers=["layer2"], backbone="resnet18", pre_trained=False, num_neighbors=1
    )
    model.memory_bank = torch.from_numpy(bank)
    theirs, _ = model.nearest_neighbors(torch.from_numpy(patches), n_neighbors=1)
    ours = Nearest(bank).distances(patches)
    assert ours is not None
    np.testing.assert_allclose(ours, theirs.numpy().ravel(), atol=1e-4)
