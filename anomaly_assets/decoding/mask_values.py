"""Find the defective pixels of a mask by the values that a declaration gives them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomaly_assets.decoding import depth as deep
from anomaly_assets.decoding import png as decoder
from anomaly_assets.decoding.transform import (
    ALL_FORMATS,
    UInt8Array,
    as_stored,
    despite_metadata,
    format_of,
    grey_mask,
    loaded_orientation,
    opened,
    refuse_depth,
)

Defect: TypeAlias = Literal["nonzero", "zero"] | tuple[int, ...] | tuple[str, ...]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

_CONVERTED = frozenset({"CMYK", "YCbCr", "LAB", "HSV", "RGBX"})
_WHITE = 255


def decode_defect(content: bytes, defect: Defect) -> tuple[UInt8Array, str]:
    """Return the defective pixels of a mask at its own size, as 0 and 1, and the format of the file.

    Args:
        content: The bytes of the file.
        defect: Values of defective pixels.

    Raises:
        UnusableImageError: The bytes are not an image that can be used.
    """
    return despite_metadata(lambda part: _defect(part, defect), content)


def _defect(content: bytes, defect: Defect) -> tuple[UInt8Array, str]:
    with opened(content, ALL_FORMATS) as image:
        turned, file_format = loaded_orientation(image), format_of(image)
        defective = Image.fromarray(defective_pixels(image, content, defect).astype(np.uint8))
        return np.asarray(as_stored(defective, turned)), file_format


def defective_pixels(image: Image.Image, content: bytes, defect: Defect) -> BoolArray:
    """Return which pixels of a mask are defective.

    - `nonzero`: those that `transform.decode_mask` takes; `zero`: all others.
    - Numbers are values as they are stored: the index of a palette, all bits of a file with 16. Grey of 2
      or 4 bits counts as Pillow and other viewers scale it, to 0..255; white of 1 bit is 1 and also 255.
      In a file with colours, only grey pixels have a number. Alpha is ignored.
    - Colours are those that are shown, with 8 bits; a fully transparent pixel has none.

    Numbers and colours are compared exactly. Lossy files, as JPEG, have other values around each border, so
    save such masks as PNG.

    Args:
        image: The file, opened by Pillow. Its orientation is that of Pillow, as in `decode_mask`.
        content: The bytes of the file.
        defect: Values of defective pixels.

    Raises:
        UnusableImageError: The values have a depth that cannot be read.
    """
    if defect == "nonzero" or defect == "zero":
        grey = np.asarray(grey_mask(image, content))
        return np.asarray(grey == 0 if defect == "zero" else grey != 0)
    numbers = [each for each in defect if isinstance(each, int)]
    if numbers:
        return _having_numbers(image, content, numbers)
    return _having_colours(image, content, [str(each) for each in defect])


def _having_numbers(image: Image.Image, content: bytes, numbers: list[int]) -> BoolArray:
    mode = image.mode
    if deep.is_deep(image):
        values = _deep_values(image, content)
    else:
        loaded = decoder.load(image, content)
        to = "L" if mode == "1" else "RGB" if mode in _CONVERTED else mode
        values = np.asarray(loaded if to == mode else loaded.convert(to))
    if mode == "1" and 1 in numbers:
        numbers = [*numbers, _WHITE]
    if values.ndim == 2:
        return np.isin(values, numbers)
    if mode in ("LA", "La", "PA"):
        return np.isin(values[..., 0], numbers)
    is_grey = (values[..., 0] == values[..., 1]) & (values[..., 0] == values[..., 2])
    return np.asarray(np.isin(values[..., 0], numbers) & is_grey)


def _having_colours(image: Image.Image, content: bytes, colours: list[str]) -> BoolArray:
    if image.mode.startswith(("I", "F")):
        grey = Image.fromarray((_deep_values(image, content) >> 8).astype(np.uint8))
        shown = np.asarray(grey.convert("RGBA"))
    else:
        loaded = decoder.load(image, content)
        # Pillow has no way from CMYK, and some others, to RGBA; those have no alpha.
        shown = np.asarray(
            (loaded.convert("RGB") if loaded.mode in _CONVERTED else loaded).convert("RGBA")
        )
    found = np.zeros(shown.shape[:2], np.bool_)
    for colour in colours:
        red, green, blue = bytes.fromhex(colour.removeprefix("#"))
        found |= (shown[..., 0] == red) & (shown[..., 1] == green) & (shown[..., 2] == blue)
    return np.asarray(found & (shown[..., 3] > 0))


def _deep_values(image: Image.Image, content: bytes) -> npt.NDArray[np.uint16]:
    """Return the pixel values of an image with more than 8 bits per value.

    Raises:
        UnusableImageError: The values cannot be read.
    """
    refuse_depth(deep.cannot_read(image))
    return deep.values_of(image, content)[0]
