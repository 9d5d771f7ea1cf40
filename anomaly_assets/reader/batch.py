"""Define the results of reading: one sample, or a batch as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anomaly_assets.datasets.names import shown
from anomaly_assets.reader.pictures import Picture, Pictured

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
ImageArray = npt.NDArray[Any]
"""Array of uint8, or of float32 after `normalised()`."""


@dataclass(frozen=True)
class Batch(Pictured):
    """Batch of samples as arrays; a notebook shows its pictures.

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
        categories: N names of categories.
        splits: N splits: `train`, `test`, `validation` or `unassigned`.
        defect_types: N kinds of defect; the empty string if the table has none, as for good images.
    """

    image_ids: list[str]
    images: ImageArray
    masks: UInt8Array
    has_mask: BoolArray
    mask_from_file: BoolArray
    label_indices: IntArray
    categories: list[str]
    splits: list[str]
    defect_types: list[str]

    def __len__(self) -> int:
        return len(self.image_ids)

    def __repr__(self) -> str:
        anomalous = int((self.label_indices == 1).sum())
        image = _described(self.images.shape[1:], self.images.dtype)
        return f"<Batch of {len(self)}, {anomalous} anomalous: images of {image}>"

    def _pictures(self, most: int) -> Sequence[Picture]:
        return [
            Picture(
                _caption(self.categories[number], int(label), self.defect_types[number]),
                int(label),
                self.images[number],
                self.masks[number] if self.has_mask[number] else None,
            )
            for number, label in enumerate(self.label_indices[:most])
        ]


@dataclass(frozen=True)
class Sample(Pictured):
    """Single sample; `Batch` explains the masks. A notebook shows its picture.

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
    metadata: Mapping[str, Any]

    def __repr__(self) -> str:
        image = _described(self.image.shape, self.image.dtype)
        return f"<Sample {shown(self.image_id)}: {_LABELS[self.label_index]}, image of {image}>"

    def _pictures(self, most: int) -> Sequence[Picture]:
        about = self.metadata
        caption = _caption(about["category"], self.label_index, about["defect_type"])
        mask = self.mask if self.has_mask else None
        return [Picture(caption, self.label_index, self.image, mask)]


def _caption(category: str, label_index: int, defect_type: str | None) -> str:
    return f"{category}, {defect_type or _LABELS[label_index]}"


def _described(shape: Sequence[int], dtype: npt.DTypeLike) -> str:
    return f"{'×'.join(map(str, shape))} {dtype}"


_LABELS = {0: "good", 1: "anomalous", -1: "unknown"}
