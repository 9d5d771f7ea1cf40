"""Read tables (CSV, JSON, COCO), and find the image of each row by its path or its name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from anomaly_assets.catalogue.grouping import Files
from anomaly_assets.catalogue.labels_files import (
    DECLARED_BUT_MISSING,
    add_detail,
    content_of,
    counted,
    note_missing,
)
from anomaly_assets.catalogue.pairing import Index, place_of
from anomaly_assets.datasets.names import as_text, shown
from anomaly_assets.datasets.record import TableFile
from anomaly_assets.datasets.table_rows import MAX_BYTES, Row, TableContent, read_table
from anomaly_assets.datasets.words import UNSPECIFIED
from anomaly_assets.roots.base import FileEntry, Root

_MOST_NAMED = 3


class Described(NamedTuple):
    """Row of a table about an image, and the table."""

    row: Row
    table: FileEntry


@dataclass
class Tables:
    """Evidence of tables, by the position of an image.

    Attributes:
        rows: The row about an image, if there is one.
        masks: Masks that rows name, each with its path.
        unclear: Images whose table cannot be used.
        notes: Sentences for the log of a run.
        unmatched: Number of rows that match no image.
    """

    rows: dict[int, Described] = field(default_factory=dict)
    masks: dict[int, list[tuple[str, FileEntry]]] = field(default_factory=dict)
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
        positions = index.at(place_of(record))
        content = content_of(files, root, entry, MAX_BYTES[record.entry.read])
        if content is None:
            tables.unclear.update(positions)
            continue
        table = read_table(content, record.entry, files.dataset.declaration.words)
        _note_faults(files, entry, table)
        if table.fault:
            tables.unclear.update(positions)
            continue
        tables.notes += [f"{shown(entry.meant_path)}: {note}" for note in table.notes]
        paths = paths or _Paths(files)
        _add(files, _Place(record, entry, positions), table, tables, paths)
    return tables


class _Place(NamedTuple):
    record: TableFile
    entry: FileEntry
    positions: Sequence[int]


class _Paths:
    """Files of a root by their paths: images by position, all others by entry."""

    def __init__(self, files: Files) -> None:
        self.images: dict[str, int] = {}
        self.others: dict[str, FileEntry] = dict(files.stray_entries)
        for position, (image, entry) in enumerate(files.images):
            self.images[entry.canonical_path] = position
            self.images[image.relative_path] = position
        for mask, entry in files.masks:
            self.others[entry.canonical_path] = entry
            self.others[mask.relative_path] = entry
        self._folded: Mapping[str, list[str]] | None = None

    def meant(self, path: str, folders: Sequence[str]) -> str | None:
        """Return the path of the file that a table names, below the root or one of some folders."""
        tried = [f"{folder}/{path}" if folder else path for folder in ("", *folders)]
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


def _add(files: Files, place: _Place, table: TableContent, tables: Tables, paths: _Paths) -> None:
    allowed = frozenset(place.positions)
    by_name = _by_name(files, place.positions) if place.record.entry.match == "name" else {}
    table_folder = place.record.relative_path.rpartition("/")[0]
    own = [table_folder, place.entry.canonical_path.rpartition("/")[0], place.record.category or ""]
    folders = [folder for folder in dict.fromkeys(own) if folder]
    missing: list[str] = []
    twice: list[str] = []
    for row in table.rows:
        if place.record.entry.match == "name":
            found = by_name.get(row.image.rpartition("/")[2], ())
            position = found[0] if len(found) == 1 else None
            tables.unclear.update(found if len(found) > 1 else ())
        else:
            path = paths.meant(row.image, folders)
            position = None if path is None else paths.images.get(path)
        if position is None:
            missing.append(row.image)
        elif position in allowed:
            before = tables.rows.get(position)
            both = row if before is None else _united(before.row, row)
            if both is None:
                twice.append(row.image)
                tables.unclear.add(position)
                continue
            tables.rows[position] = Described(both, place.entry)
            if row.mask is not None:
                _add_mask(files, position, paths.meant(row.mask, folders), row, tables, paths)
    tables.unmatched += len(missing)
    note_missing(files, place.entry, sorted(set(missing)))
    if twice:
        named = ", ".join(map(shown, twice[:_MOST_NAMED]))
        rows = counted(len(twice), "row")
        detail = f"{rows} left out, because another one of the same image differs: {named}"
        add_detail(files, place.entry, detail)


def _united(one: Row, other: Row) -> Row | None:
    """Return two rows of one image as one, such as two defects; None if they contradict each other."""
    if one[1:4] != other[1:4] or one.shapes != other.shapes:
        return None
    if one.defect_type == other.defect_type:
        return one
    return one._replace(defect_type=UNSPECIFIED)


def _add_mask(
    files: Files, position: int, path: str | None, row: Row, tables: Tables, paths: _Paths
) -> None:
    """Add the mask that a row names, which is no image even if it matches a pattern of images."""
    masks = tables.masks.setdefault(position, [])
    if path is None:
        files.stray(str(row.mask), DECLARED_BUT_MISSING, f"the mask of {shown(row.image)}")
        tables.unclear.add(position)
        return
    taken = paths.images.get(path)
    entry = paths.others[path] if taken is None else files.images[taken][1]
    if taken != position and (path, entry) not in masks:
        masks.append((path, entry))


def _by_name(files: Files, positions: Sequence[int]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for position in positions:
        found[files.images[position][0].relative_path.rpartition("/")[2]].append(position)
    return found


def _note_faults(files: Files, entry: FileEntry, table: TableContent) -> None:
    if table.fault:
        files.stray(entry.meant_path, "malformed_table", table.fault)
    elif table.malformed:
        number, sentence = table.malformed[0]
        rows = counted(table.malformed_count, "row")
        detail = f"{rows} not understood, such as {number}: {sentence}"
        files.stray(as_text(entry.meant_path), "malformed_table", detail)
