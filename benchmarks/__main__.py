"""Measure all figures and print them: `make bench`, or `make bench-quick` for the short form.

Every figure is the ratio of two things measured in turn. Slow results never fail. The full form stores its
figures in `results.json`; `--only` measures and replaces some of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

# Set before dlt is imported.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

from anomaly_assets.arguments import at_least
from benchmarks import loading, reading, whole
from benchmarks.bench import Bench
from benchmarks.chart import draw, write_table
from benchmarks.figures import Figure, chosen, keep, measured
from benchmarks.trees import pictures
from benchmarks.writing import TOOLS, against

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
CHART = PAGE.with_suffix(".svg")


WRITING = (
    *(
        Figure(f"{name} / first load", against(tool, "pillow"), ">=", 1.6, False, 3, tool)
        for name, tool in TOOLS.items()
    ),
    *(
        Figure(
            f"{name} with our decoder / first load", against(tool, "ours"), ">=", 1, False, 3, tool
        )
        for name, tool in TOOLS.items()
    ),
)

FIGURES = (
    Figure("first load / bare Pillow loop", loading.first_load, "<=", 0.62, True),
    Figure("first load with 512² too / bare loop", whole.with_512, "<=", 0.85, False),
    Figure("adding 512² / first load of 512²", whole.adding_a_recipe, "<=", 1.05, False, 3),
    Figure("first load of JPEG / bare loop", loading.first_load_jpeg, "<=", 1, False, 3),
    Figure("first load of TIFF / bare loop", loading.first_load_tiff, "<=", 1, False, 3),
    Figure("command (common recipe) / bare loop", whole.common, "<=", 0.65, False, 2),
    Figure(
        "command (common recipe): peak memory", whole.common_peak, "<=", 1000, False, 2, unit="MB"
    ),
    Figure("command (shipped recipes) / bare loop", whole.shipped, "<=", 0.85, False, 2),
    Figure(
        "command (shipped recipes): peak memory",
        whole.shipped_peak,
        "<=",
        1400,
        False,
        2,
        unit="MB",
    ),
    Figure("straightforward / first load", loading.against_straightforward, ">=", 6, False, 3),
    *WRITING,
    Figure("unchanged refresh / scandir and stat", loading.refresh_unchanged, "<=", 25, True),
    Figure("refresh command / bare imports", loading.refresh_by_command, "<=", 3, False),
    Figure("one changed / unchanged refresh", loading.refresh_one_changed, "<=", 1.2, True),
    Figure("refresh with corrections / without", loading.refresh_with_corrections, "<=", 1.1, True),
    Figure("peak memory 20,000 / 2,000 images", loading.peak_memory, "<=", 1.1, False, 2),
    Figure("warehouse / tensors, first load", loading.size_after_first_load, "<=", 1.05, True, 2),
    Figure("warehouse / tensors, 10x5 %", loading.size_after_ten_refreshes, "<=", 1.3, False, 2),
    Figure("publishing / cp", loading.publishing, "<=", 2.5, True),
    Figure("decoding files / epoch", reading.epoch_against_files, ">=", 25, True),
    Figure("memmap copy / epoch", reading.epoch_against_memmap, ">=", 0.7, True),
    Figure("memmap copy / cached epoch", reading.cached_against_memmap, ">=", 0.8, True),
    Figure(
        "Hugging Face / cached epoch",
        reading.cached_against_hugging_face,
        ">=",
        1,
        True,
        tool="datasets",
    ),
    Figure("Lance / cached epoch", reading.cached_against_lance, ">=", 1, True, tool="lance"),
    Figure(
        "Hugging Face / loader, no worker",
        reading.loader_here,
        ">=",
        1.5,
        False,
        tool="datasets",
    ),
    Figure(
        "Hugging Face / loader, 2 workers",
        reading.loader_with_workers,
        ">=",
        1.5,
        False,
        tool="datasets",
    ),
    Figure("64 files / 64 ids", reading.random_samples, ">=", 10, True),
    Figure("code location / import dagster, dlt", loading.code_location, "<=", 1.3, False),
)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small trees, one pair, less than a minute"
    )
    parser.add_argument("--pairs", type=at_least(1), help="most pairs per figure (5, quick 1)")
    parser.add_argument(
        "--only",
        default="",
        metavar="NAME[,NAME]",
        help="figures whose name contains one of these, in either form; the others keep their results",
    )
    parser.add_argument("--list", action="store_true", help="print the names of all figures")
    options = parser.parse_args()
    if options.list:
        print("\n".join(figure.name for figure in FIGURES))
        return
    try:
        figures = chosen(FIGURES, options.only, quick=options.quick)
    except LookupError as error:
        parser.error(str(error.args[0]))
    with tempfile.TemporaryDirectory(prefix="anomaly-bench-") as folder:
        work = Path(folder)
        linked = pictures(work)
        print(f"pictures: {'real excerpts' if linked.are_real else 'synthetic samples'}")
        pairs = options.pairs or (1 if options.quick else 5)
        if options.quick:
            bench = Bench(work, linked, 100, 200, (100, 200), pairs)
        else:
            bench = Bench(work, linked, 1600, None, (2000, 20000), pairs)
        for result in measured(figures, bench):
            if not options.quick:
                ordered = keep(FIGURES, [result], RESULTS)
                write_table(ordered, PAGE)
                draw(ordered, CHART)
    sys.exit(1 if bench.failed else 0)


if __name__ == "__main__":
    main()
