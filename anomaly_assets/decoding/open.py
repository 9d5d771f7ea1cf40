"""Choose an executor: threads of this process, or the workers of a Dask cluster (`dask.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from anomaly_assets.decoding.batch import PIXELS
from anomaly_assets.decoding.workers import BATCHES_PER_WORKER, Compute
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.base import Root

THREADS = "threads"

BATCH_IMAGES = 8
"""Number of images per task of a thread: few, so that all threads finish at about the same time."""


def open_compute(
    location: str,
    roots: Mapping[str, Root],
    spec: Recipe,
    *,
    workers: int,
    patience_seconds: float = 600.0,
) -> AbstractContextManager[Compute]:
    """Open the executor of decoding tasks, and close it afterwards; the cluster itself keeps running.

    Args:
        location: `threads`, or `dask://HOST:PORT` of a Dask scheduler.
        roots: Root by source dataset; every worker of a cluster must reach all of them.
        spec: Shape of the tensors.
        workers: Number of threads; ignored for a cluster.
        patience_seconds: Timeout for one task of a cluster.

    Raises:
        ComputeError: The cluster cannot be reached, has no workers or an unsuitable one, or is lost
            later.
    """
    if location == THREADS:
        return _threads(workers)
    from anomaly_assets.decoding.dask import on_cluster  # lazy: dask is an extra

    return on_cluster(location, roots, spec, patience_seconds)


@contextmanager
def _threads(workers: int) -> Iterator[Compute]:
    """Open a thread pool that cancels pending tasks when the build fails."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        yield Compute(pool, BATCH_IMAGES, BATCHES_PER_WORKER * workers, retries_alone=True)
    finally:
        pool.shutdown(cancel_futures=True)
        PIXELS.clear()
