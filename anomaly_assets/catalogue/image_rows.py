"""Make the row of each image from all evidence about it.

The label in a row is what follows from the evidence without decoding. A mask is no evidence before it is
decoded: the view `images` decides with its content.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.catalogue.entries import PIECE, compacted, texts
from anomaly_assets.catalogue.grouping import Files
from anomaly_assets.catalogue.groups import Fields
from anomaly_assets.catalogue.labels_files import Declared
from anomaly_assets.catalogue.pairing import Pairs
from anomaly_assets.catalogue.table_labels import Described, NamedMask, Tables
from anomaly_assets.datasets.declaration import Declaration, MaskEntry
from anomaly_assets.datasets.names import as_text
from anomaly_assets.datasets.words import UNKNOWN, UNSPECIFIED, Label, Split
from anomaly_assets.roots.base import Root
from anomaly_assets.tables.arrow import arrow_schema
from anomaly_assets.tables.registry import CATALOGUE_TABLES

INDEX_OF: Mapping[str | None, int | None] = {"good": 0, "anomalous": 1, None: None}
"""Map of a label to its index; null for no label."""

_READING_DIGITS = 12

_NO_MASK = (None, None, None, None)

IMAGES_SCHEMA = arrow_schema(CATALOGUE_TABLES["images"], without=["_dlt_load_id"])
"""Columns of `<source_dataset>.images`, before dlt adds its load id."""

_DECIDED = (
    *("category", "split", "label", "label_index", "defect_type"),
    *("declared_label_index", "label_source", "path_label_index", "table_label_index"),
)
_OF_MASK = ("mask_relative_path", "mask_source_uri", "mask_file_version", "mask_reading")

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
        """Return whether evidence about an image is invalid or ambiguous; then no default applies."""
        return (
            position in self.pairs.unclear
            or position in self.labels.unclear
            or position in self.tables.unclear
        )

    @cached_property
    def pairs_something(self) -> bool:
        """Return whether a mask, a table or a labels file belongs to an image."""
        return bool(self.pairs.paired or self.tables.rows or self.labels.has_images)


def image_rows(files: Files, root: Root, evidence: Evidence) -> pa.Table:
    """Return a row of `IMAGES_SCHEMA` for each image, sorted by id; made in pieces, to save memory."""
    rows = _Rows(files, root, evidence)
    order = pc.sort_indices(files.images.names).to_numpy()
    starts = range(0, len(order), PIECE)
    pieces = [compacted(rows.of(order[start : start + PIECE])) for start in starts]
    return pa.Table.from_batches(pieces, IMAGES_SCHEMA)


class _Rows:
    """Make the rows of images."""

    def __init__(self, files: Files, root: Root, evidence: Evidence) -> None:
        self._files = files
        self._root = root
        self._evidence = evidence
        self._annotated = _annotated(files, evidence)
        self._names = files.images.names
        self._prefix = pa.scalar(f"{files.dataset.name}/", pa.large_string())
        self._nothing = pa.scalar("", pa.large_string())
        self._decided: dict[Hashable, tuple[object, ...]] = {}

    def of(self, numbers: Any) -> pa.RecordBatch:
        """Return the rows of the images with these numbers."""
        names = self._names.take(pa.array(numbers))
        positions = np.frombuffer(self._files.images.positions, np.int64)[numbers]
        files = self._files.entries.columns(positions)
        paths = [
            path if own is None else own
            for path, own in zip(texts(files["canonical_path"]), texts(files["path"]), strict=True)
        ]
        self._evidence.pairs.fetch(numbers)
        masks = [self._mask(number) for number in numbers.tolist()]
        decided = [
            self._decision(number, mask is not _NO_MASK)
            for number, mask in zip(numbers.tolist(), masks, strict=True)
        ]
        columns = {
            "image_id": pc.binary_join_element_wise(self._prefix, names, self._nothing),
            "source_dataset": pa.repeat(self._files.dataset.name, len(names)),
            "filename": pc.replace_substring_regex(names, "^(?s:.*)/", ""),
            "relative_path": names,
            "source_uri": [*map(self._root.uri_of, paths)],
            "file_size_bytes": files["size_bytes"],
            "modified_at": files["modified_at"],
            "file_version": files["version"],
            "attributes": [self._attributes(number) for number in numbers.tolist()],
            **dict(zip(_DECIDED, zip(*decided, strict=True), strict=True)),
            **dict(zip(_OF_MASK, zip(*masks, strict=True), strict=True)),
        }
        return pa.record_batch(
            [
                column.cast(each.type)
                if isinstance(column, pa.Array)
                else pa.array(column, each.type)
                for each in IMAGES_SCHEMA
                for column in (columns[each.name],)
            ],
            schema=IMAGES_SCHEMA,
        )

    def _attributes(self, number: int) -> str | None:
        described = self._evidence.tables.rows.get(number)
        return described.row.attributes if described else None

    def _mask(self, number: int) -> Mask:
        evidence = self._evidence
        described = evidence.tables.rows.get(number)
        if described is None and evidence.pairs.mask_of[number] < 0 and not evidence.tables.masks:
            return _NO_MASK
        return _mask_of(number, self._root, evidence, described)

    def _decision(self, number: int, has_mask: bool) -> tuple[object, ...]:
        """Return the columns `_DECIDED`; images with the same evidence have the same values."""
        images, evidence = self._files.images, self._evidence
        described = evidence.tables.rows.get(number)
        declared_index = evidence.labels.label_index_of.get(number)
        is_unclear = evidence.is_unclear(number)
        code = images.codes[number]
        row = described.row if described else None
        of_row = row and (row.category, row.split, row.label, row.defect_type)
        key = (code, of_row, declared_index, has_mask, is_unclear)
        if key not in self._decided:
            self._decided[key] = self._decide(code, of_row, declared_index, has_mask, is_unclear)
        return self._decided[key]

    def _decide(
        self,
        code: int,
        of_row: tuple[str | None, Split | None, Label | None, str | None] | None,
        declared_index: int | None,
        has_mask: bool,
        is_unclear: bool,
    ) -> tuple[object, ...]:
        declaration = self._files.dataset.declaration
        its_category, its_split, its_label, its_type, keys = self._files.images.traits[code]
        row_category, row_split, row_label, row_type = of_row or (None, None, None, None)
        category = row_category or its_category or declaration.category
        split = row_split or its_split or declaration.split
        table_index, path_index = INDEX_OF[row_label], INDEX_OF[its_label]
        label_index: int | None
        if table_index is not None:
            label_index, source = table_index, "table"
        elif path_index is not None:
            label_index, source = path_index, "path"
        elif declared_index is not None:
            label_index, source = declared_index, "labels_file"
        elif has_mask or is_unclear:
            label_index, source = None, "none"
        elif declaration.unmasked == "good" and self._annotated.covers(category, split, keys):
            label_index, source = 0, "unmasked"
        elif declaration.label is not None:
            label_index, source = INDEX_OF[declaration.label], "default"
        else:
            label_index, source = None, "none"
        label = UNKNOWN if label_index is None else ("good", "anomalous")[label_index]
        return (
            as_text(category),
            split,
            label,
            label_index,
            _defect_type(row_type or its_type, label),
            declared_index,
            source,
            path_index,
            table_index,
        )


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
"""Category and split; the split is empty if the whole category counts."""


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

    def covers(self, category: str, split: str, fields: Iterable[str]) -> bool:
        """Return whether an image without other evidence is in such a part.

        Masks in folders of defects are no evidence that images outside of such folders were looked at.
        """
        part = self.part(category, split)
        known = {"category", "split", *fields}
        return part in self.labelled or any(
            known.issuperset(fields) for fields in self.masked.get(part, ())
        )


def _annotated(files: Files, evidence: Evidence) -> _Annotated:
    declaration = files.dataset.declaration
    found = _Annotated(declaration)
    if declaration.unmasked != "good":
        return found

    images = files.images

    def part_of(position: int) -> Part:
        described = evidence.tables.rows.get(position)
        row = described.row if described else None
        category, split = images.traits[images.codes[position]][:2]
        return found.part(
            (row and row.category) or category or declaration.category,
            (row and row.split) or split or declaration.split,
        )

    for category, split, fields in files.masks.traits:
        if category is not None and not (split is None and found.part("", "x")[1]):
            found.masked[found.part(category, split or "")].add(fields)
    for position in evidence.pairs.paired:
        found.masked[part_of(position)].add(evidence.pairs.fields_of(position))
    found.labelled.update(map(part_of, evidence.labels.label_index_of))
    found.labelled.update(map(part_of, evidence.tables.masks))
    for position, (row, *_) in evidence.tables.rows.items():
        if row.label is not None or row.shapes is not None:
            found.labelled.add(part_of(position))
    return found


def _mask_of(position: int, root: Root, evidence: Evidence, described: Described | None) -> Mask:
    """Return the mask of an image: that of a table, or those that its name pairs."""
    if described is not None and described.row.shapes is not None:
        row, table, _ = described
        drawn = {"read": "coco", "shapes": row.shapes, "width": row.width, "height": row.height}
        text = _json(drawn)
        # The version is that of the shapes: others in the same table change nothing here.
        version = f"coco#{_digest(text)}"
        return as_text(table.canonical_path), root.uri_of(table.path), version, text
    named = evidence.tables.masks.get(position)
    pairs = evidence.pairs
    if not named and pairs.mask_of[position] < 0:
        return _NO_MASK
    paired = map(pairs.mask, pairs.several.get(position) or [pairs.mask_of[position]])
    masks = named or [NamedMask(mask.relative_path, entry, mask.entry) for mask, entry in paired]
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


def _defect_type(named: str | None, label: str) -> str | None:
    if label == "good":
        return None
    if label == "anomalous" and named is None:
        return UNSPECIFIED
    return None if named is None else as_text(named)
