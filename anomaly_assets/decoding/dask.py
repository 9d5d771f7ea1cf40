"""Decode on a Dask cluster: workers read the files themselves and return Arrow record batches.

Dask does scheduling, retries and transfers. This module adds three things: it checks that every worker
can decode images, it limits the driver's memory, and it turns every failure of the cluster into a clear
error after a timeout.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as StillPending
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from anomaly_assets.decoding.batch import CHANGED, DecodedBatch, StaleImage, decode_batch
from anomaly_assets.decoding.versions import how_it_differs, what_decides_pixels
from anomaly_assets.decoding.workers import BATCHES_PER_WORKER, Compute, ComputeError
from anomaly_assets.errors import install_extra
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.base import Root, RootError

if TYPE_CHECKING:
    from distributed import Client

DASK = "dask://"

_VERSIONS = what_decides_pixels()
"""Versions of the code that this process has loaded, even if the files on the disk change later."""

BATCH_IMAGES = 32
"""Number of images per task: any task costs the driver and the scheduler some milliseconds."""

_RETRIES = 1
"""Number of retries of a task that failed. The scheduler also counts worker deaths
(`distributed.scheduler.allowed-failures`, 3); a failed retry adds one."""

_CONNECT_SECONDS = 20
"""Timeout for the scheduler, for a first worker, and for another one after all are lost."""

_LOOK_SECONDS = 2
"""Interval of the checks of the cluster while no result arrives."""

_MOST_BYTES_IN_FLIGHT = 1024 * 1024 * 1024
"""Maximum bytes of tensors that wait in the driver, for any number of workers."""

_LEAST_TASK_BYTES = 2 * 1024 * 1024
"""Minimum bytes of tensors per task: below that, tasks cost the driver more than tensors."""

_GOES_ON = "Committed rows are kept, and the next run continues from there."


@contextmanager
def on_cluster(
    location: str, roots: Mapping[str, Root], spec: Recipe, patience_seconds: float
) -> Iterator[Compute]:
    """Connect to a Dask cluster and decode images on its workers; see `open_compute`."""
    try:
        from distributed import Client, KilledWorker
        from distributed import TimeoutError as NoAnswer
        from distributed.client import ClosedClientError, FutureCancelledError
        from distributed.comm import CommClosedError
    except ImportError:
        raise ComputeError(
            f"ANOMALY_COMPUTE={location} needs Dask: {install_extra('dask')}."
        ) from None

    try:
        # Workers send tensors directly: through the one scheduler, they would overload it.
        client = Client(
            "tcp://" + location.removeprefix(DASK),
            timeout=_CONNECT_SECONDS,
            set_as_default=False,
            direct_to_workers=True,
        )
    except (OSError, NoAnswer) as error:
        raise ComputeError(
            f"No Dask scheduler answers at {location} within {_CONNECT_SECONDS} s. Start one "
            "(`dask scheduler`), or set ANOMALY_COMPUTE=threads."
        ) from error
    with client:
        threads = _ready_workers(client, location, roots)
        executor = client.get_executor(pure=False, retries=_RETRIES)
        try:
            yield Compute(
                executor,
                *_batches(threads, spec),
                partial(decode_on_worker, _VERSIONS),
                _Patience(client, location, patience_seconds).result,
            )
        except KilledWorker as error:
            raise ComputeError(
                "A decoding task ended the workers that ran it, one after the other. Their logs have the "
                f"reason; too little memory is the usual cause. {_GOES_ON}"
            ) from error
        except Exception as error:
            gone = isinstance(error, (CancelledError, FutureCancelledError, CommClosedError))
            if gone or client.status != "running":
                raise ComputeError(
                    f"The connection to the scheduler at {location} was lost. {_GOES_ON}"
                ) from error
            raise
        finally:
            # If the scheduler is gone, tasks cannot be cancelled.
            with suppress(ClosedClientError, CommClosedError):
                executor.shutdown(wait=False)


@dataclass
class _Patience:
    """Wait for the results of tasks, and check the cluster meanwhile.

    If the result of a task is lost in transfer and cannot be recomputed, the cluster's executor loses the
    task. Dask's client does not notice if the worker from which it reads is gone. Such a future would never
    finish.
    """

    client: Client
    location: str
    seconds: float

    def result(self, task: Future[DecodedBatch]) -> DecodedBatch:
        started = somebody_seen = time.monotonic()
        while True:
            try:
                return task.result(_LOOK_SECONDS)
            except StillPending:
                if task.done():
                    return task.result()
            self._raise_what_failed()
            now = time.monotonic()
            workers = self._workers()
            self._let_go_of_others(workers)
            if workers:
                somebody_seen = now
            elif now - somebody_seen > _CONNECT_SECONDS:
                raise ComputeError(
                    f"The cluster at {self.location} has lost all workers. {_GOES_ON}"
                )
            if now - started > self.seconds:
                raise ComputeError(
                    f"The cluster at {self.location} gave no result for {self.seconds:.0f} s. Look at "
                    f"its workers, or raise ANOMALY_TASK_TIMEOUT_SECONDS. {_GOES_ON}"
                )

    def _workers(self) -> Collection[str]:
        """Return the addresses of the workers that the scheduler uses."""
        from distributed import TimeoutError as NoAnswer

        try:
            return self.client.nthreads(callback_timeout=_CONNECT_SECONDS).keys()
        except NoAnswer as error:
            raise ComputeError(
                f"The scheduler at {self.location} does not answer any more. {_GOES_ON}"
            ) from error

    def _let_go_of_others(self, workers: Collection[str]) -> None:
        """Close connections to workers that the scheduler has given up; it reruns their tasks elsewhere.

        The connection to a hanging worker stays open, and the client would wait for it forever.
        """
        pool, loop, scheduler = self.client.rpc, self.client.loop, self.client.scheduler
        if loop is None or scheduler is None:  # the client is closed
            return
        for address in {*pool.occupied} - {*workers, scheduler.address}:
            loop.add_callback(pool.remove, address)

    def _raise_what_failed(self) -> None:
        for state in list(self.client.futures.values()):
            if state.status in ("error", "cancelled") and state.exception is not None:
                raise state.exception


def _batches(threads: int, spec: Recipe) -> tuple[int, int]:
    """Return images per task and tasks in flight, so that the driver's memory is limited.

    Two tasks per thread keep it busy. If that needs too much memory, tasks become smaller, down to the
    size that is worth their overhead. Then fewer are in flight, but never fewer images than threads.
    """
    image_bytes = spec.height * spec.width * (spec.channels + 1)
    affordable = _MOST_BYTES_IN_FLIGHT // image_bytes
    least = min(BATCH_IMAGES, max(1, _LEAST_TASK_BYTES // image_bytes))
    batch_images = max(least, min(BATCH_IMAGES, affordable // (2 * threads)))
    window = min(BATCHES_PER_WORKER * threads, affordable // batch_images)
    return batch_images, max(1, threads // batch_images, window)


def _ready_workers(client: Client, location: str, roots: Mapping[str, Root]) -> int:
    """Return the number of threads of all workers, after checking that each worker can decode images.

    Raises:
        ComputeError: The cluster has no worker, or a worker has another version or cannot reach a root.
    """
    from distributed import TimeoutError as NoAnswer

    try:
        client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
    except NoAnswer:
        raise ComputeError(
            f"The scheduler at {location} has no worker. Start some (`dask worker`) where the roots "
            "can be read."
        ) from None
    answers = client.run(what_stands_in_the_way, _VERSIONS, dict(roots), on_error="return")
    obstacles = [
        f"{worker}: {answer if isinstance(answer, str) else _told(answer)}"
        for worker, answer in answers.items()
        if answer is not None
    ]
    if obstacles:
        raise ComputeError(
            f"{len(obstacles)} of {len(answers)} workers at {location} cannot decode images. "
            + " ".join(obstacles[:5])
        )
    return sum(client.nthreads().values())


def _told(error: Any) -> str:
    if isinstance(error, ImportError):
        return f"anomaly_assets is not installed there ({error})."
    return f"{type(error).__name__}: {error}"


def what_stands_in_the_way(wanted: dict[str, str], roots: Mapping[str, Root]) -> str | None:
    """Return the reason why this worker cannot decode images, as a sentence; None if it can."""
    host = socket.gethostname()
    if (difference := how_it_differs(wanted, host)) is not None:
        return difference
    for name, root in roots.items():
        try:
            found = next(iter(root.files()), None)
        except RootError as error:
            return f"{host} cannot read the root of {name}: {error}"
        if found is None:
            return f"{host} finds no file below {root.uri}, the root of {name}: mount it there."
    return None


_can_take_part: set[tuple[str, ...]] = set()
"""Versions and URLs of roots for which this process has already passed the check."""


def decode_on_worker(
    wanted: dict[str, str],
    images: Sequence[StaleImage],
    roots: Mapping[str, Root],
    spec: Recipe,
) -> DecodedBatch:
    """Run `decode_batch`, after checking a worker that joined later than the others.

    If a root is not mounted, every file would seem unreadable and be rejected. If another copy of the
    root is mounted, files differ from the listing; the rejection then names the machine.
    """
    asked = (*wanted.values(), *(root.uri for root in roots.values()))
    if asked not in _can_take_part:
        obstacle = what_stands_in_the_way(wanted, roots)
        if obstacle is not None:
            raise ComputeError(
                f"A worker that joined during the run cannot decode images: {obstacle}"
            )
        _can_take_part.add(asked)
    batch = decode_batch(images, roots, spec)
    rejections = [
        replace(rejected, detail=f"{rejected.detail} (read on {socket.gethostname()})")
        if rejected.reason == CHANGED
        else rejected
        for rejected in batch.rejections
    ]
    return replace(batch, rejections=rejections)
