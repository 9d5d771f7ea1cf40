"""From what an image and a task cost to what a cluster of any size does: a model, and a simulation.

The model says which part is the bottleneck, and so how long a load of any size takes. The simulation plays
the tasks of one load one by one, with the window, the order and the transactions of `build_tensors`; it is
what real runs are held against, because only it knows about the beginning and the end of a load.

`python -m benchmarks.scale` prints the tables from `costs_dask.json`; `--measure` measures these costs,
and real runs beside what the simulation says of them, anew.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Before dlt is imported.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

from anomaly_assets.tensors.build import TRANSACTION_ROWS
from anomaly_assets.tensors.cluster import _batches
from anomaly_assets.tensors.spec import TensorSpec
from benchmarks.bench import Bench
from benchmarks.chart import write_between
from benchmarks.costs import Costs, measure_costs
from benchmarks.dask import PAGE, cluster_of, load_on
from benchmarks.trees import pictures

COSTS = Path(__file__).parent / "costs_dask.json"
WORKERS = (1, 10, 100, 1000)
IMAGES = (10**4, 10**5, 10**6, 10**7, 10**8, 10**9)


@dataclass(frozen=True)
class Surroundings:
    """What is not measured here but assumed.

    Attributes:
        network_bytes: Bytes a second into the driver: 10 Gbit/s.
        store_bytes: Bytes a second out of the store that holds the roots, for all workers.
        disk_bytes: Bytes a second onto the disk of the warehouse.
    """

    network_bytes: float = 1.25e9
    store_bytes: float = 5e9
    disk_bytes: float = 1e9


@dataclass(frozen=True)
class Lake:
    """What a DuckLake costs, measured once (docs/scale.md), in seconds of CPU.

    Attributes:
        insert_seconds: The driver, for each image that it writes.
        write_seconds: A worker, for each image that it writes to Parquet itself.
        register_seconds: The driver, for each file that a worker wrote.
        file_images: Images in such a file.
    """

    insert_seconds: float = 1.0e-3
    write_seconds: float = 0.6e-3
    register_seconds: float = 5e-3
    file_images: int = 512


def rates(costs: Costs, workers: int, around: Surroundings | None = None) -> dict[str, float]:
    """Images a second that each part could do, were it alone; the smallest is what the load does."""
    around = around or Surroundings()
    batch_images, window = _batches(workers, TensorSpec())
    busy = min(workers, window)
    driver = costs.driver_image_seconds + costs.driver_task_seconds / batch_images
    return {
        "workers": busy / (costs.decoding_seconds + costs.worker_seconds),
        "driver": 1 / driver,
        "scheduler": batch_images / costs.scheduler_task_seconds,
        "network": around.network_bytes / costs.tensor_bytes,
        "store": around.store_bytes / costs.file_bytes,
        "disk": around.disk_bytes / costs.tensor_bytes,
    }


def load_seconds(costs: Costs, workers: int, images: int) -> tuple[float, str]:
    """How long a first load takes, listing included, and what holds it up."""
    each = rates(costs, workers)
    bottleneck = min(each, key=lambda name: each[name])
    return costs.fixed_seconds + images * (costs.listing_seconds + 1 / each[bottleneck]), bottleneck


def simulate(costs: Costs, workers: int, images: int, sleep: float = 0.0) -> float:
    """Play a load: seconds from the first task to the last commit, without listing.

    Workers take tasks in order. The driver, one thread, hands out a task whenever one has been written,
    writes in order, and spends its time for every task and image.
    """
    batch_images, window = _batches(workers, TensorSpec())
    free = [0.0] * workers
    heapq.heapify(free)
    in_flight: list[tuple[float, int]] = []
    driver = costs.fixed_seconds
    for size in _sizes(images, batch_images, window):
        if len(in_flight) >= window:
            driver = _written(costs, driver, *in_flight.pop(0))
        driver += costs.driver_task_seconds / 2
        begun = max(driver, heapq.heappop(free))
        ended = begun + size * (costs.decoding_seconds + costs.worker_seconds + sleep)
        heapq.heappush(free, ended)
        in_flight.append((ended, size))
    for ended, size in in_flight:
        driver = _written(costs, driver, ended, size)
    return driver


def _written(costs: Costs, driver: float, ended: float, size: int) -> float:
    """When the driver has written a task that ended then."""
    work = costs.driver_task_seconds / 2 + size * costs.driver_image_seconds
    return max(driver, ended) + work


def _sizes(images: int, batch_images: int, window: int) -> Iterator[int]:
    """Images of each task, as `build_tensors` cuts them: no task goes beyond a transaction."""
    left = images
    while left:
        transaction = left % TRANSACTION_ROWS or TRANSACTION_ROWS
        while transaction:
            size = min(transaction, max(1, min(batch_images, left // window)))
            yield size
            transaction -= size
            left -= size


def predicted(costs: Costs) -> list[str]:
    """The table of loads, in Markdown."""
    head = " | ".join(f"10{_raised(len(str(images)) - 1)} images" for images in IMAGES)
    lines = [f"| workers | images/s | bottleneck | {head} |", "| --- " * (3 + len(IMAGES)) + "|"]
    for workers in WORKERS:
        each = rates(costs, workers)
        bottleneck = min(each, key=lambda name: each[name])
        times = " | ".join(_readable(load_seconds(costs, workers, images)[0]) for images in IMAGES)
        lines.append(f"| {workers:,} | {each[bottleneck]:,.0f} | {bottleneck} | {times} |")
    return lines


def ceilings(costs: Costs) -> list[str]:
    """The table of what each part could do, in Markdown."""
    names = list(rates(costs, 1))
    lines = [f"| workers | {' | '.join(names)} |", "| --- " * (1 + len(names)) + "|"]
    for workers in WORKERS:
        each = rates(costs, workers)
        lines.append(f"| {workers:,} | {' | '.join(f'{each[name]:,.0f}' for name in names)} |")
    return lines


def registering(costs: Costs, lake: Lake | None = None) -> list[str]:
    """The table of a lake written by the driver, and by workers, in Markdown."""
    lake = lake or Lake()
    worker = costs.decoding_seconds + costs.worker_seconds
    lines = ["| workers | through the driver, images/s | registered, images/s | times |"]
    lines.append("| --- " * 4 + "|")
    for workers in (1, 4, 8, 10, 12, 16, 100, 1000):
        batch_images, _ = _batches(workers, TensorSpec())
        task = costs.driver_task_seconds / batch_images
        through = min(workers / worker, 1 / (lake.insert_seconds + task))
        each = (costs.driver_task_seconds + lake.register_seconds) / lake.file_images
        registered = min(workers / (worker + lake.write_seconds), 1 / each)
        times = registered / through
        lines.append(f"| {workers:,} | {through:,.0f} | {registered:,.0f} | {times:.2f} |")
    return lines


def _raised(number: int) -> str:
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(number))


_COSTS = {
    "fixed_seconds": "a load, before its first image and after its last one (wall time)",
    "listing_seconds": "listing a file (wall time)",
    "decoding_seconds": "decoding an image with its mask",
    "worker_seconds": "what a worker does for an image besides",
    "driver_task_seconds": "a task, in the driver, whatever is in it",
    "driver_image_seconds": "an image, in the driver: receiving and writing it",
    "scheduler_task_seconds": "a task, in the scheduler",
    "tensor_bytes": "tensor and mask of an image",
    "file_bytes": "file and mask of an image",
}


def _amount(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return f"{value / 1e3:.0f} kB"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def _readable(seconds: float) -> str:
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"


def checked(costs: Costs, bench: Bench) -> list[dict[str, Any]]:
    """Real loads on one and two workers, of images made dearer by sleeping, beside the simulation."""
    rows = []
    for images, sleep in ((bench.mixed // 4, 0.1), (bench.mixed // 2, 0.05), (bench.mixed, 0.0)):
        tree = bench.tree(images)
        for workers in (1, 2):
            with cluster_of(bench, workers, 1, sleep) as cluster:
                real = load_on(cluster, bench, tree).seconds["tensors"]
            told = simulate(costs, workers, tree.images, sleep)
            rows.append(
                {
                    "images": tree.images,
                    "sleep_ms": sleep * 1000,
                    "workers": workers,
                    "measured": round(real, 2),
                    "predicted": round(told, 2),
                    "error_percent": round(100 * (told / real - 1), 1),
                }
            )
            print("   ", rows[-1], flush=True)
    return rows


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure the costs anew")
    parser.add_argument(
        "--quick", action="store_true", help="measure in the short form, keep nothing"
    )
    parser.add_argument("--pairs", type=int, default=5, help="runs of each cost")
    options = parser.parse_args()
    if options.measure or options.quick:
        with tempfile.TemporaryDirectory(prefix="anomaly-bench-") as folder:
            work = Path(folder)
            mixed, many, pairs = (200, 400, 1) if options.quick else (1600, None, options.pairs)
            bench = Bench(work, pictures(work), mixed, many, (0, 0), pairs)
            costs = measure_costs(bench)
            kept: dict[str, Any] = {"costs": asdict(costs), "checked": checked(costs, bench)}
        if options.measure:
            COSTS.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    else:
        kept = json.loads(COSTS.read_text("utf-8"))
    tables = tables_of(Costs(**kept["costs"]), kept["checked"])
    for name, lines in tables.items():
        print(f"\n{name}\n", *lines, sep="\n")
        if options.measure:
            write_between(PAGE, f"<!-- {name}, written by make bench-dask -->", lines)


def tables_of(costs: Costs, checks: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What the page shows: costs, ceilings, loads, and loads that were run."""
    rows = [f"| {what} | {_amount(name, getattr(costs, name))} |" for name, what in _COSTS.items()]
    lines = [
        "| images | sleep, ms | workers | measured, s | predicted, s | error |",
        "| --- " * 6 + "|",
    ]
    for row in checks:
        values = [row[name] for name in ("images", "sleep_ms", "workers", "measured", "predicted")]
        lines.append(f"| {' | '.join(map(str, values))} | {row['error_percent'] + 0.0:+.1f} % |")
    return {
        "costs": ["| what | costs |", "| --- | --- |", *rows],
        "ceilings": ceilings(costs),
        "loads": predicted(costs),
        "lake": registering(costs),
        "checked": lines,
    }


if __name__ == "__main__":
    main()
