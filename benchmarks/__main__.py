"""Measure all figures and print them: `make bench`, or `make bench-quick` for the short form.

Every figure is the ratio of two things measured in turn in one process. Slow results never fail. The
full form stores its figures in `results.json`; `--only` measures and replaces some of them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

# Set before dlt is imported.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

from anomaly_assets.arguments import at_least
from benchmarks import loading, reading
from benchmarks.bench import Bench
from benchmarks.chart import draw, write_table
from benchmarks.figures import Figure, chosen, keep, measured
from benchmarks.trees import pictures

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
CHART = PAGE.with_suffix(".svg")


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
    Figure("memmap copy / epoch", reading.epoch_against_memmap, ">=", 0.7, True),
    Figure("memmap copy / cached epoch", reading.cached_against_memmap, ">=", 0.8, True),
    Figure("Hugging Face / cached epoch", reading.cached_against_hugging_face, ">=", 1, True),
    Figure("Lance / cached epoch", reading.cached_against_lance, ">=", 1, True),
    Figure("Hugging Face / loader, no worker", reading.loader_here, ">=", 1.5, False),
    Figure("Hugging Face / loader, 2 workers", reading.loader_with_workers, ">=", 1.5, False),
    Figure("64 files / 64 ids", reading.random_samples, ">=", 10, True),
    Figure("code location / import dagster, dlt", loading.code_location, "<=", 1.3, False),
)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small trees, one pair, less than a minute"
    )
    parser.add_argument("--pairs", type=at_least(1), help="pairs per figure (5, quick 1)")
    parser.add_argument(
        "--only", default="", help="figures whose name contains one of these, by comma"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="anomaly-bench-") as folder:
        work = Path(folder)
        linked = pictures(work)
        print(f"pictures: {'real excerpts' if linked.are_real else 'synthetic samples'}")
        pairs = options.pairs or (1 if options.quick else 5)
        if options.quick:
            bench = Bench(work, linked, 100, 200, (100, 200), pairs)
        else:
            bench = Bench(work, linked, 1600, None, (2000, 20000), pairs)
        results = measured(chosen(FIGURES, options.only, quick=options.quick), bench)
    if not options.quick:
        ordered = keep(FIGURES, results, RESULTS)
        write_table(ordered, PAGE)
        draw(ordered, CHART)


if __name__ == "__main__":
    main()
