"""Work out what a declaration makes of a folder, as `DECLARATIONS` describes it, in a straightforward way.

`outcome` is the only function that tests and the benchmark use, so that the catalogue can replace it.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from anomaly_assets.datasets.classify import (
    Classifier,
    DeclaredImage,
    DeclaredMask,
    DeclaredTable,
)
from anomaly_assets.datasets.dagm_2007 import parse_labels
from anomaly_assets.datasets.declaration import Declaration, MaskEntry, TableEntry
from anomaly_assets.datasets.text import decode_text


class Outcome(NamedTuple):
    """Category, split, label and masks of an image."""

    category: str
    split: str
    label: str
    masks: tuple[str, ...] = ()


def files_in(root: Path) -> list[str]:
    """Return the paths of all files below a folder."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def outcome(declaration: Declaration, root: Path) -> dict[str, Outcome]:
    """Return category, split, label and masks of each image by its path."""
    records: dict[str, Any] = {}
    for ignore_case in (False, True):
        classify = Classifier(declaration, ignore_case=ignore_case).classify
        records = {path: classify(path) for path in files_in(root)}
        if any(isinstance(record, DeclaredImage) for record in records.values()):
            break
    images = {path: each for path, each in records.items() if isinstance(each, DeclaredImage)}
    masks = _paired(declaration, images, records)
    facts: dict[str, dict[str, str]] = defaultdict(dict)
    for path, record in records.items():
        if isinstance(record, DeclaredTable):
            for image, row in _rows(declaration, root / path, record, images):
                for role, cell in row.items():
                    facts[image].setdefault(role, cell)
    values = {}
    evident = set()
    for path, record in images.items():
        row = facts.get(path, {})
        category = row.get("category") or record.category or declaration.category
        split = row.get("split") or record.split or declaration.split
        values[path] = (category, split)
        if masks.get(path) or row:
            evident.add((category, split))
    return {
        path: Outcome(
            *values[path],
            _label(declaration, root, image, facts.get(path, {}), masks.get(path, []))
            or (declaration.unmasked if values[path] in evident else None)
            or declaration.label
            or "unknown",
            tuple(sorted(masks.get(path, []))),
        )
        for path, image in images.items()
    }


def _label(
    declaration: Declaration,
    root: Path,
    image: DeclaredImage,
    row: Mapping[str, str],
    masks: list[str],
) -> str | None:
    """Return the first label that anything gives; masks that contradict a labels file win."""
    if label := row.get("label") or image.label:
        return label
    by_classifier = Classifier(declaration)
    is_defective = None
    for mask in masks:
        record = by_classifier.classify(mask)
        if not isinstance(record, DeclaredMask):
            record = Classifier(declaration, ignore_case=True).classify(mask)
        assert isinstance(record, DeclaredMask)
        is_defective = bool(is_defective) or _is_defective(root / mask, record.entry)
    by_file = row.get("labels_file")
    if is_defective or by_file == "anomalous":
        return "anomalous"
    return "good" if is_defective is False or by_file == "good" else None


def _is_defective(path: Path, entry: MaskEntry) -> bool:
    if entry.read == "labelme":
        shapes = json.loads(path.read_text("utf-8"))["shapes"]
        return any(not entry.shapes or shape["label"] in entry.shapes for shape in shapes)
    with Image.open(path) as image:
        if entry.defect == "nonzero":
            return bool(np.asarray(image.convert("RGB")).any())
        if entry.defect == "zero":
            return bool((np.asarray(image.convert("L")) == 0).any())
        if isinstance(entry.defect[0], int):
            assert image.mode in ("L", "P", "1", "I;16"), "numbers need a grey mask"
            return bool(np.isin(np.asarray(image), entry.defect).any())
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        found = {f"#{bytes(pixel).hex()}" for pixel in np.unique(pixels, axis=0)}
        return bool(found & {str(colour).lower() for colour in entry.defect})


def _paired(
    declaration: Declaration, images: Mapping[str, DeclaredImage], records: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Return the masks of each image: they have the same text in every field of the pattern of the mask."""
    found: dict[str, list[str]] = defaultdict(list)
    indexes: dict[MaskEntry, dict[tuple[str | None, ...], list[str]]] = {}
    for path, mask in records.items():
        if not isinstance(mask, DeclaredMask):
            continue
        fields = [name for name in mask.entry.pattern.fields if name != "split"]
        by_split = mask.split is not None

        def key(record: DeclaredImage | DeclaredMask) -> tuple[str | None, ...]:
            split = record.split if by_split else None  # noqa: B023  # called at once
            return (split, *(record.texts.get(name) for name in fields))  # noqa: B023

        if mask.entry not in indexes:
            index: dict[tuple[str | None, ...], list[str]] = defaultdict(list)
            for image, record in images.items():
                index[key(record)].append(image)
            indexes[mask.entry] = index
        candidates = indexes[mask.entry].get(key(mask), [])
        if len(candidates) == 1 and (mask.entry.unites or not found[candidates[0]]):
            found[candidates[0]].append(path)
    return found


def _rows(
    declaration: Declaration,
    path: Path,
    table: DeclaredTable,
    images: Mapping[str, DeclaredImage],
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the images that a table describes, with what it gives."""
    within = {
        image: record
        for image, record in images.items()
        if (table.split is None or record.split == table.split)
        and all(
            record.texts.get(name) == text
            for name, text in table.texts.items()
            if name not in ("split", "name")
        )
    }
    by_name: dict[str, list[str]] = defaultdict(list)
    for image in within:
        by_name[image.rpartition("/")[2].casefold()].append(image)
    entry = table.entry
    if entry.read == "dagm_labels":
        for name, number in parse_labels(path.read_bytes()).label_index_of.items():
            for image in by_name.get(name.casefold(), ()):
                yield image, {"labels_file": "anomalous" if number else "good"}
        return
    for cells in _cells(path, entry):
        image = cells.get(entry.columns.get("image", "file_name"), "")
        if entry.match == "name":
            named = by_name.get(image.rpartition("/")[2].casefold(), [])
            image = named[0] if len(named) == 1 else ""
        if image in within:
            yield image, _meant(declaration, entry, cells)


def _meant(declaration: Declaration, entry: TableEntry, cells: Mapping[str, str]) -> dict[str, str]:
    row = {role: cells.get(column, "") for role, column in entry.columns.items()}
    words = declaration.words
    found: dict[str, str] = {}
    if split := words.split_of.get(row.get("split", "") or cells.get("split of rows", "")):
        found["split"] = split
    if label := words.label_of.get(row.get("label", "").lower()):
        found["label"] = label
    elif defect := row.get("defect_type"):
        found["label"] = words.label_of.get(defect.lower(), "anomalous")
    if row.get("category"):
        found["category"] = row["category"]
    if cells.get("has annotations"):
        found["label"] = "anomalous"
    return found


def _cells(path: Path, entry: TableEntry) -> Iterator[dict[str, str]]:
    text = decode_text(path.read_bytes()).text
    if entry.read == "csv":
        separator = max(",;\t|", key=text.splitlines()[0].count)
        yield from csv.DictReader(text.splitlines(), delimiter=separator)
        return
    value = json.loads(text)
    if entry.read == "coco":
        annotated = {each["image_id"] for each in value["annotations"]}
        for each in value["images"]:
            has = "yes" if each["id"] in annotated else ""
            yield {"file_name": each["file_name"], "has annotations": has}
    elif entry.rows == "split":
        for word, rows in value.items():
            for row in rows if isinstance(rows, list) else []:
                yield {**{key: str(cell) for key, cell in row.items()}, "split of rows": word}
    else:
        for row in value:
            yield {key: str(cell) for key, cell in row.items()}
