"""Compute the bottleneck and the duration of a load from measured costs.

`rates` and `load_seconds` are the model. `simulate` simulates the tasks of one load one by one, with
the window, the order and the transactions of `build_tensors`. Real runs are compared with the
simulation, because only it includes the beginning and the end of a load.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from anomaly_assets.decoding.dask import _batches
from anomaly_assets.recipes import Recipe
from anomaly_assets.warehouse.base import ROW_GROUP_SIZE
from benchmarks.costs import Costs
from benchmarks.lake import FILE_IMAGES, LakeCosts

_MOST_WORKERS = 10_000


@dataclass(frozen=True)
class Surroundings:
    """Assumed values that are not measured here.

    Attributes:
        network_bytes: Bytes a second into the driver: 10 Gbit/s.
        store_bytes: Bytes a second out of the store that holds the roots, for all workers.
        disk_bytes: Bytes a second onto the disk of the warehouse.
    """

    network_bytes: float = 1.25e9
    store_bytes: float = 5e9
    disk_bytes: float = 1e9


def rates(costs: Costs, workers: int, around: Surroundings | None = None) -> dict[str, float]:
    """Return the images per second of each part alone; the smallest value limits the load."""
    around = around or Surroundings()
    batch_images, window = _batches(workers, Recipe())
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
    """Return the duration of a first load, listing included, and its bottleneck."""
    each = rates(costs, workers)
    bottleneck = min(each, key=lambda name: each[name])
    return costs.fixed_seconds + images * (costs.listing_seconds + 1 / each[bottleneck]), bottleneck


def lake_rates(
    costs: Costs, lake: LakeCosts, workers: int, around: Surroundings | None = None
) -> tuple[float, float]:
    """Return images per second of a load on a lake: through the driver, and written by workers.

    If workers write, a task is a file, so tasks cost almost nothing.
    """
    around = around or Surroundings()
    batch_images, _ = _batches(workers, Recipe())
    worker = costs.decoding_seconds + costs.worker_seconds
    store = around.store_bytes / costs.file_bytes
    inserting = lake.insert_seconds + costs.driver_task_seconds / batch_images
    registering = (costs.driver_task_seconds + lake.register_seconds) / FILE_IMAGES
    return (
        min(workers / worker, 1 / inserting, store),
        min(workers / (worker + lake.write_seconds), 1 / registering, store),
    )


def fewest_workers(is_so: Callable[[int], bool]) -> int:
    """Return the smallest number of workers for which a condition is true.

    Raises:
        LookupError: The condition is not true for any number up to ten thousand.
    """
    for workers in range(1, _MOST_WORKERS + 1):
        if is_so(workers):
            return workers
    raise LookupError(f"not true of up to {_MOST_WORKERS} workers")


def simulate(costs: Costs, workers: int, images: int, sleep: float = 0.0) -> float:
    """Simulate a load; return seconds from the first task to the last commit, without listing.

    Workers take tasks in order. The driver has one thread. It submits a task whenever one has been
    written, writes in order, and needs its time for every task and image.
    """
    batch_images, window = _batches(workers, Recipe())
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
    """Return the time at which the driver has written the result of a task that ended at `ended`."""
    work = costs.driver_task_seconds / 2 + size * costs.driver_image_seconds
    return max(driver, ended) + work


def _sizes(images: int, batch_images: int, window: int) -> Iterator[int]:
    """Yield the images of each task, split like `build_tensors`: no task crosses a transaction."""
    left = images
    while left:
        transaction = left % ROW_GROUP_SIZE or ROW_GROUP_SIZE
        while transaction:
            size = min(transaction, max(1, min(batch_images, left // window)))
            yield size
            transaction -= size
            left -= size
