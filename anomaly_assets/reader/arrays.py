"""Fetch images or masks as arrays when they are indexed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from anomaly_assets.reader.batch import IntArray


class FetchedArray:
    """Array-like object of N samples that fetches the indexed ones.

    `array[3]`, `array[10:20]`, `array[[5, 1]]` and `array[bool_mask]` return NumPy arrays. Further indices,
    as in `array[10:20, :64]`, are applied to the fetched array. `numpy.asarray` fetches everything, which
    takes `nbytes` of memory.

    Attributes:
        shape: N x height x width x channels, or N x height x width.
        dtype: uint8; float32 for images after `normalised()`.
        ndim: 4 or 3.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        fetch: Callable[[IntArray], npt.NDArray[Any]],
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.ndim = len(shape)
        self._fetch = fetch

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that the whole array takes in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        first, further = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        chosen = chosen_positions(first, len(self))
        # NumPy's stubs type an array that is indexed with a tuple as Any.
        fetched: npt.NDArray[Any]
        if isinstance(chosen, int):
            fetched = self._fetch(np.array([chosen]))[0][further]
        else:
            within = (slice(None), *further)
            fetched = self._fetch(chosen)[within]
        return fetched

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("Fetching pixels always makes a copy: use copy=None.")
        everything = self[:]
        return everything if dtype is None else everything.astype(dtype, copy=False)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"<{shape} {self.dtype}, fetched when indexed>"


def chosen_positions(key: Any, length: int) -> int | IntArray:
    """Return the position, or positions, that an index selects from a sequence of this length.

    Raises:
        IndexError: A position is out of range, or a boolean array has another length.
        TypeError: The index is not an integer, slice, or one-dimensional array of integers or booleans.
    """
    if isinstance(key, slice):
        return np.arange(length)[key]
    array = np.asarray(key)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.int64)
    if array.dtype == np.bool_ and array.ndim == 1:
        if len(array) != length:
            raise IndexError(f"{len(array)} booleans cannot choose from {length} samples.")
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise TypeError(
            f"Index with an integer, a slice, or one array of integers or booleans, not {key!r}."
        )
    outside = array[(array < -length) | (array >= length)]
    if outside.size:
        raise IndexError(f"Position {outside.flat[0]} is outside of {length} samples.")
    positions = np.where(array < 0, array + length, array).astype(np.int64)
    return int(positions) if positions.ndim == 0 else positions


def ordered(length: int, shuffle: int | None) -> IntArray:
    """Return all positions, shuffled by a seed; None keeps their order.

    Raises:
        TypeError: The seed is not a whole number.
        ValueError: The seed is below 0.
    """
    if shuffle is None:
        return np.arange(length)
    seed = whole_number("shuffle", shuffle, 0, "a seed, such as the number of the epoch")
    return np.random.default_rng(seed).permutation(length)


def whole_number(name: str, given: Any, least: int, meaning: str) -> int:
    """Return an argument that must be a whole number, of Python or NumPy.

    Raises:
        TypeError: The argument is not a whole number; the message describes the expected value.
        ValueError: The argument is below `least`.
    """
    expected = f"{name}={given!r}: give {meaning}: a whole number of at least {least}."
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)):
        raise TypeError(expected)
    if given < least:
        raise ValueError(expected)
    return int(given)
