"""Images with more than 8 bits per value: their values, how many bits the file uses, and the way to 8 bits.

A 16-bit file of a 12-bit camera has values up to 4095. Pillow clips grey values at 255, which makes such
an image white, and keeps the high byte of colours, which makes it black. So values are read in full and
divided by the highest value of the depth. The depth is set, or the file states it; it is never concluded
from the values, because two images of one camera would then be scaled differently.
"""

from __future__ import annotations

import io
import sys
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomaly_assets.decoding import png as decoder

UInt16Array: TypeAlias = npt.NDArray[np.uint16]

_BITS_PER_SAMPLE, _PLANAR, _HIGHEST_VALUE = 258, 284, 341
"""TIFF tags BitsPerSample, PlanarConfiguration and SMaxSampleValue."""

_LARGEST = 16
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def is_deep(image: Image.Image) -> bool:
    """Return whether an opened file has more than 8 bits per value."""
    return image.mode.startswith(("I", "F")) or ";16" in _raw_mode(image) or _bits(image) > 8


def cannot_read(image: Image.Image) -> str | None:
    """Return why the values of a deep file cannot be read in full; None if they can."""
    if image.mode in ("I", "F"):
        return "Its values are signed, or have 32 bits."
    if image.mode.startswith("I;16"):
        return None
    if ";16" not in _raw_mode(image) or "a;16" in _raw_mode(image):
        return "Its colours are premultiplied by alpha, or stored in a way that is not supported."
    tags = getattr(image, "tag_v2", {})
    return "Its colours are stored in separate planes." if tags.get(_PLANAR) == 2 else None


def values_of(image: Image.Image, content: bytes) -> UInt16Array:
    """Return all bits of a deep file, height x width for grey, and with 3 or 4 channels for colours.

    Pillow has no mode for 16-bit colours. The file is decoded twice, the second time with the byte order
    swapped, which gives the low bytes. Alpha is dropped.

    Raises:
        OSError: The pixels are damaged or incomplete; raised by Pillow.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(decoder.load(image, content)).astype(np.uint16)
    other = Image.open(io.BytesIO(content), formats=(image.format or "",))
    raw_mode = _raw_mode(image)
    if raw_mode == "LA;16B":  # grey and alpha, two bytes each, as four channels
        _read_as(other, "RGBA")
        bytes_of = np.asarray(other).astype(np.uint16)
        return (bytes_of[..., 0] << 8 | bytes_of[..., 1]).astype(np.uint16)
    _read_as(other, raw_mode[:-1] + _OTHER_ORDER[raw_mode[-1]])
    image.load()
    values = (np.asarray(image).astype(np.uint16) << 8 | np.asarray(other)).astype(np.uint16)
    return values[..., :3] if image.mode == "RGBA" else values


def _read_as(image: Image.Image, raw_mode: str) -> None:
    tiles = []
    for tile in image.tile:  # type: ignore[attr-defined]  # of every image that was opened
        args = raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:])
        tiles.append(tile._replace(args=args))
    image.tile = tiles  # type: ignore[attr-defined]
    image.load()


def bits_used(
    image: Image.Image, content: bytes, values: UInt16Array, depth: int | None
) -> int | None:
    """Return how many bits the values of a deep file use; None if that is unknown, or a value has more.

    Args:
        image: The file, opened by Pillow.
        content: The bytes of the file.
        values: Its values.
        depth: Bits of the files of its dataset, if set; it wins over what the file states.
    """
    top = int(values.max())
    stated = depth or (_sbit(content) if image.format == "PNG" else _tiff_depth(image))
    if stated is None:
        return None
    if depth is None and image.format == "PNG":
        # The PNG standard shifts values up to the full range; many writers leave them as they are. Shifted
        # values have no low bits, or are above the range of the stated bits.
        low_bits = (1 << (_LARGEST - stated)) - 1
        return stated if top < 1 << stated and np.any(values & low_bits) else _LARGEST
    return stated if top < 1 << stated else None


def to_eight_bits(values: UInt16Array, bits: int) -> npt.NDArray[np.uint8]:
    """Scale values of so many bits to 0..255, rounded; order is kept."""
    highest = (1 << bits) - 1
    table = (np.arange(1 << bits, dtype=np.uint32) * 255 + highest // 2) // highest
    return table.astype(np.uint8)[values]


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _bits(image: Image.Image) -> int:
    found = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return max(found) if isinstance(found, tuple) else int(found)


def _tiff_depth(image: Image.Image) -> int | None:
    """Return the bits that a TIFF states: fewer than 16 per value, or the highest possible value."""
    if _bits(image) < _LARGEST:
        return _bits(image)
    found = getattr(image, "tag_v2", {}).get(_HIGHEST_VALUE)
    if not found:
        return None
    highest = int(max(found) if isinstance(found, tuple) else found)
    return highest.bit_length() if 0 < highest < 1 << _LARGEST else None


def _sbit(content: bytes) -> int | None:
    """Return the significant bits that a PNG states for its colours; None if it does not."""
    for kind, chunk in decoder.chunks(content):
        if kind == b"IDAT":
            return None
        if kind == b"sBIT" and len(chunk):
            bits = max(chunk[:3] if len(chunk) > 2 else chunk[:1])
            return bits if 0 < bits <= _LARGEST else None
    return None
