"""Fill the cost model of docs/scale.md: its costs, its tables, and real loads for comparison.

`python -m benchmarks.scale` writes the tables from `costs_dask.json`; `--measure` measures all costs
again and stores them there.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Set before dlt is imported.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

from anomaly_assets.arguments import at_least
from benchmarks.bench import Bench
from benchmarks.chart import write_between
from benchmarks.costs import Costs, measure_costs
from benchmarks.dask import PAGE, SLOWDOWN, cluster_of, load_on
from benchmarks.lake import LakeCosts, measure_lake
from benchmarks.model import simulate
from benchmarks.scale_tables import Lines, tables_of
from benchmarks.trees import pictures

COSTS = Path(__file__).parent / "costs_dask.json"


def checked(costs: Costs, bench: Bench) -> list[dict[str, Any]]:
    """Run real loads, with and without a sleep per image, and compare them with the simulation."""
    slow = round((SLOWDOWN - 1) * costs.decoding_seconds, 4)
    one_and_two = ((1, 1), (2, 1))
    rows = []
    for images, sleep, clusters in (
        (bench.mixed // 4, 0.1, one_and_two),
        (bench.mixed // 2, 0.05, one_and_two),
        (bench.mixed, 0.0, one_and_two),
        (bench.mixed, slow, ((1, 8),)),
    ):
        tree = bench.tree(images)
        for workers, threads in clusters:
            with cluster_of(bench, workers, threads, sleep) as cluster:
                real = load_on(cluster, bench, tree).seconds["tensors"]
            told = simulate(costs, workers * threads, tree.images, sleep)
            rows.append(
                {
                    "images": tree.images,
                    "sleep_ms": sleep * 1000,
                    "workers": workers,
                    "threads": threads,
                    "measured": round(real, 2),
                    "predicted": round(told, 2),
                    "error_percent": round(100 * (told / real - 1), 1),
                }
            )
            print("   ", rows[-1], flush=True)
    return rows


def measure(bench: Bench) -> dict[str, Any]:
    """Return the content of `costs_dask.json`."""
    costs, lake = measure_costs(bench), measure_lake(bench)
    return {"costs": asdict(costs), "lake": asdict(lake), "checked": checked(costs, bench)}


def tables(kept: dict[str, Any]) -> dict[str, Lines]:
    """Return the tables for the stored costs."""
    return tables_of(Costs(**kept["costs"]), LakeCosts(**kept["lake"]), kept["checked"])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure the costs again")
    parser.add_argument(
        "--quick", action="store_true", help="measure in the short form, store nothing"
    )
    parser.add_argument("--pairs", type=at_least(1), default=5, help="runs of each cost")
    options = parser.parse_args()
    kept = json.loads(COSTS.read_text("utf-8"))
    if options.measure or options.quick:
        with tempfile.TemporaryDirectory(prefix="anomaly-bench-") as folder:
            work = Path(folder)
            mixed, many, pairs = (200, 400, 1) if options.quick else (1600, None, options.pairs)
            kept = measure(Bench(work, pictures(work), mixed, many, (0, 0), pairs))
        if not options.quick:
            COSTS.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    for name, lines in tables(kept).items():
        print(f"\n{name}\n", *lines, sep="\n")
        if not options.quick:
            write_between(PAGE, f"<!-- {name}, written by make bench-dask -->", lines)


if __name__ == "__main__":
    main()
