"""Parse annotations in the format of COCO: a row for each image, with its shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

from anomaly_assets.datasets.json_stream import JsonStream
from anomaly_assets.datasets.table_cells import (
    COLUMNS,
    MAX_ROWS,
    Collected,
    Row,
    TableFaultError,
    listed,
    quoted,
    why_no_text,
)
from anomaly_assets.datasets.words import UNSPECIFIED

_LISTS = ("images", "annotations", "categories")
_USUAL = frozenset({"info", "licenses"})
_MOST_SIDE = 1 << 31
_FEWEST_NUMBERS = 6


@dataclass(slots=True)
class _Annotations:
    """Annotations of one image.

    Attributes:
        shapes: JSON text of each shape without its braces, and the id of its category.
        categories: Ids of the categories.
        first: Position of the first annotation in the file.
        unreadable: Whether an annotation has no shape that can be read.
    """

    shapes: list[tuple[str, str]]
    categories: set[str]
    first: int
    unreadable: bool = False


def read_coco(stream: JsonStream, collected: Collected) -> None:
    """Add a row for each image of a COCO file, in any order of its lists.

    The label is left to the shapes: an image without annotations has `[]`, an empty mask. Only an image
    with an annotation that has no readable shape gets the label anomalous here, and no shapes, because a
    mask of some of its defects would be wrong. The defect type is the name of the category that all its
    annotations have. Annotations of a category whose name means good are left out.

    Args:
        stream: The text.
        collected: Rows and reasons, to which this function adds.

    Raises:
        TableFaultError: The file cannot be used.
    """
    if stream.next_sign() != "{":
        raise TableFaultError(
            f"The file is no object with {listed(_LISTS)}. Export it as COCO again."
        )
    images: dict[str, Row] = {}
    annotations: dict[str, _Annotations] = {}
    names: dict[str, str] = {}
    found = set()
    ignored: list[str] = []
    for key in stream.members():
        if key not in _LISTS or stream.next_sign() != "[":
            if key not in _USUAL and len(ignored) < 100:
                ignored.append(key)
            stream.skip()
            continue
        found.add(key)
        for number, element in _objects(stream, key, collected):
            if key == "images":
                _add_image(element, number, images, collected)
            elif key == "annotations":
                _add_annotation(element, number, annotations, collected)
            else:
                _add_category(element, number, names, collected)
    stream.end()
    if missing := [key for key in _LISTS[:2] if key not in found]:
        raise TableFaultError(
            f"The file has no list {listed(missing)}; its keys are {listed([*found, *ignored])}. Export it "
            "as COCO again."
        )
    if ignored:
        collected.notes.append(f"Keys that COCO does not have were left out: {listed(ignored)}.")
    _add_rows(images, annotations, names, collected)


def _objects(
    stream: JsonStream, key: str, collected: Collected
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, element in enumerate(stream.elements(), start=1):
        if number > MAX_ROWS:
            raise TableFaultError(
                f'The list "{key}" has more than {MAX_ROWS:,} elements. Split the file into several ones, '
                "and match them with one pattern."
            )
        if isinstance(element, dict):
            yield number, element
        else:
            collected.refuse(number, f"in {quoted(key)}: the element is no object")


def _add_image(
    image: dict[str, Any], number: int, images: dict[str, Row], collected: Collected
) -> None:
    key, name = _id(image.get("id")), image.get("file_name")
    if key is None:
        collected.refuse(number, 'in "images": the id is missing')
    elif key in images:
        collected.refuse(number, f'in "images": another image has the id {quoted(key)}')
    elif not isinstance(name, str):
        collected.refuse(number, 'in "images": file_name is missing')
    else:
        cells = (name.strip(), *(None,) * (len(COLUMNS) - 1))
        row, reason = collected.row(cells, number)
        if row is None:
            collected.refuse(number, f'in "images": {reason}')
        else:
            size = (_side(image.get("width")), _side(image.get("height")))
            images[key] = row._replace(width=size[0], height=size[1])


def _add_category(
    category: dict[str, Any], number: int, names: dict[str, str], collected: Collected
) -> None:
    key, name = _id(category.get("id")), category.get("name")
    if key is None or not isinstance(name, str) or not name.strip():
        collected.refuse(number, 'in "categories": id or name is missing')
    elif (reason := why_no_text("name", name.strip())) is not None:
        collected.refuse(number, f'in "categories": {reason}')
    else:
        names[key] = collected.once(name.strip())


def _add_annotation(
    annotation: dict[str, Any],
    number: int,
    annotations: dict[str, _Annotations],
    collected: Collected,
) -> None:
    image, category = _id(annotation.get("image_id")), _id(annotation.get("category_id"))
    if image is None:
        collected.refuse(number, 'in "annotations": image_id is missing')
        return
    category = "" if category is None else collected.once(category)
    of_image = annotations.get(image)
    if of_image is None:
        of_image = annotations[image] = _Annotations([], set(), number)
    of_image.categories.add(category)
    shapes = _shapes(annotation)
    if shapes is None:
        of_image.unreadable = True
        reason = "neither segmentation nor bbox can be read; the image counts as anomalous"
        collected.refuse(number, f'in "annotations": {reason}, without a mask')
    else:
        of_image.shapes.extend((shape, category) for shape in shapes)


def _shapes(annotation: dict[str, Any]) -> list[str] | None:
    """Return the JSON text of the shapes of an annotation; None if it has none that can be read."""
    found = annotation.get("segmentation")
    if isinstance(found, dict):
        return _rle(found)
    if isinstance(found, list) and found:
        polygons = found if isinstance(found[0], list) else [found]
        if not all(map(_is_polygon, polygons)):
            return None
        return [f'"kind":"polygon","points":{_json(polygon)}' for polygon in polygons]
    if found not in (None, []):
        return None
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return None
    left, top, width, height = box
    points = [left, top, left + width, top + height]
    if width < 0 or height < 0 or not all(map(_is_number, points)):
        return None
    return [f'"kind":"rectangle","points":{_json(points)}']


def _rle(found: dict[str, Any]) -> list[str] | None:
    counts, size = found.get("counts"), found.get("size")
    if not isinstance(size, list) or len(size) != 2 or None in map(_side, size):
        return None
    is_list = isinstance(counts, list) and all(type(each) is int and each >= 0 for each in counts)
    if not is_list and not (isinstance(counts, str) and counts.isascii()):
        return None
    return [f'"kind":"rle","size":{_json(size)},"counts":{_json(counts)}']


def _add_rows(
    images: dict[str, Row],
    annotations: dict[str, _Annotations],
    names: dict[str, str],
    collected: Collected,
) -> None:
    meanings = {"": None, **{key: collected.label_of(name) for key, name in names.items()}}
    good = {key for key, meaning in meanings.items() if meaning == "good"}
    left_out: dict[str, int] = {}
    for key, row in images.items():
        of_image = annotations.pop(key, None)
        if of_image is None:
            collected.append(row._replace(shapes="[]"))
            continue
        parts = []
        for shape, category in of_image.shapes:
            if category in good:
                left_out[names[category]] = left_out.get(names[category], 0) + 1
            else:
                label = _json(names.get(category, ""))
                parts.append(f'{{{shape},"label":{label}}}')
        categories = of_image.categories - good
        for category in categories - names.keys():
            collected.refuse(
                of_image.first,
                f'in "annotations": category_id {quoted(category)} is not in "categories"; its shape is '
                "used without a name",
            )
        defect_type = None
        if len(categories) == 1 and (one := next(iter(categories))) in names:
            defect_type = UNSPECIFIED if meanings[one] else names[one]
        if of_image.unreadable:
            collected.append(row._replace(label="anomalous", defect_type=defect_type))
        else:
            shapes = f"[{','.join(parts)}]"
            collected.append(row._replace(defect_type=defect_type, shapes=shapes))
    for key, of_image in annotations.items():
        collected.refuse(
            of_image.first, f'in "annotations": no image has the id {quoted(key)}; check "images"'
        )
    for name, count in left_out.items():
        collected.notes.append(f"{count} shapes of {quoted(name)} were left out: it means good.")


def _id(value: object) -> str | None:
    """Return an id as text, because some tools write numbers in one list and text in another."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return str(value)


def _side(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value < _MOST_SIDE else None


def _is_polygon(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= _FEWEST_NUMBERS
        and len(value) % 2 == 0
        and all(map(_is_number, value))
    )


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isfinite(value) if isinstance(value, float) else abs(value) < _MOST_SIDE


_json = json.JSONEncoder(separators=(",", ":")).encode
