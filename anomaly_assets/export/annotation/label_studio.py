"""Write tasks for Label Studio, and read the annotations of its JSON export.

    images/…           PNG files
    tasks.json         a task per image, with what is known about it as a prediction
    label_config.xml   the labeling interface of the project
    samples.parquet    a row per image, which the way back is compared with

What is known is a prediction and not an annotation: Label Studio shows it as the start of an annotation,
and a task that nobody opened comes back without any annotation. A mask is a brush, because a polygon of
Label Studio has no holes, and would have a vertex for every second pixel of the border.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from anomaly_assets.decoding.transform import UInt8Array
from anomaly_assets.export.annotation import brush, pictures
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
from anomaly_assets.export.names import digest
from anomaly_assets.export.pictures import Advance
from anomaly_assets.export.selection import Source, Written
from anomaly_assets.polygons import pixels_of

TASKS = "tasks.json"
_CONFIG = "label_config.xml"
_DEFECT = "defect"
_POLYGON = "defect as a polygon"
_EXCLUDE = "exclude"
_UNCHANGED = "prediction"
"""Origin of a region that nobody edited; editing turns it into `prediction-changed`."""

_SERVED = "/data/local-files/?d="
"""Address of a file below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""


def write(source: Source, folder: Path, advance: Advance) -> Written:
    """Write the samples as tasks for Label Studio.

    Args:
        source: The samples.
        folder: An empty folder.
        advance: Called with the number of samples written since the last call.

    Returns:
        What was written: all samples.
    """
    table = pictures.write(source, folder, _brush_of, advance)
    with (folder / TASKS).open("w", encoding="utf-8") as file:
        for place, row in enumerate(pictures.rows_of(table)):
            file.write(",\n" if place else "[\n")
            json.dump(_task(row, source.snapshot_id or ""), file, ensure_ascii=False)
        file.write("\n]\n")
    (folder / _CONFIG).write_text(_config(pictures.defect_types(source)), encoding="utf-8")
    return Written.all_of(source)


def answers(tasks: Any, rows: Mapping[str, Row]) -> Iterator[Found]:
    """Yield every annotation of a JSON export.

    Args:
        tasks: Content of the file.
        rows: What was exported, by the path of the picture.

    Raises:
        ExportError: The file is no JSON export of Label Studio.
    """
    for task in tasks:
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise ExportError(
                "The file is no JSON export of Label Studio: an element has no `data`. Export the project "
                "as JSON, and not as JSON-MIN."
            )
        data, annotations = task["data"], _submitted(task)
        picture = str(data.get("picture"))
        row = rows.get(picture)
        if (
            row is None
            or data.get("content_sha256", row["content_sha256"]) != row["content_sha256"]
        ):
            what = "is not in the export" if row is None else "has another content in the export"
            problem = (
                f"task {task.get('id')}: its picture {picture!r} {what}" if annotations else ""
            )
            yield NotExported(picture, problem)
            continue
        for annotation in annotations:
            try:
                yield _answer(annotation, row)
            except ExportError as error:
                yield f"{row['image_id']}: {error}"
            except MALFORMED as error:
                yield unread(row, error)


def _submitted(task: Mapping[str, Any]) -> list[Any]:
    found = task.get("annotations")
    annotations = found if isinstance(found, list) else [found] if found else []
    return [
        each for each in annotations if not (isinstance(each, dict) and each.get("was_cancelled"))
    ]


def _brush_of(mask: UInt8Array) -> str:
    return json.dumps(brush.encode(mask)) if mask.any() else "[]"


def _task(row: Row, snapshot_id: str) -> dict[str, Any]:
    result = []
    if row["label"] in (GOOD, ANOMALOUS):
        result.append(_result(row, "label", "choices", {"choices": [row["label"]]}))
    if row["defect_type"]:
        result.append(_result(row, "defect_type", "choices", {"choices": [row["defect_type"]]}))
    if packed := json.loads(row["shapes"]):
        value = {"format": "rle", "rle": packed, "brushlabels": [_DEFECT]}
        result.append(_result(row, "brush", "brushlabels", value))
    names = ("picture", "image_id", "content_sha256", "source_dataset", "category", "split")
    return {
        "data": {"image": _SERVED + quote(row["picture"]), **{name: row[name] for name in names}},
        "predictions": [{"model_version": f"snapshot {snapshot_id[:12]}", "result": result}],
    }


def _result(row: Row, name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _region_id(row, name),
        "from_name": name,
        "to_name": "image",
        "type": kind,
        "original_width": row["picture_width"],
        "original_height": row["picture_height"],
        "image_rotation": 0,
        "value": value,
    }


def _region_id(row: Row, name: str) -> str:
    return digest(f"{row['image_id']} {name}")[:10]


def _config(kinds: Iterable[str]) -> str:
    choices = "\n".join(f"    <Choice value={quoteattr(kind)}/>" for kind in kinds)
    return f"""<View>
  <Choices name="label" toName="image" choice="single" showInline="true">
    <Choice value="{GOOD}"/>
    <Choice value="{ANOMALOUS}"/>
  </Choices>
  <Choices name="defect_type" toName="image" choice="single" showInline="true">
{choices}
  </Choices>
  <Choices name="exclude" toName="image" choice="multiple"><Choice value="{_EXCLUDE}"/></Choices>
  <TextArea name="reason" toName="image" placeholder="Reason of the correction" maxSubmissions="1"/>
  <BrushLabels name="brush" toName="image"><Label value="{_DEFECT}"/></BrushLabels>
  <PolygonLabels name="polygon" toName="image"><Label value="{_POLYGON}"/></PolygonLabels>
  <Image name="image" value="$image" zoom="true"/>
</View>
"""


def _answer(annotation: dict[str, Any], row: Row) -> Answer:
    chosen: dict[str, str] = {}
    regions = []
    for result in annotation.get("result") or ():
        value = result.get("value") or {}
        if result.get("type") == "choices":
            chosen[result["from_name"]] = next(iter(_texts(value.get("choices"))), "")
        elif result.get("type") == "textarea":
            chosen[result["from_name"]] = " ".join(_texts(value.get("text")))
        elif "value" in result:
            regions.append(result)
    by = annotation.get("completed_by")
    return Answer(
        row,
        chosen.get("label"),
        chosen.get("defect_type"),
        _mask(regions, row),
        chosen.get("exclude") == _EXCLUDE,
        str(by.get("email", "")) if isinstance(by, dict) else f"user {by}" if by else "",
        str(annotation.get("updated_at") or annotation.get("created_at") or ""),
        chosen.get("reason", ""),
    )


def _texts(value: Any) -> list[str]:
    """Return a list of texts; one text is a list of itself."""
    return [value] if isinstance(value, str) else list(value or ())


def _mask(regions: list[dict[str, Any]], row: Row) -> UInt8Array | None:
    size = row["picture_height"], row["picture_width"]
    packed = json.loads(row["shapes"])
    own = _region_id(row, "brush")
    exported = brush.decode(packed, *size) if packed else np.zeros(size, np.uint8)
    found = np.zeros(size, np.uint8)
    for region in regions:
        # An older Label Studio draws even an unchanged brush again, with other pixels at its edge.
        is_own = str(region.get("id")).partition("#")[0] == own
        unchanged = is_own and region.get("origin") == _UNCHANGED
        found |= exported if unchanged else _pixels(region, size)
    return differing(found, exported)


def _pixels(region: dict[str, Any], size: tuple[int, int]) -> UInt8Array:
    height, width = size
    if (region.get("original_height"), region.get("original_width")) != size:
        raise ExportError(f"A region is not on a picture of {width}x{height} pixels.")
    if region.get("image_rotation"):
        raise ExportError("The picture was rotated. Turn it back, and draw the region again.")
    value = region["value"]
    if region.get("type") == "brushlabels":
        return brush.decode(value.get("rle") or (), height, width)
    if region.get("type") == "polygonlabels":
        points = np.asarray(value["points"], np.float64) * (width / 100, height / 100)
        return pixels_of([points], height, width)
    raise ExportError(
        f"A region has the type {region.get('type')!r}. Draw it with the brush or as a polygon."
    )
