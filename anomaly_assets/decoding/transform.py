"""Convert the bytes of a file to a uint8 tensor or a 0/1 mask, with pure functions.

The recipe, which tests compare with Pillow byte for byte:

1. The file is decoded as PNG, or another format that its source dataset allows; its name is ignored.
   Orientation tags, gamma and colour profiles are not applied, because the masks belong to the stored
   pixels.
2. Modes with colour (`P`, `RGB`, `RGBA`) become `RGB`, all others (`1`, `L`, `LA`, `I`, `I;16`)
   become `L`, by Pillow's `convert`. Alpha is dropped; 16-bit grey values above 255 become 255, and
   other 16-bit files keep their high bytes. Only the first frame of an animation is used.
3. The result is resized with LANCZOS in that mode, and only then expanded to the wanted channels:
   the same pixels as expanding first, for a third of the work on grey images.

A mask is `value > 0`, in a file with colours `value > 0` of any channel, resized with NEAREST. Its
area and box are measured before that, because a resize may erase a defect of two pixels.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

from anomaly_assets.decoding import png as decoder
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.tensor_spec import TensorSpec

PNG_ONLY = ("PNG",)
MAX_SIDE = 256 * 1024
"""Maximum side: resizing takes 50 bytes for each pixel of a side, 2 GB for one of 44 million."""

MAX_PIXELS = 64 * 1024 * 1024
"""Images above this are rejected before any pixel is decoded (official ones have 1,048,576)."""

_RGB_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})

UInt8Array: TypeAlias = npt.NDArray[np.uint8]


class UnusableImageError(AnomalyAssetsError, ValueError):
    """The content cannot be used; `reason` is a stable keyword, the message has the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image, resized and with the configured channels.

    Attributes:
        pixels: uint8, height x width x channels.
        original_width: Width of the file, in pixels.
        original_height: Height of the file, in pixels.
        original_mode: Pillow's mode of the file, such as `L` or `RGB`.
        content_sha256: Hex digest of the file's bytes.
        channel_sums: Sum of the pixels per channel, in 0..255.
        channel_square_sums: Sum of their squares per channel; integers, so that sums stay exact.
    """

    pixels: UInt8Array
    original_width: int
    original_height: int
    original_mode: str
    content_sha256: str
    channel_sums: list[int]
    channel_square_sums: list[int]


@dataclass(frozen=True, slots=True)
class DecodedMask:
    """A mask, resized, with measurements at its original size.

    Attributes:
        pixels: uint8 0/1, H x W.
        width: Width of the file, in pixels.
        height: Height of the file, in pixels.
        area_fraction: Fraction of defective pixels in the file, 0 to 1.
        box: Left, top, right, bottom (exclusive) of the defect in the file; None for an empty mask.
        values: Distinct grey values of the file, at most 256; anything but 0 and 255 is unusual.
            The value of a colour is that of its brightest channel.
    """

    pixels: UInt8Array
    width: int
    height: int
    area_fraction: float
    box: tuple[int, int, int, int] | None
    values: int


def decode_image(
    content: bytes, spec: TensorSpec, formats: tuple[str, ...] = PNG_ONLY
) -> DecodedImage:
    """Decode and resize one image.

    Args:
        content: The bytes of the file.
        spec: The configured shape.
        formats: Allowed file formats, in Pillow's names.

    Raises:
        UnusableImageError: The bytes are not an image that can be used.
    """
    with _opened(content, formats) as image:
        mode, (width, height) = image.mode, image.size
        target = "RGB" if spec.channels == 3 and mode in _RGB_MODES else "L"
        small = _resized(_converted(image, content, target), spec, Image.Resampling.LANCZOS)
    counts = np.array(small.histogram(), np.int64).reshape(-1, 256)
    repeat = spec.channels // len(counts)
    pixels = np.asarray(small if repeat == 1 else small.convert("RGB"))
    return DecodedImage(
        pixels=pixels.reshape(spec.height, spec.width, spec.channels),
        original_width=width,
        original_height=height,
        original_mode=mode,
        content_sha256=hashlib.sha256(content).hexdigest(),
        channel_sums=(counts @ _VALUES).tolist() * repeat,
        channel_square_sums=(counts @ _SQUARES).tolist() * repeat,
    )


def decode_mask(
    content: bytes, spec: TensorSpec, formats: tuple[str, ...] = PNG_ONLY
) -> DecodedMask:
    """Decode one mask: every value above zero is defective.

    Args:
        content: The bytes of the file.
        spec: The configured height and width; channels are not used.
        formats: Allowed file formats, in Pillow's names.

    Raises:
        UnusableImageError: The bytes are not an image that can be used.
    """
    with _opened(content, formats) as image:
        grey = _mask_values(image, content)
        histogram = grey.histogram()
        width, height = grey.size
        # NEAREST copies values and mixes none, so `> 0` can be applied afterwards, to fewer pixels.
        small = _resized(grey, spec, Image.Resampling.NEAREST)
        return DecodedMask(
            pixels=np.asarray(small.point(_TO_BINARY)),
            width=width,
            height=height,
            area_fraction=(width * height - histogram[0]) / (width * height),
            box=grey.getbbox(),
            values=sum(count > 0 for count in histogram),
        )


_TO_BINARY = [0] + [1] * 255
_VALUES = np.arange(256, dtype=np.int64)
_SQUARES = _VALUES * _VALUES


class _opened:
    """Open the bytes as one of the allowed formats, and translate Pillow's errors about them.

    All other exceptions are raised unchanged, because they are not about the file: missing memory, a
    missing codec, or a bug in Pillow or here.
    """

    def __init__(self, content: bytes, formats: tuple[str, ...]) -> None:
        self._content = content
        self._formats = formats

    def __enter__(self) -> Image.Image:
        if not self._content:
            raise UnusableImageError("empty_file", "The file has no bytes.")
        try:
            self._image = Image.open(io.BytesIO(self._content), formats=self._formats)
        except _OF_THE_BYTES as error:
            _refuse(error, self._content, self._formats)
            raise
        width, height = self._image.size
        if width * height > MAX_PIXELS:
            raise UnusableImageError("too_many_pixels", f"{width}x{height}, above {MAX_PIXELS}.")
        if max(width, height) > MAX_SIDE:
            raise UnusableImageError("too_long", f"{width}x{height}, a side above {MAX_SIDE}.")
        return self._image

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._image.close()
        if isinstance(error, _OF_THE_BYTES):
            _refuse(error, self._content, self._formats)


def _converted(image: Image.Image, content: bytes, mode: str) -> Image.Image:
    image = decoder.load(image, content)
    return image if image.mode == mode else image.convert(mode)


def _mask_values(image: Image.Image, content: bytes) -> Image.Image:
    """Return a grey image that is 0 only where the file is black; a weighted sum makes dark blue 0."""
    if image.mode not in _RGB_MODES:
        return _converted(image, content, "L")
    return reduce(ImageChops.lighter, _converted(image, content, "RGB").split())


def _resized(image: Image.Image, spec: TensorSpec, resample: Image.Resampling) -> Image.Image:
    return image.resize((spec.width, spec.height), resample)


_OF_THE_BYTES = (
    EOFError,
    Image.DecompressionBombError,
    IndexError,
    OSError,
    OverflowError,
    SyntaxError,
    ValueError,
    struct.error,
    zlib.error,
)
"""Exceptions that Pillow raises for damaged bytes; an OSError may have another cause."""

_OF_THE_MACHINE = ("out of memory", "codec configuration error", "not available")
"""Pillow's messages, in an OSError without a number, if zlib gets no memory or a decoder is missing."""


def _refuse(error: Exception, content: bytes, formats: tuple[str, ...]) -> None:
    """Raise UnusableImageError if an error proves that the bytes are bad; otherwise return.

    Raises:
        UnusableImageError: The bytes are not an image that can be used.
        ImportError: Pillow was built without the library for their format.
    """
    if isinstance(error, UnusableImageError):
        return
    if isinstance(error, Image.DecompressionBombError):
        raise UnusableImageError("too_many_pixels", f"More than {MAX_PIXELS} pixels.") from error
    if isinstance(error, Image.UnidentifiedImageError):
        if _starts_as(content, formats):
            # Pillow's message contains a memory address that differs at every try.
            detail = "The header is damaged, or gives 0 pixels."
            raise UnusableImageError("damaged_image", detail) from error
        raise UnusableImageError(
            f"not_a_{'_or_'.join(formats).lower()}",
            f"The file does not start as a {' or '.join(formats)} does: {content[:8].hex(' ')}.",
        ) from error
    if isinstance(error, OSError) and (
        error.errno is not None or any(words in str(error) for words in _OF_THE_MACHINE)
    ):
        return
    detail = f"{type(error).__name__}: {error}"[:500]
    raise UnusableImageError("damaged_image", detail) from error


def _starts_as(content: bytes, formats: tuple[str, ...]) -> bool:
    """Return whether the bytes begin like one of the formats, by Pillow's own tests.

    Raises:
        ImportError: They do, but Pillow was built without the library for that format.
    """
    for name in formats:
        starts = Image.OPEN[name][1]
        answer = starts(content[:16]) if starts else False
        if isinstance(answer, str):
            raise ImportError(answer)
        if answer is True:
            return True
    return False
