"""Compare classifying paths by declarations with functions written by hand: print the ratio of their times.

    python -m benchmarks.classifying

Both classify the same paths in turn, in one process, and the median of the ratios is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import islice
from statistics import median
from time import perf_counter

from anomaly_assets.arguments import at_least
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.known import official_counts
from anomaly_assets_tests.datasets.by_hand import BY_HAND


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifying", description=__doc__)
    parser.add_argument("--paths", type=at_least(1), default=100_000, help="paths per dataset")
    parser.add_argument("--pairs", type=at_least(1), default=5, help="pairs per dataset")
    options = parser.parse_args()
    for name, folder in (("mvtec_ad", ""), ("mvtec_ad", "around/"), ("dagm_2007", "")):
        paths = [folder + path for path in _paths(name, options.paths)]
        by_hand, declared = BY_HAND[name], SOURCE_DATASETS[name].classify
        pairs = [
            (_seconds(by_hand, paths), _seconds(declared, paths)) for _ in range(options.pairs)
        ]
        ratio = median(compiled / function for function, compiled in pairs)
        each = median(compiled for _, compiled in pairs) / len(paths) * 1e6
        print(f"{name:10} {folder:8} {len(paths):8,} paths {each:6.2f} µs each, ratio {ratio:.2f}")


def _seconds(classify: Callable[[str], object], paths: Sequence[str]) -> float:
    start = perf_counter()
    for path in paths:
        classify(path)
    return perf_counter() - start


def _paths(name: str, count: int) -> list[str]:
    """Return paths in the proportions of the published dataset, masks included."""
    one = list(_published(name))
    return list(islice((path for _ in range(count // len(one) + 1) for path in one), count))


def _published(name: str) -> list[str]:
    found = []
    for each in official_counts([SOURCE_DATASETS[name]]):
        for number in range(each.images):
            category, split = each.category, each.split
            if name == "dagm_2007":
                folder = f"{category}/{split.capitalize()}"
                found.append(f"{folder}/{number:04}.PNG")
                if each.label == "anomalous":
                    found.append(f"{folder}/Label/{number:04}_label.PNG")
            else:
                kind = "good" if each.label == "good" else "broken"
                found.append(f"{category}/{split}/{kind}/{number:03}.png")
                if each.label == "anomalous":
                    found.append(f"{category}/ground_truth/{kind}/{number:03}_mask.png")
    return found


if __name__ == "__main__":
    main()
