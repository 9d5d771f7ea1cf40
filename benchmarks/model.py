"""What follows from measured costs: which part is the bottleneck of a load, and how long it takes.

`rates` and `load_seconds` are the model. `simulate` plays the tasks of one load one by one, with the
window, the order and the transactions of `build_tensors`; it is what real runs are held against, because
only it knows about the beginning and the end of a load.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from anomaly_assets.decoding.dask import _batches
from anomaly_assets.tensor_spec import TensorSpec
from anomaly_assets.warehouse.base import ROW_GROUP_SIZE
from benchmarks.costs import Costs
from benchmarks.lake import FILE_IMAGES, LakeCosts

_MOST_WORKERS = 10_000


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


def lake_rates(
    costs: Costs, lake: LakeCosts, workers: int, around: Surroundings | None = None
) -> tuple[float, float]:
    """Images a second of a load on a lake: through the driver, and written by workers.

    Where workers write, a task is a file, so that tasks cost nearly nothing.
    """
    around = around or Surroundings()
    batch_images, _ = _batches(workers, TensorSpec())
    worker = costs.decoding_seconds + costs.worker_seconds
    store = around.store_bytes / costs.file_bytes
    inserting = lake.insert_seconds + costs.driver_task_seconds / batch_images
    registering = (costs.driver_task_seconds + lake.register_seconds) / FILE_IMAGES
    return (
        min(workers / worker, 1 / inserting, store),
        min(workers / (worker + lake.write_seconds), 1 / registering, store),
    )


def fewest_workers(is_so: Callable[[int], bool]) -> int:
    """The smallest number of workers of which something is true.

    Raises:
        LookupError: It is not true of ten thousand either.
    """
    for workers in range(1, _MOST_WORKERS + 1):
        if is_so(workers):
            return workers
    raise LookupError(f"not true of up to {_MOST_WORKERS} workers")


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
        transaction = left % ROW_GROUP_SIZE or ROW_GROUP_SIZE
        while transaction:
            size = min(transaction, max(1, min(batch_images, left // window)))
            yield size
            transaction -= size
            left -= size
