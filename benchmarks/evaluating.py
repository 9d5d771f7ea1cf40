"""Measure the baseline detector on generated categories: `make bench-evaluate`.

    python -m benchmarks.evaluating [defects planted cost anomalib] [--quick]

- `defects`: four sizes of defects at two recipes, 200 good training images each. The finest stripes do not
  survive resizing to half the size, the others do.
- `planted`: 5 % of the good training images have a defect.
- `cost`: processor seconds per 1,000 images and peak memory, with 1,000 good training images.
- `anomalib`: the same patches through PatchCore of anomalib; run it with `.venv/anomalib/bin/python`.

Images have 512 x 512 pixels; with `--quick`, 256 x 256. Ratios of processor seconds hold on a busy machine,
wall seconds do not.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

import numpy as np

from anomaly_assets.evaluation import detector
from anomaly_assets.evaluation.backbone import Backbone, open_backbone
from anomaly_assets.evaluation.detail import detail_of
from anomaly_assets.evaluation.detector import CategoryResult, evaluate_category
from anomaly_assets.evaluation.metrics import auroc
from anomaly_assets.evaluation.protocol import BANK, TEST, roles_of
from anomaly_assets.evaluation.suspects import GOOD_LIKE_ANOMALOUS, suspects_of
from anomaly_assets.reader.batch import Batch
from anomaly_assets_tests.evaluation.generated import Generated, category, row

DETAILS = (1, 8, 16, 24)
"""Widths of stripes, pixels; only the first one is lost at half the size."""

PLANTED = 0.05


@dataclass(frozen=True)
class Size:
    """Size of a benchmark.

    Attributes:
        side: Height and width of the images, pixels.
        train: Number of good training images.
        test: Number of test images of each class.
        costly: Number of training images whose cost is measured.
    """

    side: int = 512
    train: int = 200
    test: int = 40
    costly: int = 1000


QUICK = Size(256, 200, 40, 60)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluating", description=__doc__)
    parser.add_argument("parts", nargs="*", default=["defects", "planted", "cost"])
    parser.add_argument("--quick", action="store_true", help="smaller images, and fewer of them")
    options = parser.parse_args()
    size = QUICK if options.quick else Size()
    network = open_backbone()
    parts = {"defects": defects, "planted": planted, "cost": cost, "anomalib": against_anomalib}
    for part in options.parts:
        for line in parts[part](size, network):
            print(line, flush=True)


def defects(size: Size, network: Backbone) -> Iterator[str]:
    """Measure the detector, and the comparison of the recipes, for each size of defects."""
    for detail in DETAILS:
        generated = category(size.side, detail, size.train, size.test)
        found = {
            side: _evaluated(generated.resized(side), network)
            for side in (size.side // 2, size.side)
        }
        common, finest = found.values()
        test = [each.use.image.label_index == 1 for each in common.scores if each.use.role == TEST]
        compared = detail_of(_test_scores(common), _test_scores(finest), test)
        assert compared is not None
        right = compared.is_kept == (detail != DETAILS[0])
        values = "; ".join(
            f"{side}²: AUROC {_value(result, 'image_auroc'):.3f}, AUPRO {_value(result, 'aupro'):.3f}, "
            f"false alarms {_value(result, 'false_alarm_rate'):.3f}, recall {_value(result, 'recall'):.3f}"
            for side, result in found.items()
        )
        yield (
            f"stripes of {detail:2} pixels: {values}; difference {compared.low:+.3f} to "
            f"{compared.high:+.3f}: {'kept' if compared.is_kept else 'lost'}, "
            f"{'right' if right else 'WRONG'}"
        )


def planted(size: Size, network: Backbone) -> Iterator[str]:
    """Measure how many planted label errors are in the first tenth of the good training images."""
    for detail in DETAILS[1:]:
        count = round(PLANTED * size.train)
        generated = category(256, detail, size.train, 10, count)
        suspects = suspects_of(_evaluated(generated, network))
        listed = [each for each in suspects if each.kind == GOOD_LIKE_ANOMALOUS]
        first = {each.image_id for each in listed[: size.train // 10]}
        hits = sum(f"train/0/{number:04}" in first for number in range(count))
        likely = sum(each.is_likely for each in listed)
        yield f"stripes of {detail:2} pixels: {hits} of {count} planted errors first, {likely} likely"


def cost(size: Size, network: Backbone) -> Iterator[str]:
    """Measure processor seconds and peak memory; only a batch of images is in memory."""
    some = category(size.side, train=4, test=1)
    pictures = list(some.images.values())

    def read(image_ids: Sequence[str]) -> Iterator[Batch]:
        for start in range(0, len(image_ids), 8):
            ids = image_ids[start : start + 8]
            random = np.random.default_rng(start)
            images = [np.roll(pictures[n % 4], random.integers(99), 0) for n in range(len(ids))]
            masks = np.zeros((len(ids), size.side, size.side), np.uint8)
            known, names = np.ones(len(ids), bool), [""] * len(ids)
            labels = np.zeros(len(ids), np.int64)
            yield Batch(
                list(ids), np.stack(images), masks, known, known, labels, names, names, names
            )

    rows = [row(f"{number:05}") for number in range(size.costly)]
    before, wall = _processor_seconds(), perf_counter()
    evaluate_category(read, roles_of(rows), network)
    seconds, wall = _processor_seconds() - before, perf_counter() - wall
    peak = getrusage(RUSAGE_SELF).ru_maxrss / 1024
    yield (
        f"{size.costly} good training images of {size.side}²: {seconds:.1f} processor seconds, "
        f"{wall:.1f} s, {1000 * seconds / size.costly:.0f} processor seconds per 1,000 images, "
        f"peak memory {peak:.0f} MB"
    )


def against_anomalib(size: Size, network: Backbone) -> Iterator[str]:
    """Compare with PatchCore of anomalib: the same network, as many patches, and its own other steps."""
    import torch
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    images, patches, layers = 40, 2000, ["fine", "coarse"]
    generated = category(size.side // 2, 4, images, 20)
    by_role = {
        role: [each.image for each in roles_of(generated.rows).of(role)] for role in (BANK, TEST)
    }

    class Extractor(torch.nn.Module):
        def forward(self, pixels: Any) -> dict[str, Any]:
            return dict(zip(layers, network._network(pixels), strict=True))  # type: ignore[attr-defined]

    def tensor(image_id: str) -> Any:
        pixels = torch.from_numpy(generated.images[image_id]).permute(2, 0, 1)[None] / 255
        mean, deviation = network._mean, network._deviation  # type: ignore[attr-defined]
        return (pixels.expand(-1, 3, -1, -1) - mean) / deviation

    model = PatchcoreModel(layers, "resnet18", pre_trained=False)
    model.feature_extractor = Extractor()
    before = _processor_seconds()
    model.train()
    for image in by_role[BANK]:
        model(tensor(image.image_id))
    model.subsample_embedding(patches / (images * (size.side // 16) ** 2))
    model.eval()
    theirs = [float(model(tensor(image.image_id)).pred_score) for image in by_role[TEST]]
    their_seconds = _processor_seconds() - before
    detector.MOST_PATCHES = patches
    before = _processor_seconds()
    result = _evaluated(generated, network)
    seconds = _processor_seconds() - before
    of_theirs = auroc(theirs, [image.label_index == 1 for image in by_role[TEST]])[0]
    yield (
        f"{images} training images, {patches} patches: AUROC {_value(result, 'image_auroc'):.3f}, anomalib "
        f"{of_theirs:.3f}; processor seconds {seconds:.1f}, with scores of the training images out of fold "
        f"and all metrics; anomalib {their_seconds:.1f}"
    )


def _evaluated(generated: Generated, network: Backbone) -> CategoryResult:
    return evaluate_category(generated.read(), roles_of(generated.rows), network)


def _test_scores(result: CategoryResult) -> list[float]:
    return [each.score or 0 for each in result.scores if each.use.role == TEST]


def _value(result: CategoryResult, metric: str) -> float:
    [value] = [row.value for row in result.metrics if (row.metric, row.defect_type) == (metric, "")]
    return float("nan") if value is None else value


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system


if __name__ == "__main__":
    main()
