"""Convert shapes, as people draw them around defects, to masks.

Coordinates are those of the picture as the annotation tool showed it, in pixels; pixel 0 is from 0 to 1.
The rules for pixels at the border of a shape are those of Pillow, with which LabelMe draws as well:

- A vertex of a polygon is the pixel that contains it. All pixels are defective that are inside the polygon
  of these pixels, or on its outline. So a thin scratch stays connected.
- A circle is drawn as a polygon of many points. A rectangle has all pixels of which it covers a part.
- A shape in the picture has at least one pixel. A shape outside of the picture is an error, because a
  defect that vanishes would make its image good.

With the outline, small polygons are larger than those of pycocotools, which takes pixels that are mostly
inside: by a quarter at 10 pixels across, by 8 % at 30, by 2 % at 100.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import dist, floor
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from anomaly_assets.datasets.names import shown
from anomaly_assets.decoding.labelme import LabelMe, labelme_shapes
from anomaly_assets.decoding.run_lengths import pixels_of_runs
from anomaly_assets.decoding.shape import (
    MAX_MASK_BYTES,
    Point,
    Shape,
    checked_label,
    checked_points,
    unreadable,
)
from anomaly_assets.decoding.transform import UInt8Array, UnusableImageError, as_stored

__all__ = ["LabelMe", "Shape", "labelme_shapes", "rasterise", "shapes_from_json"]

_NEAR = 1.0
"""Maximum distance of a shape from the picture, in pixels; rounding can cause this."""

_FIRST_TURNED = 5
"""Number of the first of the orientations that exchange width and height."""


def shapes_from_json(text: str) -> list[Shape]:
    """Return the shapes of a text that `datasets.table_rows` made from a COCO file.

    Raises:
        UnusableImageError: The text is not such a list of shapes.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unreadable("The shapes are no JSON.") from error
    if not isinstance(found, list):
        raise unreadable("The shapes are no list.")
    return [_from_json(number, each) for number, each in enumerate(found, start=1)]


def _from_json(number: int, found: Any) -> Shape:
    values = found if isinstance(found, dict) else {}
    kind, label, flat = (
        values.get("kind"),
        checked_label(values.get("label")),
        values.get("points", []),
    )
    if kind == "rle":
        counts, size = values.get("counts"), values.get("size")
        if isinstance(counts, list) and _are_numbers(counts):
            counts = tuple(counts)
        if (
            isinstance(counts, (str, tuple))
            and isinstance(size, list)
            and len(size) == 2
            and _are_numbers(size)
        ):
            return Shape("rle", label=label, counts=counts, size=(size[0], size[1]))
    elif kind in ("polygon", "rectangle") and isinstance(flat, list) and len(flat) % 2 == 0:
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        return Shape(kind, checked_points(pairs, kind, f"Shape {number}"), label)
    raise unreadable(f"Shape {number} is none that can be read.")


def _are_numbers(values: list[Any]) -> bool:
    return all(type(each) is int and 0 <= each <= MAX_MASK_BYTES for each in values)


def rasterise(shapes: Sequence[Shape], width: int, height: int, orientation: int = 1) -> UInt8Array:
    """Return the mask of all shapes together, in the orientation in which the image is stored.

    Args:
        shapes: Shapes on the picture as it was shown.
        width: Width of the image as it is stored, before its orientation is applied.
        height: Height of the image as it is stored.
        orientation: EXIF orientation that the tool applied, 1 to 8; see `orientation.shown_orientation`.

    Returns:
        0 or 1, height x width.

    Raises:
        UnusableImageError: The mask is too large, or a shape does not fit it.
    """
    if width < 1 or height < 1 or width * height > MAX_MASK_BYTES:
        most = MAX_MASK_BYTES // 2**20
        raise UnusableImageError(
            "too_many_pixels", f"A mask of {width}x{height} is above {most} million pixels."
        )
    size = (height, width) if orientation >= _FIRST_TURNED else (width, height)
    canvas = Image.new("L", size)
    for shape in shapes:
        _draw(canvas, shape)
    return np.asarray(as_stored(canvas, orientation))


def _draw(canvas: Image.Image, shape: Shape) -> None:
    if shape.kind == "rle":
        pixels = pixels_of_runs(shape, canvas.size)
        canvas.paste(1, None, Image.fromarray(pixels * 255))
        return
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = _box(shape)
    _refuse_outside(canvas.size, shape, (left, top, right, bottom))
    if shape.kind in ("polygon", "circle"):
        points = shape.points if shape.kind == "polygon" else _around(shape)
        near = _clipped(points, canvas.size)
        if near:
            draw.polygon(_pixels(near, canvas.size), fill=1, outline=1)
    elif shape.kind == "rectangle":
        (x, y), (far_x, far_y) = _pixels(((left, top), (right, bottom)), canvas.size)
        # A side on the border of two pixels belongs to the pixel within.
        far_x -= far_x > x and right == floor(right)
        far_y -= far_y > y and bottom == floor(bottom)
        draw.rectangle((x, y, far_x, far_y), fill=1)
    elif shape.pixels is not None:
        canvas.paste(1, (floor(left), floor(top)), Image.fromarray(shape.pixels * 255))
    _leave_a_pixel(canvas, left, top, right, bottom)


def _box(shape: Shape) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a shape."""
    if shape.kind == "circle":
        (x, y), radius = shape.points[0], dist(shape.points[0], shape.points[1])
        return x - radius, y - radius, x + radius, y + radius
    if shape.pixels is not None:
        (x, y), (height, width) = shape.points[0], shape.pixels.shape
        return x, y, x + width, y + height
    across, down = zip(*shape.points, strict=True)
    return min(across), min(down), max(across), max(down)


def _around(circle: Shape) -> list[Point]:
    """Return points on a circle; between two of them is half a degree."""
    radius = dist(circle.points[0], circle.points[1])
    turns = np.exp(np.linspace(0, 2j * np.pi, 720)) * radius + complex(*circle.points[0])
    return list(zip(turns.real.tolist(), turns.imag.tolist(), strict=True))


def _clipped(points: Sequence[Point], size: tuple[int, int]) -> Sequence[Point]:
    """Return a polygon without what is far outside the picture, because drawing that takes long.

    Each side cuts the edges where they cross it (Sutherland and Hodgman), so that edges in the picture keep
    their direction.
    """
    for axis, side in ((0, size[0]), (1, size[1])):
        for limit, sign in ((-float(side), 1.0), (2.0 * side, -1.0)):
            if all(sign * (point[axis] - limit) >= 0 for point in points):
                continue
            kept: list[Point] = []
            for one, other in zip(points, [*points[1:], points[0]], strict=True):
                inside, next_inside = (sign * (each[axis] - limit) >= 0 for each in (one, other))
                if inside:
                    kept.append(one)
                if inside != next_inside:
                    part = (limit - one[axis]) / (other[axis] - one[axis])
                    x, y = (a + part * (b - a) for a, b in zip(one, other, strict=True))
                    kept.append((x, y))
            points = kept
            if not points:
                return points
    return points


def _pixels(points: Sequence[Point], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the pixels that contain points; points far outside are moved nearer, to draw faster."""
    width, height = size
    return [
        (
            floor(min(max(x, -float(width)), 2.0 * width)),
            floor(min(max(y, -float(height)), 2.0 * height)),
        )
        for x, y in points
    ]


def _refuse_outside(
    size: tuple[int, int], shape: Shape, box: tuple[float, float, float, float]
) -> None:
    left, top, right, bottom = box
    if right < -_NEAR or bottom < -_NEAR or left > size[0] + _NEAR or top > size[1] + _NEAR:
        raise UnusableImageError(
            "shape_outside_image",
            f'A {shape.kind} "{shown(shape.label)}" from {left:g}, {top:g} to {right:g}, {bottom:g} is '
            f"outside of the picture of {size[0]}x{size[1]} pixels. Correct the annotation.",
        )


def _leave_a_pixel(
    canvas: Image.Image, left: float, top: float, right: float, bottom: float
) -> None:
    """Set the pixel in the middle of a shape without any drawn pixel."""
    width, height = canvas.size
    x, y = (min(max(floor(low), 0), side - 1) for low, side in ((left, width), (top, height)))
    far_x, far_y = (
        min(max(floor(high) + 1, low + 1), side)
        for high, low, side in ((right, x, width), (bottom, y, height))
    )
    if canvas.crop((x, y, far_x, far_y)).getbbox() is None:
        canvas.putpixel(((x + far_x - 1) // 2, (y + far_y - 1) // 2), 1)
