"""Provide drawing primitives: colours, text, thumbnails, and encoding within a byte budget."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

WIDTH = 600
"""Width of the dialog in which the UI shows pictures, in pixels."""

TILE_SIDE = 96
"""Height and width of a tile of the gallery, in pixels."""

MARGIN = 8
INK = (38, 42, 48)
FAINT_INK = (112, 118, 128)
LINE = (222, 226, 232)
PAPER = (255, 255, 255)
OUTLINE = (230, 30, 60)
GOOD = (76, 132, 196)
ANOMALOUS = (226, 102, 64)
_MISSING = (238, 240, 243)
_MOST_CHARACTERS = 400
"""Limit for one line; no line of a sheet is wide enough for more."""

UInt8Array: TypeAlias = npt.NDArray[np.uint8]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Pixels:
    """Image and mask as they are stored.

    Attributes:
        image: uint8, height x width x channels.
        mask: uint8 0/1, height x width; None without a mask.
    """

    image: UInt8Array
    mask: UInt8Array | None

    @classmethod
    def from_bytes(cls, shape: Sequence[int], tensor: bytes, mask: bytes | None) -> Pixels:
        """Build from the columns `image_tensor` and `mask_tensor`.

        Args:
            shape: Height, width and channels.
            tensor: Content of `image_tensor`.
            mask: Content of `mask_tensor`.
        """
        image = np.frombuffer(tensor, np.uint8).reshape(shape)
        return cls(
            image, None if mask is None else np.frombuffer(mask, np.uint8).reshape(shape[:2])
        )

    def within(self, side: int) -> Pixels:
        """Return a copy that is at most `side` pixels high and wide."""
        height, width = self.image.shape[:2]
        if max(height, width) <= side:
            return self
        size = (min(width, side), min(height, side))
        image = np.asarray(_picture(self.image).resize(size, Image.Resampling.LANCZOS))
        mask = None if self.mask is None else np.asarray(_defect(self.mask, size)) // np.uint8(255)
        return Pixels(image, mask)


def _picture(image: UInt8Array) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("RGB")


def _defect(mask: UInt8Array, size: tuple[int, int]) -> Image.Image:
    """Resize a mask; its values are 0 and 255, and even the smallest defect stays visible."""
    resized = Image.fromarray(mask * np.uint8(255)).resize(size, Image.Resampling.BOX)
    return resized.point(lambda value: 255 if value else 0)


@cache
def font(size: int) -> Font:
    """Return the font that Pillow includes, so that no font must be installed."""
    return ImageFont.load_default(size)


def blank(height: int, width: int = WIDTH) -> Image.Image:
    """Return an empty sheet."""
    return Image.new("RGB", (width, height), PAPER)


def thumbnail(pixels: Pixels | None, side: int) -> Image.Image:
    """Return a square picture with the defect outlined just outside its mask; a grey one without pixels.

    The outline is drawn after resizing, so its width does not depend on the size of the tensors.
    """
    if pixels is None:
        return Image.new("RGB", (side, side), _MISSING)
    picture = _picture(pixels.image).resize((side, side), Image.Resampling.LANCZOS)
    if pixels.mask is not None:
        defect = _defect(pixels.mask, (side, side))
        around = ImageChops.subtract(defect.filter(ImageFilter.MaxFilter(5)), defect)
        picture.paste(OUTLINE, mask=around)
    return picture


def fitted(text: str, width: int, size: int) -> str:
    """Return the text; its middle is left out if it is wider than `width` pixels."""
    if len(text) > _MOST_CHARACTERS:  # the loop below tries every length
        text = f"{text[: _MOST_CHARACTERS // 2]}…{text[-_MOST_CHARACTERS // 2 :]}"
    if font(size).getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        shortened = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
        if font(size).getlength(shortened) <= width:
            return shortened
    return "…"


def wrapped(text: str, width: int, size: int, most_lines: int) -> list[str]:
    """Break a text between words into lines of at most `width` pixels, and shorten a longer line."""
    lines = [""]
    for word in text[: _MOST_CHARACTERS * most_lines].split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or len(lines) == most_lines or font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [fitted(line, width, size) for line in lines]


def write(
    sheet: Image.Image,
    place: tuple[float, float],
    text: str,
    *,
    size: int = 11,
    ink: Colour = INK,
    anchor: str = "la",
) -> None:
    """Draw a line of text; `anchor` as in Pillow."""
    ImageDraw.Draw(sheet).text(place, text, fill=ink, font=font(size), anchor=anchor)


def as_jpeg(sheet: Image.Image, most_bytes: int | None = None) -> bytes:
    """Encode as JPEG; reduce quality and then size until it fits into `most_bytes`."""
    attempts = [("JPEG", {"quality": quality, "optimize": True}) for quality in (85, 70, 55)]
    return _shrunk(sheet, most_bytes, attempts)


def as_webp(sheet: Image.Image, most_bytes: int | None = None, *, lossless: bool = False) -> bytes:
    """Encode as WebP, with half the bytes of a JPEG; reduce quality and then size as `as_jpeg` does.

    Args:
        sheet: An RGB picture.
        most_bytes: Limit for the size of the result.
        lossless: For drawings: they become smaller and stay sharp.
    """
    drawing = [("WEBP", {"lossless": True, "quality": 60, "method": 4})] if lossless else []
    return _shrunk(sheet, most_bytes, [*drawing, *_PHOTOGRAPH])


def webp_of_this_size(sheet: Image.Image, most_bytes: int) -> bytes | None:
    """Encode as WebP without resizing; return None if that takes too many bytes."""
    return _encoded(sheet, most_bytes, _PHOTOGRAPH)


def webp_within(image: UInt8Array, side: int) -> bytes:
    """Encode an image as WebP with at most `side` pixels of height and width; for tens of thousands.

    It is the fastest method of WebP, whose files are a tenth larger than those of the default.

    Args:
        image: uint8, height x width x channels, with 1 or 3 channels.
        side: Maximum height and width.
    """
    content = io.BytesIO()
    _within(image, side).save(content, "WEBP", quality=70, method=0)
    return content.getvalue()


def jpeg_within(image: UInt8Array, side: int) -> bytes:
    """Encode an image as JPEG, as `webp_within`.

    From about 200 pixels on, a JPEG takes a third of the time of a WebP of the same number of bytes. Its
    tables would be a third of a smaller file.
    """
    content = io.BytesIO()
    _within(image, side).save(content, "JPEG", quality=42, optimize=True)
    return content.getvalue()


def _within(image: UInt8Array, side: int) -> Image.Image:
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    factor = side / max(picture.size)
    if factor >= 1:
        return picture
    width, height = (max(1, round(each * factor)) for each in picture.size)
    # A quarter of the time of LANCZOS, and no difference that is visible at this size.
    return picture.resize((width, height), Image.Resampling.BOX)


Attempts: TypeAlias = Sequence[tuple[str, dict[str, Any]]]
"""Formats with their options, best first."""

_PHOTOGRAPH: Attempts = [
    ("WEBP", {"quality": quality, "method": 2}) for quality in (75, 60, 45, 35)
]


def _encoded(sheet: Image.Image, most_bytes: int | None, attempts: Attempts) -> bytes | None:
    for kind, options in attempts:
        content = io.BytesIO()
        sheet.save(content, kind, **options)
        if most_bytes is None or content.tell() <= most_bytes:
            return content.getvalue()
    return None


def _shrunk(sheet: Image.Image, most_bytes: int | None, attempts: Attempts) -> bytes:
    while (content := _encoded(sheet, most_bytes, attempts)) is None:
        size = (max(1, sheet.width * 3 // 4), max(1, sheet.height * 3 // 4))
        sheet = sheet.resize(size, Image.Resampling.LANCZOS)
    return content
