"""Test the format of Label Studio's brush masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anomaly_assets.export.annotation.brush import decode, encode
from anomaly_assets.export.errors import ExportError

Mask = npt.NDArray[np.uint8]

MASKS = arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)
)

MASK = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1]], np.uint8)
PACKED = [0, 0, 0, 60, 57, 27, 254, 23, 0, 183, 255, 132, 192, 35, 255, 0]
"""`MASK` as label-studio-sdk 2.1.2 packs it, and `STROKE` with an opacity of 90, 200, 200 and 255."""

STROKE = [0, 0, 0, 60, 57, 27, 254, 23, 0, 141, 106, 124, 140, 38, 1, 31, 248]


def test_the_format_is_that_of_label_studio() -> None:
    assert encode(MASK) == PACKED[:-1]  # the package adds a byte without a value
    assert np.array_equal(decode(PACKED, 3, 5), MASK)


def test_the_blurred_edge_of_a_stroke_counts_from_half_of_the_opacity() -> None:
    assert decode(STROKE, 3, 5).tolist() == [[0, 0, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]


@given(MASKS)
def test_a_mask_comes_back(mask: Mask) -> None:
    assert np.array_equal(decode(encode(mask), *mask.shape), mask)


def test_runs_of_every_length_come_back() -> None:
    lengths = [1, 2, 3, 4, 5, 63, 64, 65, 16_383, 16_384, 16_385, 40_000]
    flat = np.concatenate([np.full(n, at % 2, np.uint8) for at, n in enumerate(lengths)])
    assert np.array_equal(decode(encode(flat[None]), 1, len(flat))[0], flat)


@pytest.mark.parametrize(
    "packed", [[], [1, 2, 3], PACKED[:-3], [300], ["x"], [0, 0, 0, 8, *PACKED[4:]]]
)
def test_bytes_that_are_no_mask_of_this_size_are_an_error(packed: list[Any]) -> None:
    with pytest.raises(ExportError, match="is not one of 5x3 pixels in Label Studio's format"):
        decode(packed, 3, 5)


@given(MASKS)
def test_label_studio_reads_and_writes_the_same_masks(mask: Mask) -> None:
    module: Any = pytest.importorskip("label_studio_sdk.converter.brush")
    assert np.array_equal(module.decode_rle(encode(mask)).reshape(*mask.shape, 4)[..., 3] > 0, mask)
    packed = module.encode_rle(np.repeat(mask.reshape(-1) * 255, 4))
    assert np.array_equal(decode(packed, *mask.shape), mask)
