"""Find tables whose rows describe images: CSV, lists of objects in JSON, COCO and DAGM's labels."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from anomaly_assets.datasets.names import canonical_path, shown
from anomaly_assets.datasets.text import decode_text
from anomaly_assets.suggesting import unread
from anomaly_assets.suggesting.columns import NAMES, label_of, role_of
from anomaly_assets.suggesting.tree import File, Reader
from anomaly_assets.suggesting.words import is_split, kind_of, squeezed

_MOST_TABLES = 40
_TEXTS = (".csv", ".tsv", ".txt", ".tab")


@dataclass
class Table:
    """Tables with the same columns.

    Attributes:
        files: The files.
        read: Format.
        columns: Name of the column of each role, such as `image` and `label`, as in a declaration.
        match: Whether rows name an image by its path or by its name alone.
        rows: `split` if the rows are in one list per split.
        words: Words for splits and labels in the rows, by their meaning.
        listed: Images that rows name.
        labelled: Whether the table gives a label to all listed images.
        masks: Pictures that rows name as masks.
    """

    files: list[File]
    read: Literal["csv", "json", "coco", "dagm_labels"]
    columns: dict[str, str] = field(default_factory=dict)
    match: Literal["path", "name"] = "path"
    rows: Literal["list", "split"] = "list"
    words: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    listed: set[File] = field(default_factory=set)
    masks: set[File] = field(default_factory=set)

    @property
    def has_split(self) -> bool:
        """Return whether rows have a split."""
        return "split" in self.columns or self.rows == "split"

    @property
    def has_label(self) -> bool:
        """Return whether rows have a label."""
        return "label" in self.columns or "defect_type" in self.columns


class Images:
    """Pictures by path and by name."""

    def __init__(self, pictures: Iterable[File]) -> None:
        self.by_path: dict[str, File] = {}
        names: dict[str, list[File]] = defaultdict(list)
        for picture in pictures:
            path = "/".join([*picture.folders, picture.stem]) + picture.suffix
            self.by_path[path.lower()] = picture
            names[path.rpartition("/")[2].lower()].append(picture)
        self.by_name = {name: found[0] for name, found in names.items() if len(found) == 1}
        self.by_stem = {found.stem.lower(): found for found in self.by_path.values()}

    def of(self, cell: str, match: str) -> File | None:
        """Return the picture that a cell names."""
        path = canonical_path(cell.strip()).lower()
        if match == "path":
            return self.by_path.get(path)
        return self.by_name.get(path.rpartition("/")[2])


def find(
    files: Sequence[File], pictures: Sequence[File], reader: Reader
) -> tuple[list[Table], list[str]]:
    """Return the tables about these pictures, and sentences about files that cannot be used."""
    images = Images(pictures)
    found: list[Table] = []
    sentences: list[str] = []
    for file in files[:_MOST_TABLES]:
        content = reader.content(file)
        if content is None:
            continue
        table = (
            _json(file, content, images) if file.suffix == ".json" else _text(file, content, images)
        )
        if isinstance(table, str):
            sentences.append(table)
        elif table is not None:
            found.append(table)
    return _merged(found), sentences


def candidates(files: Iterable[File]) -> list[File]:
    """Return the files that may be tables, the most usual ones first."""
    order = (".csv", ".tsv", ".json", ".tab", ".txt")
    found = [file for file in files if file.suffix in order]
    return sorted(found, key=lambda file: (order.index(file.suffix), len(file.folders), file.path))


def _text(file: File, content: bytes, images: Images) -> Table | str | None:
    decoded = decode_text(content)
    if not decoded.is_clean:
        return f"{shown(file.path)} is not UTF-8: save it as UTF-8 if it is about images."
    lines = decoded.text.splitlines()
    if file.suffix == ".txt" and file.stem.lower() == "labels" and lines[:1] == ["1"]:
        return Table([file], "dagm_labels")
    rows: list[list[str]] = []
    for separator in (",", ";", "\t", "|"):
        try:
            parsed = list(csv.reader(lines, delimiter=separator))
        except csv.Error:
            continue
        if len(parsed) > 1 and len(parsed[0]) > max(1, len(rows[0]) if rows else 1):
            rows = parsed
    if not rows:
        for cells in (line.split() for line in lines):
            if len(cells) > 1 and any(images.of(cell, "name") for cell in cells):
                return unread.separated_by_spaces(file.path, cells)
        return None
    header, *body = rows
    if any(images.of(cell, "name") for cell in header):
        return f"{shown(file.path)} names images, but has no line with the names of its columns: add one."
    records = [dict(zip(header, row, strict=False)) for row in body if row]
    return _table(file, "csv", records, images)


def _json(file: File, content: bytes, images: Images) -> Table | str | None:
    try:
        value = json.loads(decode_text(content).text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and {"images", "annotations"} <= value.keys():
        return _coco(file, value, images)
    if isinstance(value, list):
        return _table(file, "json", _records(value), images)
    if not isinstance(value, dict):
        return None
    lists = {
        key: each
        for key, each in value.items()
        if isinstance(each, list) and is_split(kind_of(key))
    }
    if not lists:
        return _other_json(file, value, images)
    records = [record for each in lists.values() for record in _records(each)]
    if not records:
        names = (name for each in lists.values() for name in each if isinstance(name, str))
        if any(images.of(name, "name") for name in names):
            return (
                f"{shown(file.path)} lists names by split. Write objects such as "
                '{"image": "a.png"}, or a CSV with the columns image and split.'
            )
        return None
    table = _table(file, "json", records, images, has_split=True)
    if isinstance(table, Table):
        table.rows = "split"
        for key in lists:
            table.words[kind_of(key)].add(key)
    return table


def _other_json(file: File, value: Mapping[str, Any], images: Images) -> str | None:
    """Return a message if an object describes images in a form that cannot be read; else None."""
    if 2 * len(_matched(list(value), images)[1]) > len(value):
        return unread.names_as_keys(file.path)
    for key, rows in value.items():
        if isinstance(rows, list) and _table(file, "json", _records(rows), images):
            return unread.list_in_an_object(file.path, key)
    return None


def _records(values: Iterable[Any]) -> list[dict[str, str]]:
    """Return the objects of a list with their simple values as text."""
    return [
        {
            key: "" if cell is None else str(cell)
            for key, cell in value.items()
            if not isinstance(cell, (dict, list))
        }
        for value in values
        if isinstance(value, dict)
    ]


def _coco(file: File, value: Mapping[str, Any], images: Images) -> Table | None:
    names = [record.get("file_name", "") for record in _records(value["images"])]
    match, listed = _matched(names, images)
    return Table([file], "coco", match=match, listed=listed) if listed else None


def _matched(cells: Sequence[str], images: Images) -> tuple[Literal["path", "name"], set[File]]:
    """Return how cells name images, and the images."""
    by_path = {found for cell in cells if (found := images.of(cell, "path"))}
    by_name = {found for cell in cells if (found := images.of(cell, "name"))}
    return ("name", by_name) if len(by_name) > len(by_path) else ("path", by_path)


def _table(
    file: File,
    read: Literal["csv", "json"],
    records: Sequence[Mapping[str, str]],
    images: Images,
    *,
    has_split: bool = False,
) -> Table | str | None:
    """Return the table of these rows, a sentence if no column is usable; None if no image is named."""
    cells: dict[str, list[str]] = defaultdict(list)
    for record in records:
        for column, cell in record.items():
            if column is not None:
                cells[column].append(cell.strip() if isinstance(cell, str) else "")
    named = {column: _matched(texts, images) for column, texts in cells.items()}
    paths = sorted(
        (
            column
            for column in named
            if 2 * len(named[column][1]) >= len(set(filter(None, cells[column])))
        ),
        key=lambda column: -len(named[column][1]),
    )
    paths = [column for column in paths if named[column][1]]
    if not paths:
        return _without_suffix(file, cells, images)
    image = paths[0]
    match, listed = named[image]
    table = Table([file], read, {"image": image}, match, listed=listed)
    for column in paths[1:]:
        if "mask" not in table.columns and not named[column][1] & listed:
            table.columns["mask"] = column
            table.masks = named[column][1]
    rest = [column for column in cells if column not in table.columns.values()]
    roles = {column: role for column in rest if (role := role_of(column, cells[column]))}
    for role in ("split", "label", "defect_type", "category"):
        usual = NAMES.get(role, "").split()
        found = [column for column in rest if roles.get(column) == role]
        if found:
            table.columns[role] = min(found, key=lambda column: squeezed(column) not in usual)
    if len(table.columns) == 1 and not has_split:
        return unread.no_known_column(file.path, image, cells)
    for role, column in table.columns.items():
        for cell in set(filter(None, cells[column])):
            if role == "split":
                table.words[kind_of(cell)].add(cell)
            elif role in ("label", "defect_type") and (meant := label_of(column, cell)):
                table.words[meant].add(cell)
    return table


def _without_suffix(file: File, cells: Mapping[str, Sequence[str]], images: Images) -> str | None:
    """Return the sentence for a column with names of images without suffix; None if there is none."""
    for column, texts in cells.items():
        stems = {text.rpartition("/")[2]: text for text in texts if text}
        found = [stem for stem in stems if stem.lower() in images.by_stem]
        if found and 2 * len(found) >= len(stems):
            picture = images.by_stem[found[0].lower()]
            return unread.without_suffix(file.path, column, stems[found[0]], picture)
    return None


def _merged(tables: Sequence[Table]) -> list[Table]:
    """Unite tables with the same columns and the same name, in different folders."""
    found: dict[object, Table] = {}
    for table in tables:
        [file] = table.files
        key = (
            table.read,
            file.stem,
            len(file.folders),
            table.match,
            table.rows,
            tuple(table.columns.items()),
        )
        first = found.setdefault(key, table)
        if first is not table:
            first.files += table.files
            first.listed |= table.listed
            first.masks |= table.masks
            for kind, words in table.words.items():
                first.words[kind] |= words
    return list(found.values())
