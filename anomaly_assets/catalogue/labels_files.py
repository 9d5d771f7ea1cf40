"""Read labels files such as DAGM's `Labels.txt`, and match their rows with the images of the same place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from anomaly_assets.catalogue.declared import Matches, match, merged
from anomaly_assets.catalogue.grouping import Files
from anomaly_assets.catalogue.pairing import Index, Place, place_of
from anomaly_assets.datasets.dagm_labels import parse_labels
from anomaly_assets.datasets.names import as_text, canonical_path, counted, normalized, shown
from anomaly_assets.datasets.record import DeclaredLabels, TableFile
from anomaly_assets.roots.base import (
    TOO_LARGE,
    FileEntry,
    FileTooLargeError,
    FileUnreadableError,
    Root,
    too_large,
)

DECLARED_BUT_MISSING = "declared_but_missing"
"""Reason of a file that a table names and that does not exist."""

MAX_BYTES = 4 * 1024 * 1024
"""Maximum bytes of a labels file: a row of DAGM's takes 30, and parsing needs up to 30 times the file."""

MOST_MISSING = 10_000
"""Maximum number of missing files that are listed per table. Unlimited names took gigabytes."""

_FORMAT = "tab-separated fields: number, 0 or 1, file name"
_LFS_POINTER = b"version https://git-lfs"


@dataclass
class Declared:
    """Evidence of labels files, by the position of an image.

    Attributes:
        label_index_of: 0 for good, 1 for anomalous.
        unclear: Images that a row may be about, or whose labels file has invalid lines.
        unmatched: Number of rows that match no image.
        has_images: Whether a labels file is beside images of its place.
    """

    label_index_of: dict[int, int] = field(default_factory=dict)
    unclear: set[int] = field(default_factory=set)
    unmatched: int = 0
    has_images: bool = False


class _Read(NamedTuple):
    record: TableFile
    entry: FileEntry
    labels: DeclaredLabels


def read_labels_files(files: Files, root: Root, index: Index) -> Declared:
    """Read the labels files of a root; what is wrong with them becomes a stray."""
    declared = Declared()
    read: dict[Place, list[_Read]] = defaultdict(list)
    for record, entry in files.tables:
        if record.entry.read != "dagm_labels":
            continue
        declared.has_images |= bool(index.at(place_of(record)))
        content = content_of(files, root, entry, MAX_BYTES)
        if content is None:
            declared.unclear.update(index.at(place_of(record)))
            continue
        labels = parse_labels(content)
        read[place_of(record)].append(_Read(record, entry, labels))
        if labels.malformed_lines:
            declared.unclear.update(index.at(place_of(record)))
            files.stray(entry.meant_path, "malformed_labels", _malformed(labels, content))
    for unusable in files.unusable:
        if isinstance(unusable, TableFile):
            declared.unclear.update(index.at(place_of(unusable)))
    if read:
        _match(files, index, read, declared)
    return declared


def content_of(files: Files, root: Root, entry: FileEntry, most_bytes: int) -> bytes | None:
    """Return the content of a table; None if it cannot be read, which becomes a stray."""
    try:
        if entry.size_bytes > most_bytes:
            raise too_large(entry.path, most_bytes)
        return root.read(entry.path, entry.version, most_bytes)
    except (FileTooLargeError, FileUnreadableError) as error:
        is_large = isinstance(error, FileTooLargeError)
        files.stray(entry.meant_path, TOO_LARGE if is_large else "unreadable_labels", str(error))
        return None


class _Folded(Container[str]):
    """The paths of all files of a root, folded; computed only if a row matches no image exactly."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._strays = [*files.strays]

    def __contains__(self, path: object) -> bool:
        return path in self._paths

    @cached_property
    def _paths(self) -> frozenset[str]:
        strays = map(canonical_path, self._strays)
        return frozenset(path.casefold() for path in (*self._files.listed(), *strays))


def _match(files: Files, index: Index, read: dict[Place, list[_Read]], declared: Declared) -> None:
    listed = _Folded(files)
    names = {category for category, *_ in files.images.traits if category}
    others = {each.casefold() for each in (*files.dataset.folders, *names)}
    for place, of_place in read.items():
        positions: dict[str, list[int]] = defaultdict(list)
        found = index.at(place)
        for position, path in zip(found, files.images.names_at(found), strict=True):
            positions[path.rpartition("/")[2]].append(position)
        own = [name for name, found in positions.items() if len(found) == 1]
        folder = as_text(of_place[0].record.relative_path.rsplit("/", 2)[0])
        matches = match(
            merged(each.labels for each in of_place),
            frozenset(own),
            folder,
            listed,
            others.difference(folder.casefold().split("/")),
        )
        for each in of_place:
            _note_rows(files, each, matches, listed, bool(positions))
        for name, label_index in matches.label_index_of.items():
            declared.label_index_of[positions[name][0]] = label_index
        declared.unclear.update(positions[name][0] for name in matches.unclear)
        declared.unmatched += len(matches.unmatched)
        if not matches.label_index_of and (matches.unmatched or matches.ambiguous):
            declared.unclear.update(index.at(place))


def _note_rows(
    files: Files,
    read: _Read,
    matches: Matches,
    listed: Container[str],
    has_images: bool,
) -> None:
    """Add strays for declared images that do not exist, and for a file none of whose images exists."""
    if not (matches.ambiguous or matches.unmatched):
        return
    folder = as_text(read.record.relative_path.rsplit("/", 2)[0])
    own_folder = as_text(read.entry.canonical_path.rsplit("/", 2)[0])
    rows = [normalized(each) for each in read.labels.label_index_of]
    source = f"named in {shown(read.entry.meant_path)}"
    for row in rows:
        if row in matches.ambiguous and (path := f"{own_folder}/{row}") not in files.strays:
            similar = ", ".join(map(shown, matches.ambiguous[row][:3]))
            files.stray(path, DECLARED_BUT_MISSING, f"{source}; similar to {similar}")
    unmatched = frozenset(matches.unmatched)
    missing = [
        path
        for row in rows
        if row in unmatched
        and f"{folder}/{row}".casefold() not in listed
        and (path := f"{own_folder}/{row}").casefold() not in listed
    ]
    note_missing(files, read.entry, missing)
    if has_images and rows and unmatched.issuperset(rows):
        named = counted(len(rows), "image")
        add_detail(files, read.entry, f"names {named}, of which none is there")


def note_missing(files: Files, entry: FileEntry, paths: Sequence[str]) -> None:
    """Add paths that a table names and that do not exist as strays, up to `MOST_MISSING` of them."""
    for path in paths[:MOST_MISSING]:
        if as_text(path) not in files.strays:  # a file that is there has its own reason
            files.stray(path, DECLARED_BUT_MISSING, f"named in {shown(entry.meant_path)}")
    if (more := len(paths) - MOST_MISSING) > 0:
        add_detail(files, entry, f"names {more:,} more that are missing")


def add_detail(
    files: Files, entry: FileEntry, detail: str, reason: str = DECLARED_BUT_MISSING
) -> None:
    """Add a sentence about the rows of a table to its stray."""
    path = as_text(entry.meant_path)
    reason, before = files.strays.get(path, (reason, None))
    files.stray(entry.meant_path, reason, f"{before}; {detail}" if before else detail)


def _malformed(labels: DeclaredLabels, content: bytes) -> str:
    """Return which lines of a labels file are invalid, and how to correct them."""
    lines = labels.malformed_lines
    text = f"{counted(len(lines), 'invalid line')}: {', '.join(map(str, lines[:20]))}"
    if labels.encodings:
        text += f" (encodings tried: {', '.join(each.upper() for each in labels.encodings)})"
    if content.startswith(_LFS_POINTER):
        return f"{text}; the file is a pointer of Git LFS: run git lfs pull"
    return f"{text}; write lines of {_FORMAT}"
