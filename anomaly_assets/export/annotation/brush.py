"""Encode and decode brush masks of Label Studio.

A brush mask is a picture of four bytes per pixel, of which the last one is the opacity. Label Studio packs
it with `@thi.ng/rle-pack`: 32 bits have the number of bytes, 5 bits the bits per value less one, and four
times 4 bits the possible widths of a length, less one. Then come runs and lists of values: a bit is 1
for a run, 2 bits choose the width of the length, and the length less one and the values follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anomaly_assets.decoding.transform import UInt8Array
from anomaly_assets.export.errors import ExportError

_BYTES_PER_PIXEL = 4
_WIDTHS = (3, 4, 8, 16)
"""Bits of the length of a run, from the shortest to the longest runs."""

_VALUE_BITS = 8
_LONGEST_RUN = 1 << _WIDTHS[-1]


def encode(mask: UInt8Array) -> list[int]:
    """Return a mask as Label Studio stores it.

    Args:
        mask: 0 or 1, height x width.

    Returns:
        Bytes of the packed picture, which is opaque where the mask is 1.
    """
    flat = mask.reshape(-1)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
    lengths = np.diff(starts, append=flat.size) * _BYTES_PER_PIXEL
    bits = [f"{flat.size * _BYTES_PER_PIXEL:032b}{_VALUE_BITS - 1:05b}"]
    bits += [f"{width - 1:04b}" for width in _WIDTHS]
    for start, total in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = f"{255 * int(flat[start]):08b}"
        for part in range(0, total, _LONGEST_RUN):
            length = min(_LONGEST_RUN, total - part)
            chosen = next(at for at, width in enumerate(_WIDTHS) if length <= 1 << width)
            bits.append(f"1{chosen:02b}{length - 1:0{_WIDTHS[chosen]}b}{value}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode(packed: Sequence[int], height: int, width: int) -> UInt8Array:
    """Return the mask of a packed picture.

    A pixel counts if it has at least half of the largest opacity: the tool blurs the edge of a stroke.

    Returns:
        0 or 1, height x width.

    Raises:
        ExportError: The bytes are no such picture, or have another size.
    """
    size = height * width * _BYTES_PER_PIXEL
    try:
        opacity = _unpacked(bytes(packed), size).reshape(height, width, _BYTES_PER_PIXEL)[..., 3]
    except (TypeError, ValueError, IndexError) as error:
        raise ExportError(
            f"A brush mask is not one of {width}x{height} pixels in Label Studio's format ({error}). "
            "Export the project as JSON again."
        ) from error
    found: UInt8Array = (opacity.astype(np.uint16) * 2 > opacity.max()).astype(np.uint8)
    return found


def _unpacked(packed: bytes, size: int) -> UInt8Array:
    bits = f"{int.from_bytes(packed, 'big'):0{8 * len(packed)}b}"
    at = 0

    def number(count: int) -> int:
        nonlocal at
        at += count
        if at > len(bits):
            raise ValueError("the bytes end too early")
        return int(bits[at - count : at], 2)

    if number(32) != size:
        raise ValueError("another number of pixels")
    value_bits = number(5) + 1
    widths = [number(4) + 1 for _ in _WIDTHS]
    found = np.zeros(size, np.uint8)
    place = 0
    while place < size:
        is_run = number(1)
        end = place + 1 + number(widths[number(2)])
        if end > size:
            raise ValueError("a run is longer than the picture")
        if is_run:
            found[place:end] = number(value_bits)
        else:
            found[place:end] = [number(value_bits) for _ in range(place, end)]
        place = end
    return found
