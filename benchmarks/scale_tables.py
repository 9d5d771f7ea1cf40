"""Write the tables of docs/scale.md, in Markdown; all values are measured or computed from measurements."""

from __future__ import annotations

from typing import Any

from anomaly_assets.decoding.dask import BATCH_IMAGES, _batches
from anomaly_assets.recipes import Recipe
from benchmarks.costs import Costs
from benchmarks.dask import SLOWDOWN
from benchmarks.lake import LakeCosts
from benchmarks.model import fewest_workers, lake_rates, load_seconds, rates, simulate

WORKERS = (1, 10, 100, 1000)
IMAGES = (10**4, 10**5, 10**6, 10**7, 10**8, 10**9)
_MANY = 1000

_COSTS = {
    "fixed_seconds": "a load, before its first image and after its last one (wall time)",
    "listing_seconds": "listing a file (wall time)",
    "decoding_seconds": "decoding an image with its mask",
    "worker_seconds": "other work of a worker for an image",
    "driver_task_seconds": "a task, in the driver, whatever is in it",
    "driver_image_seconds": "an image, in the driver: receiving and writing it",
    "scheduler_task_seconds": "a task, in the scheduler",
    "tensor_bytes": "tensor and mask of an image",
    "file_bytes": "file and mask of an image",
    "stale_bytes": "memory of the driver for an image that is to be decoded",
}
_LAKE_COSTS = {
    "insert_seconds": "an image, in the driver: inserting it",
    "write_seconds": "an image, in a worker that writes it to Parquet itself",
    "register_seconds": "a file that a worker wrote, in the driver: registering it",
    "register_wall_seconds": "the same (wall time, with PostgreSQL's part)",
}

Lines = list[str]


def tables_of(costs: Costs, lake: LakeCosts, checks: list[dict[str, Any]]) -> dict[str, Lines]:
    """Return all tables by name: costs, limits, loads, real loads, lakes, and turning points."""
    return {
        "costs": _costs(_COSTS, costs),
        "ceilings": ceilings(costs),
        "loads": predicted(costs),
        "checked": _checked(checks),
        "lake costs": _costs(_LAKE_COSTS, lake),
        "lake": registering(costs, lake),
        "turns": turns(costs, lake),
    }


def _table(*head: str) -> Lines:
    return [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]


def _costs(names: dict[str, str], costs: Costs | LakeCosts) -> Lines:
    lines = _table("what", "costs")
    for name, what in names.items():
        lines.append(f"| {what} | {_amount(name, getattr(costs, name))} |")
    return lines


def _amount(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return f"{value / 1e3:.3g} kB"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def ceilings(costs: Costs) -> Lines:
    """Return the maximum throughput of each part, by number of workers."""
    names = list(rates(costs, 1))
    lines = _table("workers", *names)
    for workers in WORKERS:
        each = rates(costs, workers)
        lines.append(f"| {workers:,} | {' | '.join(f'{each[name]:,.0f}' for name in names)} |")
    return lines


def predicted(costs: Costs) -> Lines:
    """Return the table of predicted durations."""
    heads = [f"10{_raised(len(str(images)) - 1)} images" for images in IMAGES]
    lines = _table("workers", "images/s", "bottleneck", *heads)
    for workers in WORKERS:
        each = rates(costs, workers)
        bottleneck = min(each, key=lambda name: each[name])
        times = " | ".join(_readable(load_seconds(costs, workers, images)[0]) for images in IMAGES)
        lines.append(f"| {workers:,} | {each[bottleneck]:,.0f} | {bottleneck} | {times} |")
    return lines


def _checked(checks: list[dict[str, Any]]) -> Lines:
    lines = _table(
        "images", "sleep, ms", "workers", "threads", "measured, s", "predicted, s", "error"
    )
    for row in checks:
        names = ("images", "sleep_ms", "workers", "threads", "measured", "predicted")
        values = " | ".join(f"{row[name]:g}" for name in names)
        lines.append(f"| {values} | {row['error_percent'] + 0.0:+.1f} % |")
    return lines


def registering(costs: Costs, lake: LakeCosts) -> Lines:
    """Return the table of a lake written by the driver, and by workers."""
    lines = _table("workers", "through the driver, images/s", "registered, images/s", "times")
    for workers in (1, 8, 16, 20, 24, 32, 100, 1000):
        through, registered = lake_rates(costs, lake, workers)
        times = registered / through
        lines.append(f"| {workers:,} | {through:,.0f} | {registered:,.0f} | {times:.2f} |")
    return lines


def turns(costs: Costs, lake: LakeCosts) -> Lines:
    """Return the numbers of workers at which the bottleneck changes, and the driver's largest needs."""
    spec = Recipe()
    worker = costs.decoding_seconds + costs.worker_seconds

    def driver_ends(workers: int) -> bool:
        return load_seconds(costs, workers, 1)[1] == "driver"

    def driver_of_lake_ends(workers: int) -> bool:
        return lake_rates(costs, lake, workers)[0] < 0.999 * workers / worker

    def workers_should_write(workers: int) -> bool:
        through, registered = lake_rates(costs, lake, workers)
        return registered > through

    def writing_workers_wait(workers: int) -> bool:
        registered = lake_rates(costs, lake, workers)[1]
        return registered < 0.999 * workers / (worker + lake.write_seconds)

    def tasks_are_smaller(workers: int) -> bool:
        return _batches(workers, spec)[0] < BATCH_IMAGES

    def some_idle(workers: int) -> bool:
        return _batches(workers, spec)[1] < workers

    sleep = (SLOWDOWN - 1) * costs.decoding_seconds
    alone, eight = (simulate(costs, workers, 1600, sleep) for workers in (1, 8))
    tasks = 10**9 / _batches(_MANY, spec)[0] * costs.driver_task_seconds
    lines = _table("where", "")
    for what, is_so in (
        ("workers from which the driver is the end, on a DuckDB file", driver_ends),
        ("workers from which the driver is the end, on a DuckLake", driver_of_lake_ends),
        ("workers from which they should write Parquet themselves", workers_should_write),
        ("workers that write themselves from which they wait for something", writing_workers_wait),
        ("threads from which tasks become smaller", tasks_are_smaller),
        ("threads from which not all of them have work at once", some_idle),
    ):
        lines.append(f"| {what} | {fewest_workers(is_so):,} |")
    lines += [
        f"| images of a task, with {_MANY:,} threads | {_batches(_MANY, spec)[0]} |",
        f"| 8 threads against 1, decoding ×{SLOWDOWN}, 1,600 images | {alone / eight:.2f} times |",
        f"| CPU of the driver for the tasks of 10⁹ images | {_readable(tasks)} |",
        f"| memory of the driver for the table of 10⁷ images | {costs.stale_bytes * 1e7 / 1e9:.1f} GB |",
        f"| listing 10⁷ images | {_readable(costs.listing_seconds * 1e7)} |",
        f"| listing 10⁸ images | {_readable(costs.listing_seconds * 1e8)} |",
    ]
    return lines


def _raised(number: int) -> str:
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(number))


def _readable(seconds: float) -> str:
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"
