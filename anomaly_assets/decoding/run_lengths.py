"""Convert run lengths (RLE), as COCO files have them, to pixels."""

from __future__ import annotations

import numpy as np

from anomaly_assets.datasets.names import shown
from anomaly_assets.decoding.shape import Shape, different_size, unreadable
from anomaly_assets.decoding.transform import UInt8Array


def pixels_of_runs(shape: Shape, size: tuple[int, int]) -> UInt8Array:
    """Return the pixels of an RLE, height x width.

    Raises:
        UnusableImageError: The RLE does not cover the picture, or has no pixel.
    """
    width, height = size
    if shape.size != (height, width):
        raise different_size((shape.size[1], shape.size[0]), size)
    counts = decompressed(shape.counts) if isinstance(shape.counts, str) else shape.counts
    if min(counts, default=-1) < 0 or sum(counts) != width * height:
        raise unreadable(f"The runs of an RLE do not sum up to {width}x{height} pixels.")
    values = np.arange(len(counts), dtype=np.uint8) % 2
    pixels = np.repeat(values, counts).reshape(width, height).T
    if not pixels.any():
        raise unreadable(f'An RLE "{shown(shape.label)}" has no pixel.')
    return np.ascontiguousarray(pixels)


def decompressed(text: str) -> tuple[int, ...]:
    """Return the lengths of the runs of a compressed RLE, in the format of COCO.

    A number is a sequence of characters with 5 bits each above `0`, the lowest first; a sixth bit means
    that more follow, and the highest bit of the last one is the sign. From the fourth number on, it is the
    difference to the last but one.

    Raises:
        UnusableImageError: The text has other characters, or ends within a number.
    """
    counts: list[int] = []
    value = shift = 0
    for sign in text:
        code = ord(sign) - 48
        if not 0 <= code < 64 or shift > 30:
            raise unreadable("A compressed RLE has characters that it cannot have.")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise unreadable("A compressed RLE ends within a number.")
    return tuple(counts)
