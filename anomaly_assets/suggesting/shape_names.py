"""Look at the names of shapes in LabelMe files: some are the part itself and no defect."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from anomaly_assets.datasets.text import decode_text
from anomaly_assets.suggesting.tree import File, Reader, spread
from anomaly_assets.suggesting.words import kind_of
from anomaly_assets.suggesting.written import listed

_MOST_FILES = 40
_IN_ALL = 0.95
_FEWEST_FILES = 3
_MOST_OF_THE_PICTURE = 0.5


@dataclass(frozen=True)
class ShapeNames:
    """Names of shapes.

    Attributes:
        defects: Names for the option `shapes`; empty if all shapes may be defects.
        sentences: What was found and guessed.
    """

    defects: Sequence[str] = ()
    sentences: Sequence[str] = ()


def names_of(files: Sequence[File], reader: Reader) -> ShapeNames:
    """Return which names of shapes are defects, from a sample of LabelMe files."""
    counts: Counter[str] = Counter()
    shares: dict[str, list[float]] = defaultdict(list)
    with_shapes = 0
    for file in spread(files, _MOST_FILES):
        content = reader.content(file)
        found = list(_shapes(content)) if content is not None else []
        with_shapes += bool(found)
        counts.update({name for name, _ in found})
        for name, share in found:
            shares[name].append(share)
    if not counts:
        return ShapeNames()
    seen = ", ".join(f"{listed([name])} in {count}" for name, count in counts.most_common(12)) + (
        " …" if len(counts) > 12 else ""
    )
    sentences = [f"names of shapes, in {with_shapes} LabelMe files that have some: {seen}"]
    large = {name for name, found in shares.items() if median(found) > _MOST_OF_THE_PICTURE}
    parts = set(large)
    if len(counts) > 1 and with_shapes >= _FEWEST_FILES:
        parts |= {name for name, count in counts.items() if count >= _IN_ALL * with_shapes}
    parts = {name for name in parts if name and kind_of(name) != "anomalous"}
    defects = sorted(name for name in counts if name and name not in parts)
    if not parts:
        return ShapeNames((), sentences)
    why = "covers most of the picture" if parts <= large else "is in nearly all files"
    if defects:
        sentences.append(
            f"guessed: {listed(parts)} {why}, and is the part rather than a defect; add it to `shapes` if "
            "it is one"
        )
    else:
        sentences.append(
            f"{listed(parts)} {why}: if it is the part and no defect, list the names of defects in `shapes`"
        )
    return ShapeNames(defects, sentences)


def _shapes(content: bytes) -> Iterator[tuple[str, float]]:
    """Yield the name of each shape, and the share of the picture that the box around it covers."""
    try:
        value = json.loads(decode_text(content).text)
    except (ValueError, RecursionError):
        return
    if not isinstance(value, dict) or not isinstance(value.get("shapes"), list):
        return
    sides: list[Any] = [value.get("imageWidth"), value.get("imageHeight")]
    is_known = all(isinstance(side, int) and 0 < side < 1_000_000 for side in sides)
    area = sides[0] * sides[1] if is_known else math.inf
    for shape in value["shapes"]:
        if isinstance(shape, dict) and isinstance(shape.get("label"), str):
            box = _box(shape.get("points"), shape.get("shape_type"))
            yield shape["label"].strip(), box / area


def _box(points: Any, kind: object) -> float:
    """Return the area of the box around the points; zero if they have none."""
    if not isinstance(points, list) or not all(_is_point(point) for point in points):
        return 0.0
    if kind == "circle" and len(points) == 2:
        (left, top), (right, bottom) = (point[:2] for point in points)
        return float(4 * ((right - left) ** 2 + (bottom - top) ** 2))
    sides = [_extent(point[axis] for point in points) for axis in (0, 1)]
    return float(sides[0] * sides[1])


def _is_point(point: object) -> bool:
    return (
        isinstance(point, list)
        and len(point) >= 2
        and all(isinstance(each, (int, float)) and abs(each) < 1_000_000 for each in point[:2])
    )


def _extent(numbers: Iterable[float]) -> float:
    found = list(numbers)
    return max(found) - min(found) if found else 0.0
