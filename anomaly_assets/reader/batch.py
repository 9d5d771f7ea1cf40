"""Define the results of reading: one sample, or a batch as arrays."""

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
"""Array of uint8, or of float32 after `normalised()`."""


@dataclass(frozen=True)
class Batch:
    """Batch of samples as arrays.

    Compute pixel metrics only from samples with `has_mask`. Good images have an all-zero mask and
    `has_mask` True. It is False only for anomalous images, and images of unknown label, without a
    ground-truth file; the zeros in their masks have no meaning.

    Attributes:
        image_ids: N ids.
        images: N x height x width x channels; uint8, or float32 after `normalised()`.
        masks: uint8 0/1, N x height x width; zeros where the image is not defective or the mask is unknown.
        has_mask: bool, N; the mask is known: read from a file, or all zeros because the image is good.
        mask_from_file: bool, N; there is a ground-truth file. Its mask can still be all zeros if resizing
            lost a defect of a few pixels: `mask_area_fraction` was measured before resizing.
        label_indices: int64, N; 0 good, 1 anomalous, -1 unknown.
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
    """Single sample; `Batch` explains the masks.

    Attributes:
        image_id: `<source_dataset>/<relative_path>`.
        image: height x width x channels; uint8, or float32 after `normalised()`.
        mask: uint8 0/1, height x width.
        has_mask: The mask is known: read from a file, or all zeros because the image is good.
        mask_from_file: There is a ground-truth file.
        label_index: 0 good, 1 anomalous, -1 unknown.
        metadata: Its row of `Samples.table`.
    """

    image_id: str
    image: ImageArray
    mask: UInt8Array
    has_mask: bool
    mask_from_file: bool
    label_index: int
    metadata: Mapping[str, Any] = field(repr=False)
