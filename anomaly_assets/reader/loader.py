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

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # noqa: TID253 (imported only by `Samples.to_loader`)

from anomaly_assets.reader.arrays import ordered, whole_number
from anomaly_assets.reader.batch import IntArray
from anomaly_assets.reader.marked import marked
from anomaly_assets.reader.slots import Shape
from anomaly_assets.reader.workers import Workers

if TYPE_CHECKING:
    from anomaly_assets.reader.samples import Samples

_PREFETCHED = 2
"""Number of batches that each worker prepares in advance: the default of PyTorch."""


class SamplesLoader:
    """An iterable of batches, to be iterated once per epoch like a `torch.utils.data.DataLoader`.

    A batch is a dictionary:

    | key | a batch of N |
    | --- | --- |
    | `image` | uint8, N x C x H x W; float32 after `Samples.normalised` or `Samples.as_float` |
    | `mask` | uint8 0/1, N x H x W |
    | `has_mask` | bool, N: the mask is known; exclude the sample from pixel metrics if False |
    | `label` | int64, N: 0 good, 1 anomalous, -1 unknown |
    | `image_id`, `category`, `split` | lists of N strings |
    | `defect_type` | list of N strings; the empty string for good images |

    With torchvision, `image` and `mask` are `tv_tensors.Image` and `tv_tensors.Mask`: a transform of
    `torchvision.transforms.v2` that gets the batch moves both, each sample of the batch by the same amount.
    Use `to_torch` for a random transform per sample.

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
        ValueError: A number is too small, or an option of workers is given without workers.
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
        self._idle: list[Workers] = []
        largest = min(self.batch_size, max(1, len(samples)))
        self._shape = Shape(
            samples.shape, channels_last, samples.images.dtype == np.float32, largest
        )

    def __repr__(self) -> str:
        return f"<{len(self)} batches of up to {self.batch_size} of {self.samples!r}>"

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
        return self._by_workers(order) if self._workers and len(order) else self._here(order)

    def _here(self, order: IntArray) -> Iterator[dict[str, Any]]:
        for chosen, images, masks in self.samples._in_order(order, self.batch_size):
            if not self._shape.is_stored:
                stored, images = images, self.samples._memory[2].array(*self._shape.of(len(images)))
                self.samples._finished(stored, chosen, self._shape.stored_view(images))
            yield self._batch(chosen, images, masks)

    def _by_workers(self, order: IntArray) -> Iterator[dict[str, Any]]:
        workers = self._idle_workers() or Workers(
            self.samples, self._shape, len(self), self._workers, self._options
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

    def _idle_workers(self) -> Workers | None:
        """Return persistent workers that no other iteration uses, and that no longer write to a slot."""
        try:
            workers = self._idle.pop()
        except IndexError:
            return None
        return workers if workers.are_reusable else None

    def _batch(self, chosen: IntArray, images: Any, masks: Any) -> dict[str, Any]:
        image, mask = torch.from_numpy(images), torch.from_numpy(masks)
        if self._pinned:
            image, mask = image.pin_memory(), mask.pin_memory()
        if self._shape.channels_last:
            image = image.permute(0, 3, 1, 2)
        image, mask = marked(image, mask)
        known = self.samples._known(chosen)
        return {
            "image": image,
            "mask": mask,
            "has_mask": torch.from_numpy(known.has_mask),
            "label": torch.from_numpy(known.label_indices),
            "image_id": known.image_ids,
            "category": known.categories,
            "split": known.splits,
            "defect_type": known.defect_types,
        }
