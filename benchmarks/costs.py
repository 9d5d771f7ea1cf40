"""Measure the costs of an image and of a task on this machine: the input of the model in `scale.py`."""

from __future__ import annotations

import statistics
import time
from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from anomaly_assets.catalogue.listing import list_catalog
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding.dask import decode_on_worker
from anomaly_assets.decoding.versions import what_decides_pixels
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.dask.cluster import Cluster
from benchmarks.bench import Bench, seconds
from benchmarks.dask import cluster_of, decode_only, load_on, to_decode
from benchmarks.trees import Tree

_TASKS = 1000
_WINDOW = 64


@dataclass(frozen=True)
class Costs:
    """Measured seconds and bytes; seconds of CPU are of one core of this machine.

    Attributes:
        fixed_seconds: Wall time of a load on a cluster before the first and after the last image.
        listing_seconds: Listing and parsing one file.
        decoding_seconds: CPU of decoding one image with its mask.
        worker_seconds: Other CPU of a worker for one image.
        driver_task_seconds: CPU of the driver for one task, whatever its size.
        driver_image_seconds: CPU of the driver for one image: receiving and writing it.
        scheduler_task_seconds: CPU of the scheduler for one task.
        tensor_bytes: Tensor and mask of one image.
        file_bytes: File and mask of one image.
        stale_bytes: Memory of the driver for one image that waits to be decoded.
    """

    fixed_seconds: float
    listing_seconds: float
    decoding_seconds: float
    worker_seconds: float
    driver_task_seconds: float
    driver_image_seconds: float
    scheduler_task_seconds: float
    tensor_bytes: float
    file_bytes: float
    stale_bytes: float


def measure_costs(bench: Bench) -> Costs:
    """Measure all costs, each as the median of `bench.pairs` runs."""
    tree, few = bench.tree(bench.mixed), bench.tree(50)
    decoding, fixed, workers, driver, driver_tasks, scheduler_tasks = ([] for _ in range(6))
    for _ in range(bench.pairs):
        cpu_seconds, images = decode_only(bench, tree)
        decoding.append(cpu_seconds / images)
        with cluster_of(bench, workers=2, threads=1) as cluster:
            at_driver, at_scheduler = _empty_tasks(cluster)
            driver_tasks.append(at_driver)
            scheduler_tasks.append(at_scheduler)
            small = load_on(cluster, bench, few)
            fixed.append(small.seconds["tensors"] - few.images * decoding[-1] / 2)
            before = _cpu_of_workers(cluster)
            large = load_on(cluster, bench, tree)
            workers.append((_cpu_of_workers(cluster) - before) / images - decoding[-1])
            more = large.cpu_seconds["tensors"] - small.cpu_seconds["tensors"]
            more -= at_driver * (images - few.images) / 32
            driver.append(more / (images - few.images))
    files = [*tree.image_files(), *tree.mask_files()]
    masks = len(tree.mask_files()) / images
    spec = Recipe()
    return Costs(
        fixed_seconds=statistics.median(fixed),
        listing_seconds=_listing_seconds(bench.tree(bench.many)),
        decoding_seconds=statistics.median(decoding),
        worker_seconds=max(0.0, statistics.median(workers)),
        driver_task_seconds=statistics.median(driver_tasks),
        driver_image_seconds=statistics.median(driver),
        scheduler_task_seconds=statistics.median(scheduler_tasks),
        tensor_bytes=spec.height * spec.width * (spec.channels + masks),
        file_bytes=sum(path.stat().st_size for path in files) / images,
        stale_bytes=stale_bytes(bench),
    )


def stale_bytes(bench: Bench) -> float:
    """Return the bytes of the driver's memory per image in the table of images to decode."""
    stale, _ = to_decode(bench, bench.tree(bench.many))
    return stale.nbytes / stale.num_rows


def _listing_seconds(tree: Tree) -> float:
    roots = {"mvtec_ad": tree.mvtec_ad, "dagm_2007": tree.dagm_2007}

    def list_all() -> None:
        for name, root in roots.items():
            list_catalog(SOURCE_DATASETS[name], open_root(str(root)))

    return statistics.median(seconds(list_all) for _ in range(3)) / tree.images


def _empty_tasks(cluster: Cluster) -> tuple[float, float]:
    """Return CPU seconds per task without images, of a driver and of the scheduler."""
    from distributed import Client

    with Client(f"tcp://{cluster.address}", set_as_default=False, direct_to_workers=True) as client:
        executor = client.get_executor(pure=False)
        _run_empty(executor, _WINDOW)
        before, started = _cpu(cluster.scheduler.pid), time.process_time()
        _run_empty(executor, _TASKS)
        return (
            (time.process_time() - started) / _TASKS,
            (_cpu(cluster.scheduler.pid) - before) / _TASKS,
        )


def _run_empty(executor: Executor, tasks: int) -> None:
    pending: deque[Future[Any]] = deque()
    for _ in range(tasks):
        if len(pending) >= _WINDOW:
            pending.popleft().result()
        pending.append(executor.submit(decode_on_worker, what_decides_pixels(), [], {}, Recipe()))
    while pending:
        pending.popleft().result()


def _cpu_of_workers(cluster: Cluster) -> float:
    return sum(_cpu(worker.pid) for worker in cluster.workers)


def _cpu(process_id: int) -> float:
    import psutil

    times = psutil.Process(process_id).cpu_times()
    return float(times.user + times.system)
