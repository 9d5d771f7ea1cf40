"""Decode a mask that is more than a picture whose non-zero pixels are defective.

The column `mask_reading` of the catalogue has JSON with these keys; all are optional:

- `defect`: `zero`, numbers or colours of defective pixels; see `mask_values`.
- `read`: `labelme` for a file of shapes, or `coco` for shapes in the column itself.
- `only`: labels of the shapes that are defects; empty for all.
- `shapes`, `width`, `height`: shapes of COCO, and the size of the picture that they were drawn on.
- `others`: path, URI, version and options of further masks, which are united with the first one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from anomaly_assets.decoding.mask_values import decode_defect
from anomaly_assets.decoding.orientation import orientation_of, shown_orientation
from anomaly_assets.decoding.shapes import Shape, labelme_shapes, rasterise, shapes_from_json
from anomaly_assets.decoding.tensors import UInt8Array, masks_of
from anomaly_assets.decoding.transform import DecodedMask, UnusableImageError
from anomaly_assets.recipes import Recipe

SEPARATOR = "#"
"""Text between the version of a mask file and the digest of how it is read."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, as far as its mask depends on it.

    Attributes:
        content: Bytes of the file.
        width: Width of the stored pixels; `height` is their height.
    """

    content: bytes
    width: int
    height: int


def decode_read_mask(
    reading: str,
    uri: str,
    version: str | None,
    read: Callable[[str, str | None], bytes],
    picture: Picture,
    recipes: Sequence[Recipe],
) -> DecodedMask:
    """Decode a mask with options.

    Args:
        reading: How the mask is read, as JSON.
        uri: URI of the file.
        version: Version of the file, with the digest of the reading.
        read: Function that reads a file of some version.
        picture: The image.
        recipes: Recipes of the result; channels are not used.

    Raises:
        UnusableImageError: A file cannot be used, or the sizes differ.
    """
    options = json.loads(reading)
    kind = options.get("read", "picture")
    if kind == "coco":
        shapes = shapes_from_json(options["shapes"])
        pixels = _drawn(shapes, (options.get("width"), options.get("height")), picture)
        return masked(pixels, recipes, "COCO")
    own = None if version is None else version.rpartition(SEPARATOR)[0]
    files = [(uri, own, options), *(each[1:] for each in options.get("others", []))]
    found, formats = [], []
    for address, its_version, its_options in files:
        content = read(address, its_version)
        if its_options.get("read") == "labelme":
            pixels, file_format = _labelme(content, its_options, picture), "LABELME"
        else:
            pixels, file_format = decode_defect(content, its_options.get("defect", "nonzero"))
        found.append(pixels)
        formats.append(file_format)
    return masked(_united(found), recipes, formats[0], (picture.width, picture.height))


def masked(
    pixels: UInt8Array,
    recipes: Sequence[Recipe],
    file_format: str,
    picture_size: tuple[int, int] | None = None,
) -> DecodedMask:
    """Return the masks of 0 and 1, resized with NEAREST, with their measurements."""
    height, width = pixels.shape
    whole = Image.fromarray(pixels * np.uint8(255))
    defective = int(np.count_nonzero(pixels))
    return DecodedMask(
        masks=list(masks_of(whole, recipes, picture_size)),
        width=width,
        height=height,
        area_fraction=defective / (width * height),
        box=whole.getbbox(),
        values=1 + (0 < defective < width * height),
        file_format=file_format,
    )


def _labelme(content: bytes, options: dict[str, Any], picture: Picture) -> UInt8Array:
    found = labelme_shapes(content, options.get("only", ()))
    if not found.shapes and found.without_area:
        raise UnusableImageError(
            "shapes_without_area",
            f"the file has {found.without_area} points or lines and no shape with an area: draw a polygon, "
            "a rectangle or a circle",
        )
    return _drawn(found.shapes, (found.image_width, found.image_height), picture)


def _drawn(
    shapes: Sequence[Shape], stated: tuple[int | None, int | None], picture: Picture
) -> UInt8Array:
    """Return the mask of shapes, in the orientation in which the image is stored."""
    size = picture.width, picture.height
    orientation = shown_orientation(stated, size, orientation_of(picture.content))
    return rasterise(shapes, *size, orientation)


def _united(masks: list[UInt8Array]) -> UInt8Array:
    first, *others = masks
    for other in others:
        if other.shape != first.shape:
            sizes = " and ".join(
                f"{width} x {height}" for height, width in (first.shape, other.shape)
            )
            raise UnusableImageError(
                "mask_sizes_differ",
                f"several masks of one image have different sizes ({sizes}): export them again",
            )
        first = first | other
    return first
