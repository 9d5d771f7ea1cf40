"""Make the row of each image from all evidence about it.

The label in a row is what can be said without decoding. A mask is no evidence before it is decoded: the
view `images` decides with its content.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from anomaly_assets.catalogue.grouping import Files
from anomaly_assets.catalogue.labels_files import Declared
from anomaly_assets.catalogue.pairing import Fields, Pairs
from anomaly_assets.catalogue.table_labels import Described, NamedMask, Tables
from anomaly_assets.datasets.declaration import Declaration, MaskEntry
from anomaly_assets.datasets.names import as_text
from anomaly_assets.datasets.record import ImageFile
from anomaly_assets.datasets.words import UNKNOWN, UNSPECIFIED
from anomaly_assets.roots.base import Root

INDEX_OF: Mapping[str | None, int | None] = {"good": 0, "anomalous": 1, None: None}
"""Label to its index; null for none."""

_READING_DIGITS = 12

_NO_MASK = (None, None, None, None)

Mask = tuple["str | None", "str | None", "str | None", "str | None"]
"""Relative path, URI, version and reading of a mask."""


@dataclass(frozen=True)
class Evidence:
    """Evidence of tables, labels files and masks, by the position of an image."""

    tables: Tables
    labels: Declared
    pairs: Pairs

    @property
    def unmatched(self) -> int:
        """Return the number of rows of all tables that match no image."""
        return self.tables.unmatched + self.labels.unmatched

    def is_unclear(self, position: int) -> bool:
        """Return whether evidence about an image was not understood; then no default gives its label."""
        return (
            position in self.pairs.unclear
            or position in self.labels.unclear
            or position in self.tables.unclear
        )

    @cached_property
    def pairs_something(self) -> bool:
        """Return whether a mask, a table or a labels file belongs to an image."""
        return bool(self.pairs.masks_of or self.tables.rows or self.labels.has_images)


def image_rows(files: Files, root: Root, evidence: Evidence) -> list[tuple[object, ...]]:
    """Return a row of `IMAGES_SCHEMA` for each image, sorted by id."""
    declaration = files.dataset.declaration
    annotated = _annotated(files, evidence)
    table_rows, declared = evidence.tables.rows, evidence.labels.label_index_of
    prefix, name, uri_of = f"{declaration.name}/", declaration.name, root.uri_of
    rows: list[tuple[object, ...]] = []
    for position, (image, entry) in enumerate(files.images):
        described = table_rows.get(position)
        row = described.row if described else None
        category = (row and row.category) or image.category or declaration.category
        split = (row and row.split) or image.split or declaration.split
        table_index = None if row is None else INDEX_OF[row.label]
        path_index = INDEX_OF[image.label]
        declared_index = declared.get(position)
        mask = _mask_of(position, root, evidence, described)
        label_index: int | None
        if table_index is not None:
            label_index, source = table_index, "table"
        elif path_index is not None:
            label_index, source = path_index, "path"
        elif declared_index is not None:
            label_index, source = declared_index, "labels_file"
        elif mask is not _NO_MASK or evidence.is_unclear(position):
            label_index, source = None, "none"
        elif declaration.unmasked == "good" and annotated.covers(category, split, image):
            label_index, source = 0, "unmasked"
        elif declaration.label is not None:
            label_index, source = INDEX_OF[declaration.label], "default"
        else:
            label_index, source = None, "none"
        label = UNKNOWN if label_index is None else ("good", "anomalous")[label_index]
        relative_path = as_text(image.relative_path)
        rows.append(
            (
                prefix + relative_path,
                name,
                as_text(category),
                split,
                label,
                label_index,
                _defect_type(image, row and row.defect_type, label),
                relative_path.rpartition("/")[2],
                relative_path,
                uri_of(entry.path),
                entry.size_bytes,
                entry.modified_at,
                entry.version,
                *mask[:3],
                declared_index,
                source,
                path_index,
                table_index,
                mask[3],
            )
        )
    rows.sort()
    return rows


def mask_files(row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return relative path, URI and version of each mask of a row; none for shapes of a table."""
    if row["mask_source_uri"] is None:
        return []
    reading = json.loads(row["mask_reading"] or "{}")
    if "shapes" in reading:
        return []
    version: str = row["mask_file_version"]
    own = version.rpartition("#")[0] if reading else version
    others = [(name, uri, its) for name, uri, its, _ in reading.get("others", [])]
    return [(row["mask_relative_path"], row["mask_source_uri"], own), *others]


Part = tuple[str, str]
"""Category and split; the split is empty where the whole category counts."""


class _Annotated:
    """Categories and splits whose images were searched for defects.

    In the layouts of built-in datasets a whole category counts, because small copies of them have splits
    without any mask.
    """

    def __init__(self, declaration: Declaration) -> None:
        self._by_split = not (declaration.is_built_in or declaration.like)
        self.labelled: set[Part] = set()
        self.masked: dict[Part, set[Fields]] = defaultdict(set)

    def part(self, category: str, split: str) -> Part:
        """Return the part of a dataset that an image or a mask belongs to."""
        return category, split if self._by_split else ""

    def covers(self, category: str, split: str, image: ImageFile) -> bool:
        """Return whether an image without other evidence is in such a part.

        Masks in folders of defects are no evidence that images outside of such folders were looked at.
        """
        part = self.part(category, split)
        known = {"category", "split", *image.texts}
        return part in self.labelled or any(
            known.issuperset(fields) for fields in self.masked.get(part, ())
        )


def _annotated(files: Files, evidence: Evidence) -> _Annotated:
    declaration = files.dataset.declaration
    found = _Annotated(declaration)
    if declaration.unmasked != "good":
        return found

    def part_of(position: int) -> Part:
        described = evidence.tables.rows.get(position)
        row, image = described.row if described else None, files.images[position][0]
        return found.part(
            (row and row.category) or image.category or declaration.category,
            (row and row.split) or image.split or declaration.split,
        )

    for mask, _ in files.masks:
        if mask.category is not None and not (mask.split is None and found.part("", "x")[1]):
            found.masked[found.part(mask.category, mask.split or "")].add(mask.fields)
    for position, masks in evidence.pairs.masks_of.items():
        found.masked[part_of(position)].add(masks[0][0].fields)
    found.labelled.update(map(part_of, evidence.labels.label_index_of))
    found.labelled.update(map(part_of, evidence.tables.masks))
    for position, (row, _) in evidence.tables.rows.items():
        if row.label is not None or row.shapes is not None:
            found.labelled.add(part_of(position))
    return found


def _mask_of(position: int, root: Root, evidence: Evidence, described: Described | None) -> Mask:
    """Return the mask of an image: that of a table, or those that its name pairs."""
    if described is not None and described.row.shapes is not None:
        row, table = described
        drawn = {"read": "coco", "shapes": row.shapes, "width": row.width, "height": row.height}
        text = _json(drawn)
        # The version is that of the shapes: others in the same table change nothing here.
        version = f"coco#{_digest(text)}"
        return as_text(table.canonical_path), root.uri_of(table.path), version, text
    named = evidence.tables.masks.get(position)
    if not named and position not in evidence.pairs.masks_of:
        return _NO_MASK
    masks = named or [
        NamedMask(mask.relative_path, entry, mask.entry)
        for mask, entry in evidence.pairs.masks_of[position]
    ]
    (path, first, options), *others = masks
    reading = _options(options)
    if others:
        reading["others"] = [
            (as_text(name), root.uri_of(each.path), each.version, _options(its))
            for name, each, its in others
        ]
    text = _json(reading)
    version = f"{first.version}#{_digest(text)}" if text else first.version
    return as_text(path), root.uri_of(first.path), version, text


def _options(entry: MaskEntry | None) -> dict[str, Any]:
    """Return how a mask is read, if it is more than a picture whose non-zero pixels are defective."""
    options: dict[str, Any] = {}
    if entry is not None and entry.defect != "nonzero":
        options["defect"] = entry.defect
    if entry is not None and entry.read != "picture":
        options |= {"read": entry.read, "only": entry.shapes}
    return options


def _json(reading: Mapping[str, Any]) -> str | None:
    if not reading:
        return None
    return json.dumps(reading, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _digest(text: str | None) -> str:
    return hashlib.sha256((text or "").encode()).hexdigest()[:_READING_DIGITS]


def _defect_type(image: ImageFile, of_table: str | None, label: str) -> str | None:
    if label == "good":
        return None
    named = of_table or image.defect_type
    if label == "anomalous" and named is None:
        return UNSPECIFIED
    return None if named is None else as_text(named)
