"""What reading gives: one sample, or some of them as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
ImageArray = npt.NDArray[Any]
"""uint8, or float32 once normalised."""


@dataclass(frozen=True)
class Batch:
    """Some samples.

    Which masks count: pixel metrics are for the samples with `has_mask`. The mask of a good image is
    known to be empty, so `has_mask` is true for it. It is false, and the zeros mean nothing, for an
    anomalous image that came without a ground-truth file.

    Attributes:
        image_ids: N ids.
        images: N x height x width x channels; uint8, or float32 after `normalised()`.
        masks: uint8 0/1, N x height x width; zeros where nothing is marked or nothing is known.
        has_mask: bool, N; the mask is known: read from a file, or empty because the image is good.
        mask_from_file: bool, N; a ground-truth file was there. Its mask can still be all zeros, when
            resizing lost a defect of a few pixels: `mask_area_fraction` was measured before.
        label_indices: int64, N; 0 good, 1 anomalous.
    """

    image_ids: list[str]
    images: ImageArray
    masks: UInt8Array
    has_mask: BoolArray
    mask_from_file: BoolArray
    label_indices: IntArray

    def __len__(self) -> int:
        return len(self.image_ids)


@dataclass(frozen=True)
class Sample:
    """One sample; see `Batch` for what its masks mean.

    Attributes:
        image_id: `<source_dataset>/<relative_path>`.
        image: height x width x channels; uint8, or float32 after `normalised()`.
        mask: uint8 0/1, height x width.
        has_mask: The mask is known: read from a file, or empty because the image is good.
        mask_from_file: A ground-truth file was there.
        label_index: 0 good, 1 anomalous.
        metadata: Its row of `Samples.table`.
    """

    image_id: str
    image: ImageArray
    mask: UInt8Array
    has_mask: bool
    mask_from_file: bool
    label_index: int
    metadata: Mapping[str, Any] = field(repr=False)
