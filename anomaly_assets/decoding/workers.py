"""Decode batches in order, with any executor that has the interface of the standard library.

Threads of this process and the workers of a Dask cluster both have that interface; see `open.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass

from anomaly_assets.decoding.batch import DecodedBatch, DecodingError, StaleImage, decode_batch
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.base import Root

Task = Callable[[Sequence[StaleImage], Mapping[str, Root], Recipe], DecodedBatch]


BATCHES_PER_WORKER = 4
"""Number of tasks per worker in flight or waiting to be written: workers continue during a commit."""


class ComputeError(AnomalyAssetsError, RuntimeError):
    """The cluster cannot decode; the message gives the reason and the remedy. Committed rows stay."""


@dataclass(frozen=True)
class Compute:
    """The executor of decoding tasks, and its limits.

    Attributes:
        executor: Runs tasks.
        batch_images: Maximum number of images per task.
        window: Maximum number of tasks in flight or waiting to be written.
        task: Function that decodes one batch; it can be pickled for other machines.
        result: Function that waits for one task.
        retries_alone: Whether a failed task is run once more while no other task runs, because then
            memory may suffice. A cluster retries by itself.
    """

    executor: Executor
    batch_images: int
    window: int
    task: Task = decode_batch
    result: Callable[[Future[DecodedBatch]], DecodedBatch] = Future.result
    retries_alone: bool = False


def decode_in_order(
    compute: Compute,
    batches: Iterable[Sequence[StaleImage]],
    roots: Mapping[str, Root],
    spec: Recipe,
) -> Iterator[DecodedBatch]:
    """Decode batches concurrently, and yield the results in order.

    Raises:
        DecodingError: A batch failed for a reason outside its files, even when it was retried alone.
        RootError: The root is gone, or its store does not answer.
        ComputeError: The cluster cannot decode.
    """
    pending: deque[tuple[Sequence[StaleImage], Future[DecodedBatch]]] = deque()
    for images in batches:
        if len(pending) >= compute.window:
            yield _first_result(compute, pending, roots, spec)
        pending.append((images, compute.executor.submit(compute.task, images, roots, spec)))
    while pending:
        yield _first_result(compute, pending, roots, spec)


def _first_result(
    compute: Compute,
    pending: deque[tuple[Sequence[StaleImage], Future[DecodedBatch]]],
    roots: Mapping[str, Root],
    spec: Recipe,
) -> DecodedBatch:
    images, task = pending.popleft()
    try:
        return compute.result(task)
    except DecodingError:
        if not compute.retries_alone:
            raise
    del task  # free the memory that the frames of its error hold
    wait([other for _, other in pending])
    return compute.result(compute.executor.submit(compute.task, images, roots, spec))
