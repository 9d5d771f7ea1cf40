"""One decoding task: read and decode some images, give them back as an Arrow record batch.

A task depends on nothing but its arguments, so any `concurrent.futures.Executor` can run it.
"""

from __future__ import annotations

import math
import mmap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.names import shown
from anomaly_assets.ingest.roots import FileUnreadableError, Root
from anomaly_assets.tensors.memory import keep_freed_memory
from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.tensors.transform import (
    DecodedImage,
    DecodedMask,
    UInt8Array,
    UnusableImageError,
    decode_image,
    decode_mask,
)

TENSORS_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("file_version", pa.string()),
        ("mask_file_version", pa.string()),
        ("transform", pa.string()),
        ("content_sha256", pa.string()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("original_mode", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("channels", pa.int32()),
        ("image_tensor", pa.binary()),
        ("mask_tensor", pa.binary()),
        ("mask_area_fraction", pa.float64()),
        ("mask_width", pa.int32()),
        ("mask_height", pa.int32()),
        ("mask_values", pa.int32()),
        ("mask_box", pa.list_(pa.int32())),
        ("channel_sums", pa.list_(pa.int64())),
        ("channel_square_sums", pa.list_(pa.int64())),
        ("loaded_at", pa.timestamp("us", tz="UTC")),
        ("run_id", pa.string()),
    ]
)
"""Exactly the columns of `image_tensors`."""

UNREADABLE = "unreadable"
"""Reason of a file that could not be read at all; it is tried again at every run."""

_TIMESTAMP = pa.timestamp("us", tz="UTC")
_NOT_MEASURED = frozenset({"image_tensor", "mask_tensor", "loaded_at", "run_id"})


@dataclass(frozen=True, slots=True)
class StaleImage:
    """An image to decode: a row of the catalogue, as far as decoding needs it."""

    image_id: str
    source_dataset: str
    relative_path: str
    source_uri: str
    file_version: str
    mask_relative_path: str | None
    mask_source_uri: str | None
    mask_file_version: str | None


IMAGE_COLUMNS = [column.name for column in fields(StaleImage)]
"""The columns of the catalogue that decoding needs."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file that could not be used, and why: a row of `rejected_images`, but for `of_mask`.

    Attributes:
        of_mask: Whether it is the mask: the image itself has a tensor then.
    """

    image_id: str
    relative_path: str
    file_version: str
    transform: str
    reason: str
    detail: str
    of_mask: bool = False

    def columns(self) -> dict[str, str]:
        """Return the values of the columns of `rejected_images`."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "of_mask"}


@dataclass(frozen=True)
class DecodedBatch:
    """What one decoding task gives back.

    Attributes:
        tensors: Rows of `TENSORS_SCHEMA` but for `run_id`, which the writer adds.
        rejections: Files of this batch that could not be used.
        images: Number of images that were tried.
        seconds: How long that took, reading included.
    """

    tensors: pa.RecordBatch
    rejections: list[Rejection]
    images: int
    seconds: float


def decode_batch(
    images: Sequence[StaleImage], roots: Mapping[str, Root], spec: TensorSpec
) -> DecodedBatch:
    """Read and decode some images one after the other; the unit of work of an executor.

    Pixels go into one buffer, which Arrow takes over without a copy. It is mapped for itself, because
    an allocator that keeps such large pieces for later was measured to hold 200 MB more.
    """
    keep_freed_memory()
    started = time.monotonic()
    shape = (len(images), spec.height, spec.width, spec.channels)
    buffer = mmap.mmap(-1, max(1, math.prod(shape)))
    pixels = np.frombuffer(buffer, np.uint8, math.prod(shape)).reshape(shape)
    masks: list[bytes | None] = []
    rows: list[tuple[object, ...]] = []
    rejections: list[Rejection] = []
    for image in images:
        formats = SOURCE_DATASETS[image.source_dataset].formats
        try:
            decoded = decode_image(_read(roots, image, image.source_uri), spec, formats)
        except (UnusableImageError, FileUnreadableError) as error:
            rejections.append(_rejection(image, error, spec))
            continue
        mask = None
        if image.mask_source_uri is not None:
            try:
                mask = decode_mask(_read(roots, image, image.mask_source_uri), spec, formats)
            except (UnusableImageError, FileUnreadableError) as error:
                rejections.append(_rejection(image, error, spec, of_mask=True))
        pixels[len(rows)] = decoded.pixels
        masks.append(mask.pixels.tobytes() if mask else None)
        rows.append(_row(image, decoded, mask, spec))
    tensors = _tensor_rows(rows, pixels, masks)
    return DecodedBatch(tensors, rejections, len(images), time.monotonic() - started)


def _read(roots: Mapping[str, Root], image: StaleImage, uri: str) -> bytes:
    root = roots[image.source_dataset]
    path = root.path_of(uri)
    if path is None:
        raise FileUnreadableError(
            f"{shown(uri)} does not lie below {root.uri}; reload its category."
        )
    return root.read(path)


def _rejection(
    image: StaleImage, error: Exception, spec: TensorSpec, *, of_mask: bool = False
) -> Rejection:
    return Rejection(
        image_id=image.image_id,
        relative_path=str(image.mask_relative_path if of_mask else image.relative_path),
        file_version=str(image.mask_file_version if of_mask else image.file_version),
        transform=spec.transform,
        reason=error.reason if isinstance(error, UnusableImageError) else UNREADABLE,
        detail=shown(error),
        of_mask=of_mask,
    )


def _row(
    image: StaleImage, decoded: DecodedImage, mask: DecodedMask | None, spec: TensorSpec
) -> tuple[object, ...]:
    """The values of `TENSORS_SCHEMA`, without the two tensors and the two of the run."""
    return (
        image.image_id,
        image.file_version,
        image.mask_file_version,
        spec.transform,
        decoded.content_sha256,
        decoded.original_width,
        decoded.original_height,
        decoded.original_mode,
        spec.height,
        spec.width,
        spec.channels,
        mask.area_fraction if mask else None,
        mask.width if mask else None,
        mask.height if mask else None,
        mask.values if mask else None,
        mask.box if mask else None,
        decoded.channel_sums,
        decoded.channel_square_sums,
    )


def _tensor_rows(
    rows: list[tuple[object, ...]], pixels: UInt8Array, masks: list[bytes | None]
) -> pa.RecordBatch:
    measured = [field for field in TENSORS_SCHEMA if field.name not in _NOT_MEASURED]
    values = list(zip(*rows, strict=True)) or [()] * len(measured)
    columns = {
        field.name: pa.array(column, field.type)
        for field, column in zip(measured, values, strict=True)
    }
    size = math.prod(pixels.shape[1:])
    offsets = pa.py_buffer(np.arange(0, (len(rows) + 1) * size, size, dtype=np.int32))
    columns["image_tensor"] = pa.Array.from_buffers(
        pa.binary(), len(rows), [None, offsets, pa.py_buffer(pixels)]
    )
    columns["mask_tensor"] = pa.array(masks, pa.binary())
    columns["loaded_at"] = pa.array([datetime.now(timezone.utc)] * len(rows), _TIMESTAMP)
    columns["run_id"] = pa.nulls(len(rows), pa.string())
    return pa.record_batch([columns[name] for name in TENSORS_SCHEMA.names], schema=TENSORS_SCHEMA)
