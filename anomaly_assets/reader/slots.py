"""Allocate memory that workers fill with batches; see `loader`."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from multiprocessing.heap import Arena
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Shape:
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


class Slots:
    """Parts of a block of shared memory, one per batch; used by the main process and by workers."""

    def __init__(self, shape: Shape, count: int) -> None:
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
        """Return the same as `arrays`, and release the slot when no array or tensor refers to it."""
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


def _count_fork() -> None:
    global _forks
    _forks += 1


_PAGE = 4096

_forks = 0
"""Counter that changes when this process is forked: then its child refers to all batches that exist."""

if hasattr(os, "register_at_fork"):
    # Count twice: other threads may create and delete batches between these calls and the fork.
    os.register_at_fork(before=_count_fork, after_in_parent=_count_fork)
