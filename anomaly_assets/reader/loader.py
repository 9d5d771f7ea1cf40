"""Load collated batches of tensors; only `Samples.to_loader` imports this module.

Workers fill slots, which are parts of one block of shared memory. The main process allocates the block,
chooses a free slot for each batch, and returns tensors in the slot itself. So nothing is copied, pickled or
mapped for a batch. A slot is used again when no tensor refers to it. If none is free, because the caller
keeps batches, PyTorch transfers the batch by its own means.

A block and the workers that write to it belong to one iteration. Iterations that overlap share nothing but
the samples and the epoch counter. With `persistent_workers`, a later iteration takes over the block and the
workers of one that has ended.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.heap import Arena
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch.utils.data  # noqa: TID253 (imported only by `Samples.to_loader`)

from anomaly_assets.reader.arrays import ordered, whole_number
from anomaly_assets.reader.batch import IntArray

if TYPE_CHECKING:
    from anomaly_assets.reader.samples import Samples

_PREFETCHED = 2
"""Default of PyTorch: batches that each worker prepares in advance."""

_HELD = 2
"""Slots beyond those in preparation: for the current batch and the next one."""

_SPARE = 1
"""Further slots, which may be lost by forks before persistent workers are replaced."""


class _Task(NamedTuple):
    positions: IntArray
    slot: int | None


class SamplesLoader:
    """An iterable of batches, to be iterated once per epoch like a `torch.utils.data.DataLoader`.

    A batch is a dictionary:

    | key | a batch of N |
    | --- | --- |
    | `image` | uint8, N x C x H x W; float32 after `Samples.normalised` or `Samples.as_float` |
    | `mask` | uint8 0/1, N x H x W |
    | `has_mask` | bool, N: the mask is known; exclude the sample from pixel metrics if False |
    | `label` | int64, N: 0 good, 1 anomalous, -1 unknown |
    | `image_id` | list of N strings |

    `image` has the memory format `torch.channels_last`, as it is stored; `channels_last=False` makes it
    contiguous, which takes longer. Tensors may be written to. Their memory is used for another batch only
    after all tensors, views and arrays that refer to it were deleted, and never if the process was forked
    meanwhile. A process forked from this one can read the batches that it inherits, but has to iterate
    itself; with workers, the two processes see what the other writes to such a batch.

    Several iterations may overlap: each has processes and memory of its own.

    Epoch n has the order of `samples.batches(batch_size, shuffle=shuffle + n)`, on every machine and with
    any number of workers. Each iteration is the next epoch, unless `set_epoch` was called.

    Args:
        samples: The samples to read.
        batch_size: Number of samples in a batch.
        shuffle: Seed of the random order of epoch 0; None keeps the order of the samples.
        drop_last: Leave out the last batch if it is smaller.
        num_workers: Number of processes; with 0, this process reads.
        channels_last: False for contiguous images.
        pin_memory: Copy images and masks to pinned memory, from which a GPU copies asynchronously.
        persistent_workers: Keep the processes between epochs.
        prefetch_factor: Batches that each process prepares in advance.
        multiprocessing_context: `fork`, `spawn` or `forkserver`; by default that of PyTorch.

    Raises:
        TypeError: The batch size, the seed or the number of workers is not a whole number.
        ValueError: One of them is too small, or an option of workers is given without workers.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        *,
        shuffle: int | None = None,
        drop_last: bool = False,
        num_workers: int = 0,
        channels_last: bool = True,
        pin_memory: bool = False,
        persistent_workers: bool = False,
        prefetch_factor: int | None = None,
        multiprocessing_context: Any = None,
    ) -> None:
        self.samples = samples
        self.batch_size = whole_number(
            "batch_size", batch_size, 1, "the number of samples, such as 64"
        )
        if shuffle is not None:
            shuffle = whole_number("shuffle", shuffle, 0, "a seed such as 0, or leave it out")
        self._shuffle, self._drop_last = shuffle, drop_last
        self._workers = whole_number("num_workers", num_workers, 0, "the number of processes")
        self._pinned = pin_memory and torch.cuda.is_available()
        if pin_memory and not self._pinned:
            warnings.warn("pin_memory has no effect without a GPU.", stacklevel=3)
        if not self._workers and (persistent_workers or prefetch_factor or multiprocessing_context):
            raise ValueError("These options are for workers: give num_workers=1 or more.")
        self._epoch = 0
        self._options = {
            "persistent_workers": persistent_workers,
            "prefetch_factor": prefetch_factor or _PREFETCHED,
            "multiprocessing_context": multiprocessing_context,
        }
        self._idle: list[_Workers] = []
        self._shape = _Shape(
            samples.shape, channels_last, samples.images.dtype == np.float32, self.batch_size
        )

    def __len__(self) -> int:
        whole, rest = divmod(len(self.samples), self.batch_size)
        return whole + bool(rest and not self._drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch, for instance to continue a training."""
        self._epoch = whole_number("epoch", epoch, 0, "the number of the epoch")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        seed = None if self._shuffle is None else self._shuffle + self._epoch
        self._epoch += 1
        order = ordered(len(self.samples), seed)
        if self._drop_last:
            order = order[: len(order) - len(order) % self.batch_size]
        return self._by_workers(order) if self._workers else self._here(order)

    def _here(self, order: IntArray) -> Iterator[dict[str, Any]]:
        for chosen, images, masks in self.samples._in_order(order, self.batch_size):
            if not self._shape.is_stored:
                stored, images = images, self.samples._memory[2].array(*self._shape.of(len(images)))
                self.samples._finished(stored, chosen, self._shape.stored_view(images))
            yield self._batch(chosen, images, masks)

    def _by_workers(self, order: IntArray) -> Iterator[dict[str, Any]]:
        workers = self._idle_workers() or _Workers(
            self.samples, self._shape, self._workers, self._options
        )
        try:
            for task, tensors in workers.begin(order):
                if task.slot is None:
                    images, masks = (tensor.numpy() for tensor in tensors)
                else:
                    images, masks = workers.slots.owned(task.slot, len(task.positions))
                yield self._batch(self.samples._positions[task.positions], images, masks)
                workers.require_own()
        except GeneratorExit:  # the iteration was left early
            if self._options["persistent_workers"] and workers.drain():
                self._idle[:] = [workers]
            raise
        # After an error, the workers are dropped instead: some slots could still be written to.
        if self._options["persistent_workers"]:
            self._idle[:] = [workers]

    def _idle_workers(self) -> _Workers | None:
        """Return persistent workers that no other iteration uses, and that no longer write to a slot."""
        try:
            workers = self._idle.pop()
        except IndexError:
            return None
        return workers if workers.are_own and workers.slots.lost <= _SPARE else None

    def _batch(self, chosen: IntArray, images: Any, masks: Any) -> dict[str, Any]:
        image, mask = torch.from_numpy(images), torch.from_numpy(masks)
        if self._pinned:
            image, mask = image.pin_memory(), mask.pin_memory()
        known = self.samples._known(chosen)
        return {
            "image": image.permute(0, 3, 1, 2) if self._shape.channels_last else image,
            "mask": mask,
            "has_mask": torch.from_numpy(known.has_mask),
            "label": torch.from_numpy(known.label_indices),
            "image_id": known.image_ids,
        }


@dataclass(frozen=True)
class _Shape:
    """Shape and type of the images of a batch, as they are in memory."""

    sample: tuple[int, int, int]
    channels_last: bool
    is_float: bool
    batch_size: int

    @property
    def is_stored(self) -> bool:
        """Return whether images are returned exactly as they are stored."""
        return self.channels_last and not self.is_float

    def of(self, count: int) -> tuple[tuple[int, ...], npt.DTypeLike]:
        """Return shape and type of `count` images."""
        height, width, channels = self.sample
        one = self.sample if self.channels_last else (channels, height, width)
        return (count, *one), np.float32 if self.is_float else np.uint8

    def stored_view(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of shape N x height x width x channels."""
        return images if self.channels_last else images.transpose(0, 2, 3, 1)

    @property
    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the images and of the masks of a whole batch."""
        height, width, channels = self.sample
        pixels = self.batch_size * height * width
        return pixels * channels * (4 if self.is_float else 1), pixels


class _Slots:
    """Parts of a block of shared memory, one per batch; used by the main process and by workers."""

    def __init__(self, shape: _Shape, count: int) -> None:
        self._shape = shape
        # A multiple of the page size, so that images are aligned.
        self._size = -(-sum(shape.sizes) // _PAGE) * _PAGE
        # What RawArray allocates, except that RawArray uses the memory of deleted arrays again, to which a
        # forked process may still refer. Reserve the memory now: a full /dev/shm would kill workers later.
        self._block = Arena(count * self._size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._block.fd, 0, count * self._size)
        else:
            np.frombuffer(self._block.buffer, np.uint8).fill(0)
        self._free = list(range(count))
        self.lost = 0

    def take(self) -> int | None:
        """Return a slot for one batch, None if all are in use."""
        try:
            return self._free.pop()
        except IndexError:
            return None

    def release(self, slot: int | None) -> None:
        """Make a slot available for another batch."""
        if slot is not None:
            self._free.append(slot)

    def arrays(self, slot: int, count: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return images and masks of `count` samples."""
        return self._arrays(self._owner(slot), count)

    def owned(self, slot: int, count: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the same, and release the slot when the last array or tensor that refers to it is gone."""
        owner = self._owner(slot)
        weakref.finalize(owner, self._dropped, slot, _forks).atexit = False
        return self._arrays(owner, count)

    def _dropped(self, slot: int, forks: int) -> None:
        if forks == _forks:
            self.release(slot)
        else:  # A forked process may still refer to the slot; the memory is shared.
            self.lost += 1

    def _owner(self, slot: int) -> npt.NDArray[np.uint8]:
        # The base of this array is not an array, so it is the base of all views; see `Buffers`.
        owner: npt.NDArray[np.uint8] = np.ndarray(
            (self._size,), np.uint8, buffer=self._block.buffer, offset=slot * self._size
        )
        return owner

    def _arrays(
        self, owner: npt.NDArray[np.uint8], count: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        (shape, dtype), (of_images, _) = self._shape.of(count), self._shape.sizes
        height, width, _ = self._shape.sample
        images = owner[: of_images * count // self._shape.batch_size].view(dtype).reshape(shape)
        masks = owner[of_images : of_images + count * height * width]
        return images, masks.reshape(count, height, width)


class _Workers:
    """Worker processes with the slots that they fill; at most one iteration uses them at a time."""

    def __init__(
        self, samples: Samples, shape: _Shape, number: int, options: dict[str, Any]
    ) -> None:
        # Find the blobs before the processes start, so that they need no DuckDB.
        _ = samples._pixels.threads
        self._process = os.getpid()
        self.slots = _Slots(shape, number * options["prefetch_factor"] + _HELD + _SPARE)
        self._tasks = _Tasks(self.slots)
        self._loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
            _Batches(samples, self.slots),
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

    def require_own(self) -> None:
        """Raise RuntimeError in a forked process: it would take the results of its parent."""
        if not self.are_own:
            raise RuntimeError(
                "This iteration was begun before the process was forked. "
                "Begin another one in this process: `for batch in loader`."
            )


class _Tasks(torch.utils.data.Sampler[_Task]):
    """The batches of one epoch; PyTorch asks for them in the main process, a few batches ahead."""

    def __init__(self, slots: _Slots) -> None:
        self._slots = slots
        self.parts: list[IntArray] = []

    def begin(self, order: IntArray) -> None:
        """Set the epoch that the next iteration yields."""
        size = self._slots._shape.batch_size
        self.parts = [order[start : start + size] for start in range(0, len(order), size)]

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[_Task]:
        while self.parts:
            yield _Task(self.parts.pop(0), self._slots.take())


class _Batches(torch.utils.data.Dataset[Any]):
    """Fills slots in workers."""

    def __init__(self, samples: Samples, slots: _Slots) -> None:
        self._samples, self._slots = samples, slots

    def __getitem__(self, task: _Task) -> tuple[_Task, tuple[Any, Any] | None]:
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


def _count_fork() -> None:
    global _forks
    _forks += 1


def _keep_inherited() -> None:
    """Never delete the workers of the parent in its child: PyTorch would end them for the parent too."""
    _inherited.extend(_started)


_PAGE = 4096

_forks = 0
"""Changes when this process is forked: then its child refers to all batches that exist."""

_started: weakref.WeakSet[_Workers] = weakref.WeakSet()
_inherited: list[_Workers] = []

if hasattr(os, "register_at_fork"):
    # Count twice: other threads may create and delete batches between these calls and the fork.
    os.register_at_fork(
        before=_count_fork, after_in_parent=_count_fork, after_in_child=_keep_inherited
    )
