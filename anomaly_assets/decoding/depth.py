"""Convert images with more than 8 bits per value: read their values, find the bits in use, scale to 8 bits.

A 16-bit file of a 12-bit camera has values up to 4095. Pillow clips grey values at 255, which makes such
an image white, and keeps the high byte of colours, which makes it black. So values are read in full and
divided by the highest value of the depth. The depth is set, or the file states it; it is never guessed
from the values, because two images of one camera would then be scaled differently. `bits_used` has the rule
for PNG files whose statement can be read in two ways.
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

_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR, _HIGHEST_VALUE = 258, 262, 284, 341
"""TIFF tags BitsPerSample, PhotometricInterpretation, PlanarConfiguration and SMaxSampleValue."""

_WHITE_IS_ZERO = 0

_EIGHT, _LARGEST = 8, 16
_MOST = np.uint16((1 << _LARGEST) - 1)
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
    if getattr(image, "tag_v2", {}).get(_PLANAR) == 2:
        return "Its colours are stored in separate planes."
    if ";16" not in _raw_mode(image) or "a;16" in _raw_mode(image):
        return "Its colours are premultiplied by alpha, or stored in a way that is not supported."
    return None


def white_is_zero(image: Image.Image) -> bool:
    """Return whether the lowest value of a deep file is white; Pillow inverts only those of 8 bits."""
    return is_deep(image) and _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO


def values_of(image: Image.Image, content: bytes) -> tuple[UInt16Array, UInt16Array | None]:
    """Return all bits of a deep file as they are stored, and its alpha; None if it has none.

    Pillow has no mode for 16-bit colours. The file is decoded twice, the second time with the byte order
    swapped, which gives the low bytes.

    Returns:
        The values, height x width for grey, and with 3 or 4 (CMYK) channels for colours; and alpha, height
        x width.

    Raises:
        OSError: The pixels are damaged or incomplete; raised by Pillow.
    """
    if image.mode.startswith("I;16"):
        values = np.asarray(decoder.load(image, content)).astype(np.uint16)
        return values, _alpha_by_colour(image, values)
    other = Image.open(io.BytesIO(content), formats=(image.format or "",))
    raw_mode = _raw_mode(image)
    if raw_mode == "LA;16B":  # grey and alpha, two bytes each, as four channels
        _read_as(other, "RGBA")
        bytes_of = np.asarray(other).astype(np.uint16)
        both = (bytes_of[..., 0::2] << 8 | bytes_of[..., 1::2]).astype(np.uint16)
        return both[..., 0], both[..., 1]
    _read_as(other, raw_mode[:-1] + _OTHER_ORDER[raw_mode[-1]])
    image.load()
    values = (np.asarray(image).astype(np.uint16) << 8 | np.asarray(other)).astype(np.uint16)
    if image.mode == "RGBA":
        return values[..., :3], values[..., 3]
    return values, _alpha_by_colour(image, values)


def _alpha_by_colour(image: Image.Image, values: UInt16Array) -> UInt16Array | None:
    """Return alpha of a PNG that names one transparent colour (`tRNS`)."""
    transparent = image.info.get("transparency") if image.format == "PNG" else None
    if transparent is None:
        return None
    differs = values != np.asarray(transparent)
    return (differs if values.ndim == 2 else differs.any(axis=2)).astype(np.uint16) * _MOST


def _read_as(image: Image.Image, raw_mode: str) -> None:
    tiles = []
    for tile in image.tile:  # type: ignore[attr-defined]  # every open image has tiles
        args = raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:])
        tiles.append(tile._replace(args=args))
    image.tile = tiles  # type: ignore[attr-defined]
    image.load()


def bits_used(
    image: Image.Image, content: bytes, values: UInt16Array, depth: int | None
) -> int | None:
    """Return how many bits the values of a deep file use; None if that is unknown, or a value has more.

    The PNG standard scales values with fewer significant bits (`sBIT`) up to 16 bits, but many writers
    leave them as they are. A value above the significant bits proves that they are scaled. Without one,
    both are possible, and only black is the same in both.

    Args:
        image: The file, opened by Pillow.
        content: The bytes of the file.
        values: Its values.
        depth: Bits of the files of its dataset, if set; it has priority over the file.
    """
    top = int(values.max())
    stated = depth or stated_bits(image, content)
    if stated is None:
        return None
    if depth is None and image.format == "PNG":
        return _LARGEST if stated == _LARGEST or top == 0 or top >= 1 << stated else None
    return stated if top < 1 << stated else None


def why_unknown(
    image: Image.Image, content: bytes, values: UInt16Array, depth: int | None, variable: str
) -> str:
    """Return sentences for a file whose `bits_used` is None: the reason, and the value to set.

    Args:
        image: The file, opened by Pillow.
        content: The bytes of the file.
        values: Its values.
        depth: Bits of the files of its dataset, if set.
        variable: The variable that sets them.
    """
    top, stated = int(values.max()), stated_bits(image, content)
    highest = f"the highest here is {top}"
    if depth and image.format == "PNG" and stated is not None and top >= 1 << stated:
        return (
            f"{variable} is {depth}, but the file has values of more than {depth} bits; {highest}. The "
            f"file states {stated} significant bits, so its values are scaled to 16 bits, as the PNG "
            f"standard requires. Set {variable} to 16, or to file, then run again."
        )
    if depth:
        return (
            f"{variable} is {depth}, but the file has values of more than {depth} bits; {highest}. Set "
            f"{variable} to the bits of the camera, or to 16 if the values are scaled to 16 bits, then run "
            "again."
        )
    if stated is not None and image.format == "PNG":
        as_stored = (
            f"Set {variable} to {stated} if the values are stored as the camera gives them"
            if stated > _EIGHT
            else "Save the image with 8 bits if the values are stored as the camera gives them"
        )
        return (
            f"The file states {stated} significant bits, and {highest}. So its values may fill {stated} "
            f"bits, or be scaled to 16 bits and dark. {as_stored}, and set {variable} to 16 if they are "
            "scaled, then run again."
        )
    unknown = (
        f"more than the {stated} bits that it states"
        if stated is not None
        else "16 bits, and does not state how many of them are used"
    )
    return (
        f"The file has values of {unknown}; {highest}. Set {variable} to the bits of the camera, 9 to 16 "
        "(12 bits give values up to 4095), then run again."
    )


def to_eight_bits(values: UInt16Array, bits: int) -> npt.NDArray[np.uint8]:
    """Scale values of this number of bits to 0..255, rounded; order is kept."""
    highest = (1 << bits) - 1
    table = (np.arange(1 << bits, dtype=np.uint32) * 255 + highest // 2) // highest
    return table.astype(np.uint8)[values]


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _tag(image: Image.Image, number: int) -> int | None:
    """Return the largest value of a TIFF tag; None without it, and for other formats."""
    found = getattr(image, "tag_v2", {}).get(number)
    if isinstance(found, tuple):
        found = max(found, default=None)
    return None if found is None else int(found)


def _bits(image: Image.Image) -> int:
    return _tag(image, _BITS_PER_SAMPLE) or _EIGHT


def stated_bits(image: Image.Image, content: bytes) -> int | None:
    """Return the bits per value that a deep file states: `sBIT` of a PNG, or the tags of a TIFF."""
    return _sbit(content) if image.format == "PNG" else _tiff_depth(image)


def inverted(image: Image.Image, values: UInt16Array) -> UInt16Array:
    """Return the values of a file in which the lowest one is white, with black at 0."""
    return ((1 << min(_bits(image), _LARGEST)) - 1 - values).astype(np.uint16)


def _tiff_depth(image: Image.Image) -> int | None:
    """Return the bits that a TIFF states: fewer than 16 per value, or the highest possible value."""
    if _bits(image) < _LARGEST:
        return _bits(image)
    highest = _tag(image, _HIGHEST_VALUE) or 0
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
