"""Reuse the memory of batches that are no longer referenced."""

from __future__ import annotations

import mmap
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt


class Buffers:
    """Arrays in memory that is reused as soon as no array, view or tensor refers to it.

    New memory is expensive: the system maps and clears each of its pages. A buffer is a private memory
    mapping. NumPy keeps the array that owns it alive as long as there is any view of it, and PyTorch keeps
    the array that a tensor was made from. When that array is deleted, its mapping becomes free. Several
    threads may use one object. It is pickled without its memory.

    Args:
        most_free: Maximum number of unused buffers to keep. A loop over batches refers to two: the current
            and the next one.
    """

    def __init__(self, most_free: int = 2) -> None:
        self._free: list[mmap.mmap] = []
        self._most_free = most_free

    def array(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8
    ) -> npt.NDArray[np.uint8]:
        """Return an array with undefined content."""
        size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        memory = self._memory(size)
        # The base of this array must not be an array: NumPy would make that the base of all views, and this
        # array could be deleted before they are.
        array: npt.NDArray[Any] = np.ndarray(shape, dtype, buffer=memory)
        weakref.finalize(array, self._release, memory).atexit = False
        return array

    def _memory(self, size: int) -> mmap.mmap:
        while self._free:
            try:
                memory = self._free.pop()
            except IndexError:  # another thread was faster
                break
            if len(memory) >= size:
                return memory
        if not hasattr(mmap, "MAP_PRIVATE"):
            return mmap.mmap(-1, size)
        # Private: a forked process must not write into the arrays of its parent.
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        return memory

    def _release(self, memory: mmap.mmap) -> None:
        if len(self._free) < self._most_free:
            self._free.append(memory)

    def clear(self) -> None:
        """Free the unused buffers."""
        self._free.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {"_free": [], "_most_free": self._most_free}
