"""Run processes that fill slots with batches; see `loader`."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch.utils.data  # noqa: TID253 (imported only by `Samples.to_loader`)

from anomaly_assets.reader.batch import IntArray
from anomaly_assets.reader.slots import Shape, Slots

if TYPE_CHECKING:
    from anomaly_assets.reader.samples import Samples

_HELD = 2
"""Number of slots beyond those in preparation: for the current batch and the next one."""

_SPARE = 1
"""Number of further slots, which may be lost by forks before persistent workers are replaced."""


class Task(NamedTuple):
    """Samples of a batch, and its slot; None if the batch is transferred by PyTorch."""

    positions: IntArray
    slot: int | None


class Workers:
    """Worker processes with the slots that they fill; at most one iteration uses them at a time.

    Args:
        samples: The samples to read.
        shape: Shape of a batch.
        batches: Number of batches in an epoch, which needs no more slots.
        number: Number of processes.
        options: Further arguments of `DataLoader`.
    """

    def __init__(
        self, samples: Samples, shape: Shape, batches: int, number: int, options: dict[str, Any]
    ) -> None:
        # Find the blobs before the processes start, so that they need no DuckDB.
        _ = samples._pixels.threads
        self._process = os.getpid()
        slots = number * options["prefetch_factor"] + _HELD + _SPARE
        self.slots = Slots(shape, min(slots, batches))
        self._tasks = Tasks(self.slots)
        self._loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
            Batches(samples, self.slots),
            sampler=self._tasks,
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=number,
            **options,
        )
        _started.add(self)

    def begin(self, order: IntArray) -> Iterator[Any]:
        """Return the results for one epoch. Call this only if no other epoch is being read."""
        self._tasks.begin(order)
        self._results = iter(self._loader)
        return self._results

    def drain(self) -> bool:
        """Wait until nothing writes to a slot, and return whether the workers can be used again."""
        if not self.are_own:
            return False
        self._tasks.parts.clear()
        with suppress(Exception):
            for task, _ in self._results:  # those that were already sent to the processes
                self.slots.release(task.slot)
            return True
        return False

    @property
    def are_own(self) -> bool:
        """Return whether this process started the workers, instead of the one it was forked from."""
        return self._process == os.getpid()

    @property
    def are_reusable(self) -> bool:
        """Return whether a later iteration of this process can use the workers and have enough slots."""
        return self.are_own and self.slots.lost <= _SPARE

    def require_own(self) -> None:
        """Raise RuntimeError in a forked process: it would take the results of its parent."""
        if not self.are_own:
            raise RuntimeError(
                "This iteration was begun before the process was forked. "
                "Begin another one in this process: `for batch in loader`."
            )


class Tasks(torch.utils.data.Sampler[Task]):
    """The batches of one epoch; PyTorch asks for them in the main process, a few batches ahead."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.parts: list[IntArray] = []

    def begin(self, order: IntArray) -> None:
        """Set the epoch that the next iteration yields."""
        size = self._slots._shape.batch_size
        self.parts = [order[start : start + size] for start in range(0, len(order), size)]

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Task]:
        while self.parts:
            yield Task(self.parts.pop(0), self._slots.take())


class Batches(torch.utils.data.Dataset[Any]):
    """Fills slots in workers."""

    def __init__(self, samples: Samples, slots: Slots) -> None:
        self._samples, self._slots = samples, slots

    def __getitem__(self, task: Task) -> tuple[Task, tuple[Any, Any] | None]:
        """Read a batch, and return it unless it has a slot."""
        chosen, shape = self._samples._positions[task.positions], self._slots._shape
        if task.slot is not None:
            images, masks = self._slots.arrays(task.slot, len(chosen))
        else:
            form, dtype = shape.of(len(chosen))
            images = np.empty(form, np.dtype(dtype))
            masks = np.empty((len(chosen), *shape.sample[:2]), np.uint8)
        self._samples._read_into(chosen, shape.stored_view(images), masks)
        if task.slot is not None:
            return task, None
        return task, (torch.from_numpy(images), torch.from_numpy(masks))


def _unchanged(result: Any) -> Any:
    return result


def _keep_inherited() -> None:
    """Never delete the workers of the parent in its child: PyTorch would end them for the parent too."""
    _inherited.extend(_started)


_started: weakref.WeakSet[Workers] = weakref.WeakSet()
_inherited: list[Workers] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_inherited)
