"""Read the shapes of a LabelMe file."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from anomaly_assets.datasets.names import normalized, shown
from anomaly_assets.datasets.text import decode_text
from anomaly_assets.decoding.shape import (
    MAX_MASK_BYTES,
    Shape,
    checked_label,
    checked_points,
    unreadable,
)

_WITHOUT_AREA = ("point", "points", "line", "linestrip")
_MOST_SHOWN = 10


class LabelMe(NamedTuple):
    """Content of a LabelMe file.

    Attributes:
        shapes: Shapes with an area.
        image_width: Width of the picture as LabelMe showed it; None if the file does not give it.
        image_height: Height of the picture as LabelMe showed it.
        notes: Sentences about what was left out.
        without_area: Number of wanted shapes that were left out because they have no area, as points and
            lines. If nothing else is there, an empty mask does not mean that the image is good.
    """

    shapes: list[Shape]
    image_width: int | None
    image_height: int | None
    notes: tuple[str, ...] = ()
    without_area: int = 0


def labelme_shapes(content: bytes, only: Sequence[str] = ()) -> LabelMe:
    """Read a LabelMe file.

    Points and lines have no area and are left out, and so are shapes with other labels than the wanted
    ones; both are noted. A rectangle of four points is a polygon. Flags are ignored.

    Args:
        content: The bytes of the file.
        only: Wanted labels, compared in NFC and in any case; empty for all.

    Raises:
        UnusableImageError: The bytes are no LabelMe file, or a shape cannot be read.
    """
    try:
        found = json.loads(decode_text(content).text)
    except (ValueError, RecursionError) as error:
        raise unreadable("The file is no JSON as LabelMe writes it.") from error
    listed = found.get("shapes") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise unreadable("The file has no list `shapes`, as LabelMe writes it.")
    wanted = {normalized(label).casefold() for label in only}
    shapes: list[Shape] = []
    mask_bytes = 0
    without_area: Counter[str] = Counter()
    unwanted: Counter[str] = Counter()
    for number, each in enumerate(listed, start=1):
        values = each if isinstance(each, dict) else {}
        label = checked_label(values.get("label"))
        kind = checked_label(values.get("shape_type")) or "polygon"
        if wanted and label.casefold() not in wanted:
            unwanted[label] += 1
        elif kind in _WITHOUT_AREA:
            without_area[kind] += 1
        else:
            shape = _shape(values, kind, label, f"Shape {number} ({_quoted(label)})")
            mask_bytes += 0 if shape.pixels is None else shape.pixels.size
            if mask_bytes > MAX_MASK_BYTES:
                raise unreadable(
                    f"The masks of its shapes have more than {MAX_MASK_BYTES:,} pixels."
                )
            shapes.append(shape)
    notes = []
    if without_area:
        what = ", ".join(f"{count} of type {kind}" for kind, count in without_area.items())
        notes.append(f"Shapes without an area were left out: {what}.")
    if unwanted:
        what = ", ".join(
            f"{count} of {_quoted(label)}" for label, count in unwanted.most_common(_MOST_SHOWN)
        )
        notes.append(f"Shapes with labels that are not in `shapes` were left out: {what}.")
    width, height = _side(found.get("imageWidth")), _side(found.get("imageHeight"))
    return LabelMe(shapes, width, height, tuple(notes), without_area.total())


def _shape(values: dict[str, Any], kind: str, label: str, name: str) -> Shape:
    found = values.get("points")
    if kind == "rectangle" and isinstance(found, list) and len(found) == 4:
        kind = "polygon"
    if kind == "mask":
        points = checked_points(found, "mask", name)
        return Shape("mask", points[:1], label, pixels=_mask(values.get("mask"), name))
    if kind == "polygon":
        return Shape("polygon", checked_points(found, kind, name), label)
    if kind == "rectangle":
        return Shape("rectangle", checked_points(found, kind, name), label)
    if kind == "circle":
        return Shape("circle", checked_points(found, kind, name), label)
    raise unreadable(f"{name}: shapes of type {_quoted(kind)} are not read.")


def _mask(text: object, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the pixels of a mask, which is a PNG in base64."""
    try:
        content = base64.b64decode(text if isinstance(text, str) else "")
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.width * image.height > MAX_MASK_BYTES:
                raise unreadable(f"{name}: its mask of {image.width}x{image.height} is too large.")
            pixels = np.asarray(image.convert("L")) > 0
    except (
        *(EOFError, IndexError, OSError, OverflowError, SyntaxError, ValueError),
        *(Image.DecompressionBombError, struct.error, zlib.error),
    ) as error:
        raise unreadable(f"{name}: its mask is no PNG.") from error
    if not pixels.any():
        raise unreadable(f"{name}: its mask has no pixel.")
    return pixels.view(np.uint8)


def _side(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _quoted(text: str) -> str:
    return f'"{shown(text[:60])}"'
