"""Compare a file of an annotation tool with the export that the tool got, and make corrections of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from anomaly_assets.datasets.names import counted, shown
from anomaly_assets.decoding.transform import UInt8Array
from anomaly_assets.export.annotation import coco, label_studio, pictures
from anomaly_assets.export.annotation.answers import Answer, NotExported, Row
from anomaly_assets.export.annotation.corrections_file import Line
from anomaly_assets.export.destination import described
from anomaly_assets.export.errors import ExportError
from anomaly_assets.export.pictures import encoded

MASKS = "masks"
"""Folder of corrected masks, beside the file of corrections."""

_READERS = {"label-studio": label_studio.answers, "coco": coco.answers}
_OF_COCO = {"annotations", "categories", "images"}
_MOST_NAMED = 3
_ROWS = (
    *("picture", "image_id", "content_sha256", "label", "defect_type", "shapes"),
    *("picture_height", "picture_width", "original_height", "original_width"),
)


@dataclass(frozen=True)
class Returned:
    """Differences from an export.

    Attributes:
        lines: Lines of a file of corrections.
        masks: PNG files by the path that a line names, relative to the file of corrections.
        images: Number of images with an answer.
        problems: Sentences about answers that no correction was made of.
    """

    lines: list[Line]
    masks: dict[str, bytes]
    images: int
    problems: list[str] = field(default_factory=list)


def returned(file: Path, export: Path, *, by: str, at: str, reason: str) -> Returned:
    """Compare what a tool returned with what was exported.

    Args:
        file: JSON export of Label Studio, or a COCO file.
        export: Folder of the export that was imported into the tool.
        by: Author of corrections whose annotator is not in the file.
        at: Time of corrections whose time is not in the file, in ISO 8601.
        reason: Reason of corrections without a reason in the file.

    Raises:
        ExportError: The file cannot be read, or the folder is no export for an annotation tool.
    """
    rows = _exported(export)
    content = _json(file)
    found: list[Answer] = []
    problems = []
    others = []
    for answer in _READERS[_format(file, content)](content, rows):
        if isinstance(answer, Answer):
            found.append(answer)
        elif isinstance(answer, NotExported):
            others.append(shown(answer.picture))
            problems += [answer.problem] if answer.problem else []
        else:
            problems.append(answer)
    pictures = content if isinstance(content, list) else content["images"]
    if others and len(others) == len(pictures):
        named = ", ".join(others[:_MOST_NAMED]) + (", …" if len(others) > _MOST_NAMED else "")
        raise ExportError(
            f"{file} does not belong to the export {export}, which does not have its "
            f"{counted(len(others), 'picture')} ({named}) with this content. Name the folder that was "
            "imported into the tool: --export DIR."
        )
    result = Returned([], {}, len({answer.row["image_id"] for answer in found}), problems)
    found.sort(key=lambda answer: str(answer.row["image_id"]))
    for _, group in groupby(found, key=lambda answer: answer.row["image_id"]):
        _add(result, list(group), {"by": by, "at": at, "reason": reason})
    return result


def _add(result: Returned, answers: list[Answer], otherwise: Mapping[str, str]) -> None:
    """Add the corrections of an image, unless its annotators differ."""
    fields = [dict(_fields(answer)) for answer in answers]
    row = answers[0].row
    values = [{name: value for name, (value, _) in each.items()} for each in fields]
    if any(each != values[0] for each in values):
        result.problems.append(
            f"{row['image_id']}: its {len(answers)} annotations differ. Delete all but one in the tool."
        )
        return
    answer = answers[-1]
    if answer.contradicts_itself:
        result.problems.append(
            f"{row['image_id']}: a defect is drawn and the label is good. Choose anomalous, or delete the "
            "region."
        )
        return
    for name, (value, content) in fields[-1].items():
        if content:
            result.masks[value] = content
        result.lines.append(
            Line(
                image_id=row["image_id"],
                content_sha256=row["content_sha256"],
                field=name,
                value=value,
                reason=answer.reason or otherwise["reason"],
                by=answer.by or otherwise["by"],
                at=answer.at or otherwise["at"],
            )
        )


def _fields(answer: Answer) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Yield fields with their value and, for a mask, the content of the PNG file that the value names."""
    for name, value in answer.corrections():
        if isinstance(value, str):
            yield name, (value, b"")
        else:
            content = encoded(value * np.uint8(255), "PNG")
            yield name, (f"{MASKS}/{_digest(value)}.png", content)


def _digest(mask: UInt8Array) -> str:
    """Return a digest of the pixels, which does not depend on the compression of the file."""
    height, width = mask.shape
    return hashlib.sha256(f"{height}x{width} ".encode() + mask.tobytes()).hexdigest()[:32]


def _exported(folder: Path) -> dict[str, Row]:
    """Return the rows of an export by the path of the picture."""
    facts = described(folder)
    if facts is None or facts.get("format") not in _READERS:
        raise ExportError(
            f"{folder} is no export of the formats {' or '.join(_READERS)}. Name the folder that was "
            "imported into the tool: --export DIR."
        )
    rows: Iterable[Row] = pq.read_table(folder / pictures.TABLE, columns=[*_ROWS]).to_pylist()
    return {row["picture"]: row for row in rows}


def _format(file: Path, content: Any) -> str:
    """Return the format of a file.

    Raises:
        ExportError: It has none of the formats; the message names what it has.
    """
    if isinstance(content, list):
        return "label-studio"
    if isinstance(content, dict) and _OF_COCO & content.keys():
        return "coco"
    keys = ", ".join(map(shown, [*content][:_MOST_NAMED])) if isinstance(content, dict) else ""
    has = f"an object with the keys {keys or '(none)'}"
    raise ExportError(
        f"{file} is neither a JSON export of Label Studio, which is a list of tasks, nor a COCO file, "
        f"which is an object with {', '.join(sorted(_OF_COCO))}. It is "
        f"{has if isinstance(content, dict) else 'one value'}. Export it again in one of these formats."
    )


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{file} is not JSON: {error}. Export it again.") from error
