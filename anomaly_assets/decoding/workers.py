"""Decode batches in order with an executor of the standard library's interface.

Threads of this process and the workers of a Dask cluster both have that interface; see `open.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass

from anomaly_assets.decoding.batch import DecodedBatch, DecodingError, StaleImage, decode_batch
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.roots.base import Root
from anomaly_assets.tensor_spec import TensorSpec

Task = Callable[[Sequence[StaleImage], Mapping[str, Root], TensorSpec], DecodedBatch]


BATCHES_PER_WORKER = 4
"""Tasks in flight or waiting to be written: workers go on while a transaction is committed."""


class ComputeError(AnomalyAssetsError, RuntimeError):
    """The cluster cannot decode; the message says why and what to do. What was written stays."""


@dataclass(frozen=True)
class Compute:
    """What decodes, and how much of it there is.

    Attributes:
        executor: Runs tasks.
        batch_images: Images per task, at most.
        window: Tasks in flight or waiting to be written, at most.
        task: Decodes one batch; can be sent to other machines.
        result: Waits for one task.
        retries_alone: Whether a task that failed is run once more while no other one runs, for which
            memory may suffice. A cluster tries again by itself.
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
    spec: TensorSpec,
) -> Iterator[DecodedBatch]:
    """Decode batches, some of them at once, and yield them in order.

    Raises:
        DecodingError: A batch failed for a reason that is not in its files, and again when it was tried
            alone.
        RootError: A root is gone, or its store does not answer.
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
    spec: TensorSpec,
) -> DecodedBatch:
    images, task = pending.popleft()
    try:
        return compute.result(task)
    except DecodingError:
        if not compute.retries_alone:
            raise
    del task  # its error holds the frames of the failed task, and with them what was decoded in it
    wait([other for _, other in pending])
    return compute.result(compute.executor.submit(compute.task, images, roots, spec))
