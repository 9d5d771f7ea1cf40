"""Read tables (CSV, JSON, COCO), and find the image of each row by its path or its name."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from anomaly_assets.catalogue.copies import TREE
from anomaly_assets.catalogue.grouping import Files
from anomaly_assets.catalogue.labels_files import (
    DECLARED_BUT_MISSING,
    add_detail,
    content_of,
    note_missing,
)
from anomaly_assets.catalogue.pairing import Index
from anomaly_assets.datasets.attributes import as_json
from anomaly_assets.datasets.declaration import ATTRIBUTES, MaskEntry
from anomaly_assets.datasets.names import as_text, counted, shown
from anomaly_assets.datasets.record import TableFile, split_name, value_of
from anomaly_assets.datasets.table_rows import MAX_BYTES, Row, TableContent, read_table
from anomaly_assets.datasets.words import UNSPECIFIED
from anomaly_assets.roots.base import FileEntry, Root

_MOST_NAMED = 3


class Described(NamedTuple):
    """Row of a table about an image, and the table.

    Attributes:
        disputed: Names of values about which rows disagree; later rows do not give them again.
    """

    row: Row
    table: FileEntry
    disputed: frozenset[str] = frozenset()


class NamedMask(NamedTuple):
    """A mask that a row names: its path, the file, and its options if a pattern of masks matches it."""

    path: str
    entry: FileEntry
    options: MaskEntry | None


@dataclass
class Tables:
    """Evidence of tables, by the position of an image.

    Attributes:
        rows: The row about an image, if there is one; several rows are united.
        masks: Masks that rows name.
        unclear: Images about which a row or a table is invalid.
        notes: Sentences for the log of a run.
        unmatched: Number of rows that match no image.
    """

    rows: dict[int, Described] = field(default_factory=dict)
    masks: dict[int, list[NamedMask]] = field(default_factory=dict)
    unclear: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    unmatched: int = 0


def read_tables(files: Files, root: Root, index: Index) -> Tables:
    """Read the tables of a root; what is wrong with them becomes a stray."""
    tables = Tables()
    paths: _Paths | None = None
    for record, entry in files.tables:
        if record.entry.read == "dagm_labels":
            continue
        place = _Place(record, entry, _compatible(record, index))
        content = content_of(files, root, entry, MAX_BYTES[record.entry.read])
        if content is None:
            tables.unclear |= place.positions
            continue
        table = read_table(content, record.entry, files.dataset.declaration.words)
        _note_faults(files, entry, table)
        if table.fault:
            tables.unclear |= place.positions
            continue
        tables.notes += [f"{shown(entry.meant_path)}: {note}" for note in table.notes]
        paths = paths or _Paths(files)
        _add(files, place, table, tables, paths)
    if paths is not None:
        _refuse_shared_masks(files, tables, paths)
    return tables


class _Place(NamedTuple):
    """A table and the images that its rows can be about."""

    record: TableFile
    entry: FileEntry
    positions: frozenset[int]


def _compatible(record: TableFile, index: Index) -> frozenset[int]:
    """Return the images that have the values of the fields of a table, or none."""
    return index.with_values(
        {field: value_of(record, field) for field in record.fields if field != TREE}
    )


class _Paths:
    """Files of a root by their paths: images by position, all others by entry."""

    def __init__(self, files: Files) -> None:
        self.images: dict[str, int] = {}
        self.others: dict[str, NamedMask] = {
            path: NamedMask(path, entry, None) for path, entry in files.stray_entries.items()
        }
        for position, (image, entry) in enumerate(files.images):
            self.images[entry.canonical_path] = position
            self.images[image.relative_path] = position
        for mask, entry in files.masks:
            found = NamedMask(mask.relative_path, entry, mask.entry)
            self.others[entry.canonical_path] = self.others[mask.relative_path] = found
        self._folded: Mapping[str, list[str]] | None = None

    def meant(self, path: str, folders: Sequence[str]) -> str | None:
        """Return the path of the file that a table names, below the first of these folders that has it."""
        tried = [f"{folder}/{path}" if folder else path for folder in folders]
        for each in tried:
            if each in self.images or each in self.others:
                return each
        if self._folded is None:
            self._folded = defaultdict(list)
            for known in (*self.images, *self.others):
                self._folded[known.casefold()].append(known)
        for each in tried:
            if len(found := self._folded.get(each.casefold(), [])) == 1:
                return found[0]
        return None


class _Names:
    """Images of a table by the names of their files, or without suffix if a row has none."""

    def __init__(self, files: Files, positions: Iterable[int]) -> None:
        self._positions: dict[str, list[int]] = defaultdict(list)
        for position in positions:
            name = files.images[position][0].relative_path.rpartition("/")[2]
            self._positions[name].append(position)
            self._positions[f"{split_name(name)[0]}/"].append(position)

    def at(self, text: str) -> Sequence[int]:
        """Return the positions of the images with the name in a row, whatever folders are before it."""
        name = re.split(r"[\\/]", text)[-1]
        return self._positions.get(name) or self._positions.get(f"{name}/") or ()


def _folders(place: _Place) -> list[str]:
    """Return where the paths of a table may start: its own tree, the root, its folder, its category."""
    record, entry = place.record, place.entry
    around = entry.canonical_path[: -len(record.relative_path)]
    around = record.texts.get(TREE, around).rstrip("/").removeprefix(".")
    own = record.relative_path.rpartition("/")[0]
    below = entry.canonical_path.rpartition("/")[0]
    return [*dict.fromkeys((around, "", below, own, record.category or ""))]


def _add(files: Files, place: _Place, table: TableContent, tables: Tables, paths: _Paths) -> None:
    by_name = _Names(files, place.positions) if place.record.entry.match == "name" else None
    folders = _folders(place)
    missing: list[str] = []
    elsewhere: list[str] = []
    twice: list[str] = []
    for row in table.rows:
        if by_name is not None:
            found = by_name.at(row.image)
            if len(found) > 1:
                tables.unclear.update(found)
                twice.append(row.image)
                continue
            position = found[0] if found else None
        else:
            path = paths.meant(row.image, folders)
            position = None if path is None else paths.images.get(path)
            if position is not None and position not in place.positions:
                elsewhere.append(row.image)
                continue
        if position is None:
            missing.append(row.image)
            continue
        row = row._replace(
            category=row.category or place.record.category, split=row.split or place.record.split
        )
        before = tables.rows.get(position)
        described = Described(row, place.entry)
        if before is not None:
            described = _united(before, described)
            row = described.row
            if described.disputed != before.disputed:
                twice.append(row.image)
        tables.rows[position] = described
        if row.is_unclear:
            tables.unclear.add(position)
        if row.mask is not None:
            _add_mask(files, position, paths.meant(row.mask, folders), row, tables, paths)
    tables.unmatched += len(missing)
    note_missing(files, place.entry, sorted(set(missing)))
    for rows, what in (
        (
            twice,
            "in contradiction to another row of the same image, or with names of several images",
        ),
        (elsewhere, "about images of another split or category than the path of the table"),
    ):
        if rows:
            named = ", ".join(map(shown, rows[:_MOST_NAMED]))
            add_detail(
                files,
                place.entry,
                f"{counted(len(rows), 'row')} {what}: {named}",
                "malformed_table",
            )


def _united(one: Described, other: Described) -> Described:
    """Unite two rows of one image; values about which they disagree are dropped, also in later rows."""
    first, second = one.row, other.row
    disputed = set(one.disputed)
    values: dict[str, Any] = {}
    for name in ("category", "split", "label"):
        disputed |= _disputed(name, getattr(first, name), getattr(second, name))
        found = getattr(first, name) or getattr(second, name)
        values[name] = None if name in disputed else found
    is_same = disputed == one.disputed
    types = {each for each in (first.defect_type, second.defect_type) if each is not None}
    values["defect_type"] = types.pop() if len(types) == 1 else UNSPECIFIED if types else None
    shapes = [json.loads(each) for each in (first.shapes, second.shapes) if each is not None]
    values["shapes"] = json.dumps([*chain(*shapes)], ensure_ascii=False) if shapes else None
    values["mask"] = second.mask
    drawn_on = first if first.shapes is not None else second
    values["width"], values["height"] = drawn_on.width, drawn_on.height
    is_unclear = first.is_unclear or second.is_unclear or not is_same
    old, new = (json.loads(each.attributes or "{}") for each in (first, second))
    for name in old.keys() & new.keys():
        disputed |= _disputed(f"{ATTRIBUTES}{name}", old[name], new[name])
    both = {**old, **new}
    values["attributes"] = as_json(
        {name: both[name] for name in both if f"{ATTRIBUTES}{name}" not in disputed}
    )
    row = first._replace(**values, is_unclear=is_unclear)
    return Described(row, other.table, frozenset(disputed))


def _disputed(name: str, one: object, other: object) -> set[str]:
    """Return the name of a value if both rows give it, differently."""
    return {name} if one is not None and other is not None and one != other else set()


def _add_mask(
    files: Files, position: int, path: str | None, row: Row, tables: Tables, paths: _Paths
) -> None:
    """Add the mask that a row names, which is not an image even if it matches a pattern of images."""
    masks = tables.masks.setdefault(position, [])
    if path is None:
        files.stray(str(row.mask), DECLARED_BUT_MISSING, f"the mask of {shown(row.image)}")
        tables.unclear.add(position)
        return
    taken = paths.images.get(path)
    if taken == position:
        tables.unclear.add(position)
        return
    named = paths.others[path] if taken is None else NamedMask(path, files.images[taken][1], None)
    if named not in masks:
        masks.append(named)


def _refuse_shared_masks(files: Files, tables: Tables, paths: _Paths) -> None:
    """Remove masks that rows assign to several images, or that have a row of their own as an image."""
    owners: dict[str, list[int]] = defaultdict(list)
    for position, masks in tables.masks.items():
        for mask in masks:
            owners[mask.entry.path].append(position)
    described = {files.images[position][1].path for position in tables.rows}
    refused = {path for path, found in owners.items() if len(found) > 1 or path in described}
    for position, masks in tables.masks.items():
        if any(mask.entry.path in refused for mask in masks):
            tables.unclear.add(position)
            tables.masks[position] = [each for each in masks if each.entry.path not in refused]
    for path in sorted(refused):
        images = ", ".join(shown(files.images[each][1].meant_path) for each in owners[path][:3])
        why = "is an image with a row of its own" if path in described else "belongs to one image"
        files.stray(path, "ambiguous_mask", f"named as the mask of {images}, but {why}")


def _note_faults(files: Files, entry: FileEntry, table: TableContent) -> None:
    faults = [table.fault] if table.fault else [*table.missing]
    if table.malformed and not table.fault:
        number, sentence = table.malformed[0]
        rows = counted(table.malformed_count, "invalid row")
        faults.append(f"{rows}, such as {number}: {sentence}")
    if faults:
        files.stray(as_text(entry.meant_path), "malformed_table", " ".join(faults))
