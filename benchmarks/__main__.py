"""Measure all figures and print them: `make bench`, or `make bench-quick` for the short form.

Every figure is a ratio of two things done in turn in one sitting. Nothing fails on time. The full form
keeps its figures in `results.json`; `--only` measures and replaces some of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# Before dlt is imported.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

from benchmarks import loading, reading
from benchmarks.bench import Bench, NotInstalledError, Ratios
from benchmarks.chart import draw, write_table
from benchmarks.trees import pictures

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
CHART = PAGE.with_suffix(".svg")


class Figure(NamedTuple):
    """A row of the table: what is measured, and where it should be."""

    name: str
    measure: Callable[[Bench], Ratios]
    sign: str
    goal: float
    quick: bool

    def met(self, ratio: float) -> bool:
        """Whether a ratio reaches the goal."""
        return ratio <= self.goal if self.sign == "<=" else ratio >= self.goal


FIGURES = (
    Figure("first load / bare Pillow loop", loading.first_load, "<=", 1.15, True),
    Figure("first load with `fast` / bare Pillow loop", loading.first_load_fast, "<=", 0.80, True),
    Figure("straightforward / first load", loading.against_straightforward, ">=", 5, False),
    Figure("unchanged refresh / scandir and stat", loading.refresh_unchanged, "<=", 25, True),
    Figure("refresh command / bare imports", loading.refresh_by_command, "<=", 3, False),
    Figure("one changed / unchanged refresh", loading.refresh_one_changed, "<=", 1.2, True),
    Figure("peak memory 20,000 / 2,000 images", loading.peak_memory, "<=", 1.1, False),
    Figure("warehouse / tensors, first load", loading.size_after_first_load, "<=", 1.05, True),
    Figure("warehouse / tensors, 10x5 %", loading.size_after_ten_refreshes, "<=", 1.3, False),
    Figure("publishing / cp", loading.publishing, "<=", 2.5, True),
    Figure("decoding files / epoch", reading.epoch_against_files, ">=", 25, True),
    Figure("memmap copy / epoch", reading.epoch_against_memmap, ">=", 0.3, True),
    Figure("memmap copy / cached epoch", reading.cached_against_memmap, ">=", 0.8, True),
    Figure("Hugging Face / cached epoch", reading.cached_against_hugging_face, ">=", 1, True),
    Figure("Lance / cached epoch", reading.cached_against_lance, ">=", 1, True),
    Figure("64 files / 64 ids", reading.random_samples, ">=", 10, True),
    Figure("code location / import dagster, dlt", loading.code_location, "<=", 1.3, False),
)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small trees, two pairs, one minute")
    parser.add_argument("--pairs", type=int, help="pairs per figure (5, quick 2)")
    parser.add_argument(
        "--only", default="", help="figures whose name contains one of these, by comma"
    )
    options = parser.parse_args()
    chosen = [
        figure
        for figure in FIGURES
        if any(part in figure.name for part in options.only.split(","))
        and (figure.quick or not options.quick)
    ]
    results = []
    with tempfile.TemporaryDirectory(prefix="anomaly-bench-") as folder:
        work = Path(folder)
        linked = pictures(work)
        print(f"pictures: {'real excerpts' if linked.are_real else 'synthetic samples'}")
        pairs = options.pairs or (2 if options.quick else 5)
        if options.quick:
            bench = Bench(work, linked, 200, 400, (100, 200), pairs)
        else:
            bench = Bench(work, linked, 1600, None, (2000, 20000), pairs)
        for figure in chosen:
            try:
                ratios = list(figure.measure(bench))
            except NotInstalledError as missing:
                print(f"{figure.name:44} {missing}: pip install -e '.[bench]'")
                continue
            ratio = statistics.median(ratios)
            met = figure.met(ratio)
            results.append(
                {
                    "figure": figure.name,
                    "ratio": round(ratio, 3),
                    "goal": f"{figure.sign} {figure.goal:g}",
                    "met": met,
                    "pairs": [round(value, 3) for value in ratios],
                }
            )
            print(
                f"{figure.name:44} {ratio:8.2f}  ({min(ratios):.2f} to {max(ratios):.2f}, "
                f"{len(ratios)} pairs)  goal {figure.sign} {figure.goal:g}  "
                f"{'met' if met else 'MISSED'}",
                flush=True,
            )
    if not options.quick:
        _keep(results)


def _keep(results: list[dict[str, Any]]) -> None:
    """Replace these figures among those kept, and make the page and the chart anew."""
    kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else []
    by_name = {result["figure"]: result for result in [*kept, *results]}
    ordered = [by_name[figure.name] for figure in FIGURES if figure.name in by_name]
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    write_table(ordered, PAGE)
    draw(ordered, CHART)


if __name__ == "__main__":
    main()
