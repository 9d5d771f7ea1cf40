"""Find the orientation in which tools showed an image; decoding itself never applies it."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import ExifTags, Image

from anomaly_assets.decoding import content as recognised
from anomaly_assets.decoding import png as decoder
from anomaly_assets.decoding.shape import different_size
from anomaly_assets.decoding.transform import ALL_FORMATS, MAX_PIXELS

_STORED = 1
_LAST = 8
_FIRST_TURNED = 5
_NO_EXIF = (
    *(AttributeError, EOFError, IndexError, KeyError, OSError, OverflowError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, ZeroDivisionError),
    *(Image.DecompressionBombError, struct.error, zlib.error),
)
"""Exceptions that Pillow raises for damaged headers."""


def orientation_of(content: bytes) -> int:
    """Return the EXIF orientation of a file, from its header: 1 to 8, and 1 if it has none or is damaged.

    Args:
        content: The bytes of the file.
    """
    size = recognised.webp_size(content)
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        return _STORED  # opening a WebP takes the memory of its pixels
    try:
        with Image.open(io.BytesIO(content), formats=ALL_FORMATS) as image:
            if image.format == "PNG" and "exif" not in image.info:
                # Pillow would decode all pixels to find a chunk behind them.
                image.info["exif"] = _exif_of_png(content)
            found = image.getexif().get(ExifTags.Base.Orientation)
    except _NO_EXIF:
        return _STORED
    return found if type(found) is int and _STORED <= found <= _LAST else _STORED


def _exif_of_png(content: bytes) -> bytes:
    for kind, chunk in decoder.chunks(content):
        if kind == b"eXIf":
            return b"Exif\0\0" + bytes(chunk)
    return b""


def shown_orientation(
    stated: tuple[int | None, int | None], size: tuple[int, int], orientation: int
) -> int:
    """Return the orientation in which a tool showed an image, by the size that the tool wrote down.

    Most tools apply the EXIF orientation. If the tool wrote down the stored size, and the shown size
    differs, it did not apply the orientation. Without a size, or if both sizes are equal, it counts as
    applied.

    Args:
        stated: Width and height that the tool wrote down.
        size: Width and height of the image as it is stored.
        orientation: EXIF orientation of the image.

    Returns:
        The orientation for `shapes.rasterise`.

    Raises:
        UnusableImageError: The tool wrote down another size, so the shapes belong to another picture.
    """
    width, height = stated
    if width is None or height is None:
        return orientation
    as_shown = size[::-1] if orientation >= _FIRST_TURNED else size
    if (width, height) == as_shown:
        return orientation
    if (width, height) == size:
        return _STORED
    raise different_size((width, height), as_shown)
