"""Write annotations in the format of COCO, and read what an annotation tool made of them.

    images/…          PNG files
    annotations.json  images, annotations and categories, as pycocotools reads them
    samples.parquet   a row per image, which the way back is compared with

An annotation is a connected region of the mask, as polygons, which every tool reads. Its category is the
defect type. COCO has no labels of images: an image without annotations has no known defect.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from anomaly_assets.datasets.words import UNSPECIFIED
from anomaly_assets.decoding.run_lengths import pixels_of_runs
from anomaly_assets.decoding.shape import Shape
from anomaly_assets.decoding.transform import UInt8Array, UnusableImageError
from anomaly_assets.export.annotation import pictures
from anomaly_assets.export.annotation.answers import (
    ANOMALOUS,
    GOOD,
    MALFORMED,
    Answer,
    Found,
    NotExported,
    Row,
    differing,
    unread,
)
from anomaly_assets.export.errors import ExportError
from anomaly_assets.export.pictures import Advance
from anomaly_assets.export.selection import Source, Written
from anomaly_assets.polygons import Points, pixels_of, regions_of

ANNOTATIONS = "annotations.json"


def write(source: Source, folder: Path, advance: Advance) -> Written:
    """Write the samples as COCO instances.

    Args:
        source: The samples.
        folder: An empty folder.
        advance: Called with the number of samples written since the last call.

    Returns:
        What was written: all samples.
    """
    table = pictures.write(source, folder, _annotations_of, advance)
    kinds = pictures.defect_types(source)
    numbers = {kind: number for number, kind in enumerate(kinds, start=1)}
    licences = {name: number for number, name in enumerate(source.terms, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row in pictures.rows_of(table):
        licence = licences.get(row["source_dataset"])  # the first release recorded none
        images.append(
            {
                "id": len(images) + 1,
                "file_name": row["picture"],
                "width": row["picture_width"],
                "height": row["picture_height"],
                **({"license": licence} if licence else {}),
            }
        )
        for shape in json.loads(row["shapes"]):
            of_image = {
                "id": len(annotations) + 1,
                "image_id": len(images),
                "category_id": numbers[row["defect_type"] or UNSPECIFIED],
            }
            annotations.append({**of_image, **shape, "iscrowd": 0})
    content = {
        "info": {"description": f"snapshot {source.snapshot_id or ''}", "version": "1.0"},
        "licenses": [
            {"id": number, "name": f"{name}: {source.terms[name].licence}", "url": ""}
            for name, number in licences.items()
        ],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": kind, "supercategory": "defect"}
            for kind, number in numbers.items()
        ],
    }
    with (folder / ANNOTATIONS).open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False)
    return Written.all_of(source)


def answers(content: Mapping[str, Any], rows: Mapping[str, Row]) -> Iterator[Found]:
    """Yield the answer of a COCO file about each image.

    An image belongs to the picture of the same path or, if that is unique, of the same file name. An image
    that the file does not list has no answer.

    Args:
        content: Content of the file.
        rows: What was exported, by the path of the picture.

    Raises:
        ExportError: The file is no COCO file.
    """
    try:
        names = {each["id"]: str(each["name"]) for each in content["categories"]}
        by_image = defaultdict(list)
        for annotation in content["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        images = [(each, str(each["file_name"])) for each in content["images"]]
    except MALFORMED as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ExportError(
            f"The file is no COCO file: {what}. Export it as COCO instances again."
        ) from error
    by_name = _by_name(rows)
    for image, path in images:
        row = rows.get(path) or by_name.get(PurePosixPath(path.replace("\\", "/")).name)
        if row is None:
            yield NotExported(path, f"{path}: this picture is not in the export")
            continue
        try:
            yield _answer(image, by_image[image["id"]], names, row)
        except (ExportError, UnusableImageError) as error:
            yield f"{row['image_id']}: {error}"
        except MALFORMED as error:
            yield unread(row, error)


def _annotations_of(mask: UInt8Array) -> str:
    """Return the annotations of a mask as JSON, without the keys that number them."""
    found = []
    for region in regions_of(mask):
        across, down = np.concatenate(region).T
        box = across.min(), down.min(), np.ptp(across), np.ptp(down)
        found.append(
            {
                "segmentation": [each.astype(int).reshape(-1).tolist() for each in region],
                "area": int(pixels_of(region, *mask.shape).sum()),
                "bbox": [int(each) for each in box],
            }
        )
    return json.dumps(found)


def _by_name(rows: Mapping[str, Row]) -> dict[str, Row]:
    """Return the rows by the name of their picture, if no other picture has this name."""
    found: dict[str, list[Row]] = defaultdict(list)
    for path, row in rows.items():
        found[PurePosixPath(path).name].append(row)
    return {name: each[0] for name, each in found.items() if len(each) == 1}


def _answer(
    image: Mapping[str, Any],
    annotations: list[dict[str, Any]],
    names: Mapping[Any, str],
    row: Row,
) -> Answer:
    height, width = size = row["picture_height"], row["picture_width"]
    if (image.get("height"), image.get("width")) != size:
        raise ExportError(
            f"The annotations are on a picture of {image.get('width')}x{image.get('height')} pixels, and "
            f"{width}x{height} were exported."
        )
    exported = _pixels(json.loads(row["shapes"]), size)
    mask = differing(_pixels(annotations, size), exported)
    label = None
    if mask is not None:
        label = ANOMALOUS if mask.any() else GOOD
    kinds = {names.get(each.get("category_id"), UNSPECIFIED) for each in annotations}
    return Answer(row, label, kinds.pop() if len(kinds) == 1 else None, mask)


def _pixels(annotations: Iterable[Mapping[str, Any]], size: tuple[int, int]) -> UInt8Array:
    height, width = size
    found = np.zeros(size, np.uint8)
    for annotation in annotations:
        shape = annotation.get("segmentation")
        if isinstance(shape, Mapping):
            counts = shape.get("counts", ())
            runs = counts if isinstance(counts, str) else tuple(counts)
            found |= pixels_of_runs(Shape("rle", counts=runs, size=size), (width, height))
        else:
            found |= pixels_of(_polygons(shape, annotation.get("bbox")), height, width)
    return found


def _polygons(flat: Any, box: Any) -> list[Points]:
    try:
        if not flat:  # a tool that draws boxes only
            left, top, width, height = box
            right, bottom = left + width, top + height
            flat = [left, top, right, top, right, bottom, left, bottom]
        several = flat if isinstance(flat[0], list) else [flat]
        return [np.asarray(each, np.float64).reshape(-1, 2) for each in several]
    except (TypeError, ValueError) as error:
        raise ExportError("An annotation has neither a polygon nor a box.") from error
