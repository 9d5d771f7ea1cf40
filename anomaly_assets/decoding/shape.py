"""Define a shape that people draw around a defect, and the errors about shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from anomaly_assets.datasets.names import normalized
from anomaly_assets.decoding.transform import UInt8Array, UnusableImageError

MAX_MASK_BYTES = 100 * 1024 * 1024
"""Limit of a mask, which has a byte per pixel."""

UNREADABLE = "unreadable_shapes"
"""Reason of a file or a text whose shapes cannot be read."""

Point: TypeAlias = tuple[float, float]

_FEWEST_POINTS = {"polygon": 3, "rectangle": 2, "circle": 2, "rle": 0, "mask": 1}
_LARGEST = 1 << 53


@dataclass(frozen=True, eq=False)
class Shape:
    """A shape on a picture.

    Attributes:
        kind: Kind of the shape. A `mask` is a small picture, an `rle` lengths of runs over the whole one.
        points: Vertices of a polygon, two opposite corners of a rectangle, centre and a point of a circle,
            or the top left corner of a mask.
        label: Label that the annotator gave it.
        counts: Lengths of runs by columns, the first one of zeros; a text is compressed as COCO does it.
        size: Height and width of the picture that the runs cover.
        pixels: Pixels of a mask, 0 or 1.
    """

    kind: Literal["polygon", "rectangle", "circle", "rle", "mask"]
    points: tuple[Point, ...] = ()
    label: str = ""
    counts: tuple[int, ...] | str = ()
    size: tuple[int, int] = (0, 0)
    pixels: UInt8Array | None = None


def checked_points(found: object, kind: str, name: str) -> tuple[Point, ...]:
    """Return points as pairs of finite numbers.

    Args:
        found: List of pairs, of unknown content.
        kind: Kind of the shape, which has a smallest number of points.
        name: Name of the shape for messages.

    Raises:
        UnusableImageError: The points are not pairs of finite numbers, or too few for this kind.
    """
    points: list[Point] = []
    for each in found if isinstance(found, list) else ():
        if not isinstance(each, (list, tuple)) or len(each) != 2 or not all(map(_is_number, each)):
            raise unreadable(f"{name}: a point is no pair of numbers.")
        points.append((float(each[0]), float(each[1])))
    if len(points) < _FEWEST_POINTS[kind]:
        raise unreadable(
            f"{name}: a {kind} has at least {_FEWEST_POINTS[kind]} points, and this one has {len(points)}."
        )
    return tuple(points)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < _LARGEST  # not true for NaN


def checked_label(found: object) -> str:
    """Return a label as valid Unicode in NFC; empty if it is not text."""
    if not isinstance(found, str):
        return ""
    return normalized(found.encode("utf-8", "replace").decode("utf-8"))


def unreadable(problem: str) -> UnusableImageError:
    """Return the error for shapes that cannot be read."""
    return UnusableImageError(UNREADABLE, f"{problem} Save the annotation again.")


def different_size(stated: tuple[int, int], size: tuple[int, int]) -> UnusableImageError:
    """Return the error for shapes that were drawn on a picture of another size."""
    return UnusableImageError(
        "shapes_of_other_size",
        f"The shapes are for a picture of {stated[0]}x{stated[1]} pixels, and the image has "
        f"{size[0]}x{size[1]}. Annotate the image itself, or save the annotation again.",
    )
