"""Test that memory of batches is reused, but never while an object refers to it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from anomaly_assets.buffers import Buffers


def test_a_buffer_is_used_again_only_when_no_view_is_left() -> None:
    buffers = Buffers()
    whole = buffers.array((4, 5))
    place, view = whole.ctypes.data, whole[1:, 2]
    del whole
    other = buffers.array((4, 5))
    assert not np.shares_memory(view, other)
    del view
    assert buffers.array((4, 5)).ctypes.data == place


def test_arrow_keeps_a_buffer_from_being_used_again() -> None:
    buffers = Buffers()
    array = buffers.array((5,))
    place, arrow = array.ctypes.data, pa.py_buffer(array)
    del array
    assert buffers.array((5,)).ctypes.data != place
    buffers.clear()
    del arrow
    assert buffers.array((5,)).ctypes.data == place


def test_unused_buffers_are_kept_up_to_a_number_and_can_be_freed() -> None:
    buffers = Buffers(most_free=1)
    arrays = [buffers.array((5,)) for _ in range(3)]
    arrays.clear()
    assert len(buffers._free) == 1
    buffers.clear()
    assert not buffers._free
