"""Draw the pictures of a gallery from stored tensors: tiles, larger images, outlines and heat maps."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np

from anomaly_assets.drawing import UInt8Array, jpeg_within, webp_within
from anomaly_assets.polygons import rings_of
from anomaly_assets.reader import Samples

SIDE = 256
"""Height and width of the larger images, in pixels."""

_AT_ONCE_BYTES = 16 * 1024 * 1024
_MOST_OUTLINED = 512
"""Height and width above which a mask is reduced before its outline is followed, in pixels."""


def parts(samples: Samples, rows: range) -> Iterator[Samples]:
    """Yield consecutive samples, those whose pixels have about 16 MB at a time."""
    height, width, channels = samples.shape
    size = max(1, _AT_ONCE_BYTES // (height * width * (channels + 1)))
    for start in range(rows.start, rows.stop, size):
        yield samples.select(np.arange(start, min(start + size, rows.stop)))


def base64_of(content: bytes) -> str:
    """Return bytes as a JSON string can hold them."""
    return base64.b64encode(content).decode("ascii")


def pictures_of(samples: Samples, rows: range) -> Iterator[dict[str, Any]]:
    """Yield `image` (Base64 of JPEG) and `mask` (see `outline_of`) of consecutive samples.

    A mask is null if it is not known, and an empty list if it has no defective pixel.
    """
    for part in parts(samples, rows):
        for image, mask, known in zip(part.images[:], part.masks[:], part.has_mask, strict=True):
            outline = outline_of(mask) if known else None
            yield {"image": base64_of(jpeg_within(image, SIDE)), "mask": outline}


def outline_of(mask: UInt8Array) -> list[list[float]]:
    """Return the borders of defects and of their holes, each as x, y, x, y, ... from 0 to 1.

    Args:
        mask: uint8 0/1, height x width.
    """
    if not mask.any():
        return []
    step = -(-max(mask.shape) // _MOST_OUTLINED)
    if step > 1:  # even the smallest defect stays visible
        padded = np.pad(mask, [(0, -side % step) for side in mask.shape])
        height, width = padded.shape
        mask = padded.reshape(height // step, step, width // step, step).max(axis=(1, 3))
    size = np.array(mask.shape[::-1], np.float64)
    return [(ring / size).round(4).ravel().tolist() for ring in rings_of(mask)]


def maps_of(cursor: duckdb.DuckDBPyConnection, image_ids: list[str], recipe: str) -> dict[str, str]:
    """Return the heat maps of these images that exist: image id to Base64 of a grey WebP."""
    found = cursor.execute(
        "SELECT image_id, height, width, map FROM baseline_maps "
        "WHERE recipe = ? AND list_contains(?, image_id)",
        [recipe, image_ids],
    ).fetchall()
    return {
        image_id: base64_of(
            webp_within(np.frombuffer(pixels, np.uint8).reshape(height, width, 1), SIDE)
        )
        for image_id, height, width, pixels in found
    }
