"""Convert the bytes of a file to uint8 tensors or 0/1 masks, with pure functions.

The recipe, which tests compare with Pillow byte for byte:

1. The file is decoded as PNG, JPEG, BMP, TIFF or WebP, or as those of them that its source dataset allows;
   its name is ignored. Orientation tags, gamma and colour profiles are not applied in any format, because
   the masks belong to the stored pixels. Only the first frame or page of a file is used.
2. Modes with colour (`P`, `RGB`, `RGBA`) become `RGB`, all others (`1`, `L`, `LA`) become `L`, by Pillow's
   `convert`. Alpha is dropped. Values with more than 8 bits are scaled to 0..255 (`depth.py`).
3. The result is resized with LANCZOS in that mode, and only then expanded to the wanted channels:
   the same pixels as expanding first, for a third of the work on grey images.

A mask is `value > 0`, in a file with colours `value > 0` of any channel, resized with NEAREST. If all
colours are equal and the file has alpha, alpha is the mask where it varies, and fully transparent pixels
are not defective. Area and box are measured before resizing, which may erase a defect of two pixels.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NoReturn, TypeVar

import numpy as np
from PIL import Image, ImageChops

from anomaly_assets.decoding import content as recognised
from anomaly_assets.decoding import depth as deep
from anomaly_assets.decoding import png as decoder
from anomaly_assets.decoding.tensors import Tensor, UInt8Array, masks_of, tensors_of
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.recipes import Recipe

ALL_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
MAX_SIDE = 256 * 1024
"""Maximum side: resizing takes 50 bytes for each pixel of a side, 2 GB for one of 44 million."""

MAX_PIXELS = 64 * 1024 * 1024
"""Maximum number of pixels; larger images are rejected before any pixel is decoded."""

NEEDS_BIT_DEPTH = "needs_bit_depth"
"""Reason of a file with more than 8 bits per value, if neither it nor a setting states how many it uses."""

_METADATA_TOO_LARGE = "metadata_too_large"

_EIGHT_BITS = 8
_ALPHA_MODES = frozenset({"LA", "PA", "RGBA", "La", "RGBa"})
_RGB_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})


class UnusableImageError(AnomalyAssetsError, ValueError):
    """The content cannot be used; `reason` is a stable keyword, the message has the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The tensors of an image, and properties of its file.

    Attributes:
        tensors: Tensors in the order of the recipes, tiles row by row; at least one.
        original_width: Width of the file, in pixels.
        original_height: Height of the file, in pixels.
        original_mode: Pillow's mode of the file, such as `L` or `RGB`.
        file_format: Format of the file, in Pillow's names.
        is_deep: True if the file has more than 8 bits per value.
        bit_depth: Bits per value that the file uses: 8 if it is not deep.
        content_sha256: Hex digest of the file's bytes.
    """

    tensors: list[Tensor]
    original_width: int
    original_height: int
    original_mode: str
    file_format: str
    is_deep: bool
    bit_depth: int
    content_sha256: str

    @property
    def pixels(self) -> UInt8Array:
        """Return the pixels of the first recipe: uint8, height x width x channels."""
        return self.tensors[0].pixels


@dataclass(frozen=True, slots=True)
class DecodedMask:
    """The masks of an image, with measurements at its original size.

    Attributes:
        masks: uint8 0/1, height x width, in the order of the recipes, tiles row by row.
        width: Width of the file, in pixels.
        height: Height of the file, in pixels.
        area_fraction: Fraction of defective pixels in the file, 0 to 1.
        box: Left, top, right, bottom (exclusive) of the defect in the file; None for an empty mask.
        values: Distinct grey values of the file, at most 256; anything but 0 and 255 is unusual.
            The value of a colour is that of its brightest channel.
        file_format: Format of the file, in Pillow's names.
    """

    masks: list[UInt8Array]
    width: int
    height: int
    area_fraction: float
    box: tuple[int, int, int, int] | None
    values: int
    file_format: str

    @property
    def pixels(self) -> UInt8Array:
        """Return the mask of the first recipe: uint8 0/1, height x width."""
        return self.masks[0]


def decode_image(
    content: bytes,
    spec: Recipe,
    formats: tuple[str, ...] = ALL_FORMATS,
    *,
    further: Sequence[Recipe] = (),
    depth: int | None = None,
    depth_variable: str = "<NAME>_DEPTH",
) -> DecodedImage:
    """Decode one image, once for all recipes.

    Args:
        content: The bytes of the file.
        spec: The first recipe.
        formats: Allowed file formats, in Pillow's names.
        further: Further recipes.
        depth: Bits that a file with more than 8 bits per value uses; None to take what the file states.
        depth_variable: Variable to set, for the message if nothing states the depth.

    Raises:
        UnusableImageError: The bytes are not an image that can be used.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    return despite_metadata(
        lambda part: _image(part, sha256, (spec, *further), formats, depth, depth_variable), content
    )


def _image(
    content: bytes,
    sha256: str,
    recipes: Sequence[Recipe],
    formats: tuple[str, ...],
    depth: int | None,
    depth_variable: str,
) -> DecodedImage:
    with opened(content, formats) as image:
        mode, is_deep, turned = image.mode, deep.is_deep(image), loaded_orientation(image)
        bits = 8
        if is_deep:
            full, bits = _scaled(image, content, depth, depth_variable)
        else:
            full = decoder.load(image, content)
        tensors: list[Tensor] = []
        pictures: dict[str, Image.Image] = {}
        for recipe in recipes:
            target = "RGB" if recipe.channels != 1 and mode in _RGB_MODES else "L"
            if target not in pictures:
                converted = full if full.mode == target else full.convert(target)
                pictures[target] = as_stored(converted, turned)
            tensors += tensors_of(pictures[target], recipe)
        size = next(iter(pictures.values())).size
    return DecodedImage(
        tensors=tensors,
        original_width=size[0],
        original_height=size[1],
        original_mode=mode,
        file_format=format_of(image),
        is_deep=is_deep,
        bit_depth=bits,
        content_sha256=sha256,
    )


def decode_mask(
    content: bytes,
    spec: Recipe,
    formats: tuple[str, ...] = ALL_FORMATS,
    *,
    further: Sequence[Recipe] = (),
    picture_size: tuple[int, int] | None = None,
) -> DecodedMask:
    """Decode one mask: every value above zero is defective.

    Args:
        content: The bytes of the file.
        spec: The first recipe; channels are not used.
        formats: Allowed file formats, in Pillow's names.
        further: Further recipes.
        picture_size: Width and height of the image, if the mask may have another size.

    Raises:
        UnusableImageError: The bytes are not an image that can be used.
    """
    recipes = (spec, *further)
    return despite_metadata(lambda part: _mask(part, recipes, formats, picture_size), content)


def _mask(
    content: bytes,
    recipes: Sequence[Recipe],
    formats: tuple[str, ...],
    picture_size: tuple[int, int] | None,
) -> DecodedMask:
    with opened(content, formats) as image:
        turned = loaded_orientation(image)
        grey = as_stored(grey_mask(image, content), turned)
        histogram = grey.histogram()
        width, height = grey.size
        return DecodedMask(
            masks=list(masks_of(grey, recipes, picture_size)),
            width=width,
            height=height,
            area_fraction=(width * height - histogram[0]) / (width * height),
            box=grey.getbbox(),
            values=sum(count > 0 for count in histogram),
            file_format=format_of(image),
        )


_Decoded = TypeVar("_Decoded")


def despite_metadata(decode: Callable[[bytes], _Decoded], content: bytes) -> _Decoded:
    """Decode a file; leave out its metadata if Pillow refuses to unpack it, so that memory is limited."""
    try:
        return decode(content)
    except UnusableImageError as error:
        if error.reason != _METADATA_TOO_LARGE:
            raise
    return decode(decoder.without_metadata(content))


class opened:
    """Open the bytes as one of the allowed formats, and translate Pillow's errors about them.

    All other exceptions are raised unchanged, because they are not about the file: missing memory, a
    missing codec, or a bug in Pillow or in this project.
    """

    def __init__(self, content: bytes, formats: tuple[str, ...]) -> None:
        self._content = content
        self._formats = formats

    def __enter__(self) -> Image.Image:
        if not self._content:
            raise UnusableImageError("empty_file", "The file has no bytes. Copy it again.")
        if (announced := recognised.webp_size(self._content)) is not None:
            _refuse_size(*announced)  # opening a WebP takes the memory of its pixels
        try:
            self._image = Image.open(io.BytesIO(self._content), formats=self._formats)
        except _OF_THE_BYTES as error:
            _refuse(error, self._content, self._formats)
            raise
        _refuse_size(*self._image.size)
        return self._image

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._image.close()
        if isinstance(error, _OF_THE_BYTES):
            _refuse(error, self._content, self._formats)


def _refuse_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnusableImageError("too_many_pixels", f"{width}x{height}, above {MAX_PIXELS}.")
    if max(width, height) > MAX_SIDE:
        raise UnusableImageError("too_long", f"{width}x{height}, a side above {MAX_SIDE}.")


_TURNED_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_ORIENTATION = 274


def loaded_orientation(image: Image.Image) -> int:
    """Return the orientation that Pillow applies when it loads the pixels, as it does for TIFF only."""
    return int(getattr(image, "tag_v2", {}).get(_ORIENTATION, 1))


def as_stored(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image, as it is shown in an orientation, in the one in which the file stores it."""
    turned_back = _TURNED_BACK.get(orientation)
    return image if turned_back is None else image.transpose(turned_back)


def format_of(image: Image.Image) -> str:
    """Return the format of a file; a JPEG with several pictures, as of phones, is a JPEG."""
    return "JPEG" if image.format == "MPO" else str(image.format)


def _scaled(
    image: Image.Image, content: bytes, depth: int | None, depth_variable: str
) -> tuple[Image.Image, int]:
    """Return an image of 8 bits from a file with more of them, and how many of them the file uses.

    Raises:
        UnusableImageError: The values cannot be read, or nothing states how many bits they use.
    """
    refuse_depth(deep.cannot_read(image))
    values, _ = deep.values_of(image, content)
    bits = deep.bits_used(image, content, values, depth)
    if bits is None:
        detail = deep.why_unknown(image, content, values, depth, depth_variable)
        raise UnusableImageError(NEEDS_BIT_DEPTH, detail)
    mode = image.mode if values.ndim == 3 and values.shape[2] == 4 else None
    eight = deep.to_eight_bits(values, bits)
    if deep.white_is_zero(image):
        eight = 255 - eight
    scaled = (
        Image.frombytes(mode, eight.shape[1::-1], eight.tobytes())
        if mode
        else Image.fromarray(eight)
    )
    return scaled, bits


def refuse_depth(obstacle: str | None) -> None:
    """Raise if the values of a file cannot be read.

    Args:
        obstacle: The reason; None if they can.

    Raises:
        UnusableImageError: The values cannot be read.
    """
    if obstacle is not None:
        raise UnusableImageError(
            "unsupported_bit_depth",
            f"{obstacle} Save the image with unsigned values of 8 or 16 bits, as PNG for example.",
        )


def _deep_mask(image: Image.Image, content: bytes) -> Image.Image:
    """Return a grey image that is 0 only where a mask with more than 8 bits is 0.

    Alpha is handled as in `grey_mask`, but all bits are compared.
    """
    if image.mode in ("I", "F"):  # signed values and 32 bits: only zero matters
        if deep.white_is_zero(image):
            refuse_depth(deep.cannot_read(image))
        return Image.fromarray((np.asarray(decoder.load(image, content)) != 0).view(np.uint8) * 255)
    refuse_depth(deep.cannot_read(image))
    values, alpha = deep.values_of(image, content)
    if image.mode == "CMYK":  # ink: a pixel is black where all three colours are full, or black is
        light = deep.inverted(image, values)
        brightest = np.minimum(light[..., :3].max(axis=2), light[..., 3])
    else:
        brightest = values if values.ndim == 2 else values.max(axis=2)
    if deep.white_is_zero(image):
        brightest = deep.inverted(image, brightest)
    if alpha is not None and (values == values[0, 0]).all():
        is_constant = bool((alpha == alpha[0, 0]).all())
        brightest = np.minimum(brightest, alpha) if is_constant else alpha
    return Image.fromarray(np.minimum(brightest, 255).astype(np.uint8))


def _converted(image: Image.Image, content: bytes, mode: str) -> Image.Image:
    image = decoder.load(image, content)
    return image if image.mode == mode else image.convert(mode)


def grey_mask(image: Image.Image, content: bytes) -> Image.Image:
    """Return a grey image that is 0 only where nothing is defective.

    That is where the file is black: a weighted sum of its channels makes dark blue 0. If all
    colours of a file are equal, alpha decides.
    """
    if deep.is_deep(image):
        return _deep_mask(image, content)
    alpha = _alpha(image, content)
    if image.mode not in _RGB_MODES:
        grey = _converted(image, content, "L")
    else:
        grey = reduce(ImageChops.lighter, _converted(image, content, "RGB").split())
    if alpha is None or not _is_constant(image):
        return grey
    return ImageChops.darker(grey, alpha) if _is_constant(alpha) else alpha


def _alpha(image: Image.Image, content: bytes) -> Image.Image | None:
    """Return the alpha channel of a file, before its colours are converted; None if it has none."""
    by_colour = "transparency" in image.info and image.mode in ("1", "L", "P", "RGB")
    if image.mode not in _ALPHA_MODES and not by_colour:
        return None
    return decoder.load(image, content).convert("RGBA").getchannel("A")


def _is_constant(image: Image.Image) -> bool:
    """Return True if all pixels have the same colour; alpha is ignored."""
    colours = image if image.mode in ("L", "1") else image.convert("RGB")
    return all(channel.getextrema()[0] == channel.getextrema()[1] for channel in colours.split())


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
            if (bits := recognised.tiff_bits(content)) > _EIGHT_BITS:
                refuse_depth(
                    f"Its values have {bits} bits each, stored in a way that is not supported."
                )
            # Pillow's message contains a memory address that differs at every try.
            _refuse_damaged("The header is damaged, gives 0 pixels, or is unusual.", content, error)
        raise UnusableImageError(*recognised.named(content, formats)) from error
    if isinstance(error, OSError) and (
        error.errno is not None or any(words in str(error) for words in _OF_THE_MACHINE)
    ):
        return
    if "MAX_TEXT" in str(error):  # Pillow's limits for texts and profiles of a PNG
        raise UnusableImageError(_METADATA_TOO_LARGE, str(error)) from error
    _refuse_damaged(f"{type(error).__name__}: {error}"[:400], content, error)


def _refuse_damaged(detail: str, content: bytes, error: Exception) -> NoReturn:
    if recognised.is_cut_off(content, detail):
        detail = (
            f"The file ends early, at {len(content)} bytes ({detail}). Copy or download it again."
        )
        raise UnusableImageError("truncated_image", detail) from error
    raise UnusableImageError("damaged_image", detail) from error


def _starts_as(content: bytes, formats: tuple[str, ...]) -> bool:
    """Return whether the bytes begin like one of the formats, by Pillow's own tests.

    Raises:
        ImportError: The bytes begin so, but Pillow was built without the library for that format.
    """
    for name in formats:
        starts = Image.OPEN[name][1]
        answer = starts(content[:16]) if starts else False
        if isinstance(answer, str):
            raise ImportError(answer)
        if answer is True:
            return True
    return False
