"""Where decoding runs: threads of this process, or the workers of a Dask cluster.

`build_tensors` knows neither. It is given an executor of the standard library's interface, and how much to
ask of it at once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from anomaly_assets.ingest.roots import Root, RootError
from anomaly_assets.tensors.decode import DecodedBatch, StaleImage, decode_batch
from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.version import code_version

if TYPE_CHECKING:
    from distributed import Client

THREADS = "threads"
DASK = "dask://"

Task = Callable[[Sequence[StaleImage], Mapping[str, Root], TensorSpec], DecodedBatch]

BATCH_IMAGES = 8
"""Images per task: few, so that all workers finish at about the same time."""

BATCHES_PER_WORKER = 4
"""Tasks in flight or waiting to be written: workers go on while a transaction is committed."""

_RETRIES = 3
"""How often a task is given to another worker after its worker died or failed."""

_CONNECT_SECONDS = 20
_MOST_BYTES_IN_FLIGHT = 512 * 1024 * 1024
"""Tensors that may wait in the driver, however many workers there are."""


class ComputeError(RuntimeError):
    """The cluster cannot decode; the message says why and what to do. What was written stays."""


@dataclass(frozen=True)
class Compute:
    """What decodes, and how much of it there is.

    Attributes:
        executor: Runs tasks.
        batch_images: Images per task.
        window: Tasks in flight or waiting to be written, at most.
        task: Decodes one batch; can be sent to other machines.
        patience_seconds: How long to wait for the oldest task; None waits for ever.
    """

    executor: Executor
    batch_images: int
    window: int
    task: Task = decode_batch
    patience_seconds: float | None = None


@contextmanager
def open_compute(
    location: str,
    roots: Mapping[str, Root],
    spec: TensorSpec,
    *,
    workers: int,
    patience_seconds: float | None = None,
) -> Iterator[Compute]:
    """Make ready what decodes, and end it afterwards; a cluster itself goes on.

    Args:
        location: `threads`, or `dask://HOST:PORT` of a Dask scheduler.
        roots: Source dataset to its root, which every worker of a cluster has to reach.
        spec: Shape of the tensors.
        workers: Number of threads; a cluster has as many as it has.
        patience_seconds: How long to wait for one task of a cluster.

    Raises:
        ComputeError: The cluster cannot be reached, has no workers, or one that cannot take part; or it
            goes away later.
    """
    if location == THREADS:
        with _threads(workers) as compute:
            yield compute
    else:
        with _dask(location, roots, spec, patience_seconds) as compute:
            yield compute


@contextmanager
def _threads(workers: int) -> Iterator[Compute]:
    """A pool that drops what has not begun when the build fails."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        yield Compute(pool, BATCH_IMAGES, BATCHES_PER_WORKER * workers)
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _dask(
    location: str, roots: Mapping[str, Root], spec: TensorSpec, patience_seconds: float | None
) -> Iterator[Compute]:
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise ComputeError(
            f"ANOMALY_COMPUTE={location} needs Dask: pip install 'anomaly_assets[dask]'."
        ) from None

    address = "tcp://" + location.removeprefix(DASK)
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ComputeError(
            f"No Dask scheduler answers at {location} within {_CONNECT_SECONDS} s. Start one "
            "(`dask scheduler`), or set ANOMALY_COMPUTE=threads."
        ) from error
    with client:
        threads = _ready_workers(client, location, roots)
        compute = Compute(
            client.get_executor(pure=False, retries=_RETRIES),
            *_batches(threads, spec),
            partial(decode_on_worker, code_version()),
            patience_seconds,
        )
        try:
            yield compute
        except KilledWorker as error:
            raise ComputeError(
                f"A decoding task ended the workers that ran it, {_RETRIES + 1} times over. "
                f"Their logs say why; too little memory is the usual cause. {_GOES_ON}"
            ) from error
        except TimeoutError as error:
            raise ComputeError(
                f"The cluster at {location} gave no result for {patience_seconds:.0f} s. Look at its "
                f"workers, or raise ANOMALY_TASK_TIMEOUT_SECONDS. {_GOES_ON}"
            ) from error
        except _gone() as error:
            raise ComputeError(f"The scheduler at {location} went away. {_GOES_ON}") from error
        finally:
            compute.executor.shutdown(wait=False)


_GOES_ON = "What was written stays, and the next run goes on from there."


def _gone() -> tuple[type[BaseException], ...]:
    """What is raised when the scheduler goes away."""
    from concurrent.futures import CancelledError

    from distributed import client, comm

    return CancelledError, client.FutureCancelledError, comm.CommClosedError


def _batches(threads: int, spec: TensorSpec) -> tuple[int, int]:
    """Images per task and tasks in flight, so that the driver's memory is bounded.

    Two tasks per thread keep it busy; larger batches cost the scheduler and the driver less.
    """
    image_bytes = spec.height * spec.width * (spec.channels + 1)
    affordable = _MOST_BYTES_IN_FLIGHT // image_bytes
    batch_images = max(1, min(4 * BATCH_IMAGES, affordable // (2 * threads)))
    window = max(threads, min(BATCHES_PER_WORKER * threads, affordable // batch_images))
    return batch_images, window


def _ready_workers(client: Client, location: str, roots: Mapping[str, Root]) -> int:
    """How many threads the workers have that can take part; an error where one of them cannot.

    Raises:
        ComputeError: There is no worker, or one has another version or cannot reach a root.
    """
    try:
        client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
    except TimeoutError:
        raise ComputeError(
            f"The scheduler at {location} has no worker. Start some (`dask worker`) where the roots "
            "can be read."
        ) from None
    wanted = code_version()
    answers = client.run(what_stands_in_the_way, wanted, dict(roots), on_error="return")
    obstacles = [
        f"{worker}: {answer if isinstance(answer, str) else _told(answer)}"
        for worker, answer in answers.items()
        if answer is not None
    ]
    if obstacles:
        raise ComputeError(
            f"{len(obstacles)} of {len(answers)} workers at {location} cannot take part. "
            + " ".join(obstacles[:5])
        )
    return sum(client.nthreads().values())


def _told(error: Any) -> str:
    if isinstance(error, ImportError):
        return f"anomaly_assets is not installed there ({error})."
    return f"{type(error).__name__}: {error}"


def what_stands_in_the_way(wanted: str, roots: Mapping[str, Root]) -> str | None:
    """Asked of every worker: why it cannot take part, in a sentence; None if it can."""
    host = socket.gethostname()
    if code_version() != wanted:
        return f"{host} has anomaly_assets {code_version()}, the driver {wanted}: install the same."
    for name, root in roots.items():
        try:
            found = next(iter(root.files()), None)
        except RootError as error:
            return f"{host} cannot read the root of {name}: {error}"
        if found is None:
            return f"{host} finds no file below {root.uri}, the root of {name}: mount it there."
    return None


def decode_on_worker(
    wanted: str, images: Sequence[StaleImage], roots: Mapping[str, Root], spec: TensorSpec
) -> DecodedBatch:
    """`decode_batch`, refused by a worker that came later with another version of this package."""
    if code_version() != wanted:
        raise ComputeError(
            f"The worker on {socket.gethostname()} has anomaly_assets {code_version()}, the driver "
            f"{wanted}: install the same version on both."
        )
    return decode_batch(images, roots, spec)
