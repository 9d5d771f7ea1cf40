"""Define one record class for each kind of file below a root.

A layout turns a relative path into exactly one of these records, without opening the file. Paths use
`/` and never start with it. `relative_path` in a record is *canonical*, without the extra folders
that some distributions put around the dataset. So the same image has the same path (and therefore the
same `image_id`) in every copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from anomaly_assets.datasets.declaration import MaskEntry, TableEntry
from anomaly_assets.datasets.words import Label, Split

Texts: TypeAlias = Mapping[str, str]
"""Text of each placeholder of a pattern, by its name."""

Key: TypeAlias = tuple[str, ...]
"""Values of fields; a mask belongs to the image that has the same ones."""


class ImageFile(NamedTuple):
    """An image file.

    Attributes:
        relative_path: Canonical path below the root.
        category: Category by the path; None if the path names none.
        split: Split by the path, or None.
        label: Label by the path, or None.
        defect_type: Type of the defect by the path, or None; `unspecified` for a word that means anomalous.
        texts: Text of each placeholder.
    """

    relative_path: str
    category: str | None
    split: Split | None
    label: Label | None
    defect_type: str | None
    texts: Texts


class MaskFile(NamedTuple):
    """A ground-truth mask.

    Attributes:
        relative_path: Canonical path below the root.
        category: Category by the path; None if the path names none.
        split: Split by the path.
        texts: Text of each placeholder.
        fields: Names of what the mask and its image share.
        entry: Pattern and options.
    """

    relative_path: str
    category: str | None
    split: Split | None
    texts: Texts
    fields: tuple[str, ...]
    entry: MaskEntry


class TableFile(NamedTuple):
    """A table that describes images in its rows, such as DAGM's `Labels.txt`; see `MaskFile`.

    Its rows describe only images with the same values of `fields`.
    """

    relative_path: str
    category: str | None
    split: Split | None
    texts: Texts
    fields: tuple[str, ...]
    entry: TableEntry


_BY_VALUE = ("=label", "=defect_type")
"""Fields that an entry of masks or tables gives by a value, which the image has by its meaning."""


def value_of(record: ImageFile | MaskFile | TableFile, field: str) -> str | None:
    """Return the value of a field of a record; None if it has none.

    Categories and splits are the normalized ones of the record. All other fields are as they are spelled.
    """
    if field == "category":
        return record.category
    if field == "split":
        return record.split
    if field in _BY_VALUE and isinstance(record, ImageFile):
        return record.label if field == "=label" else record.defect_type
    value = record.texts.get(field)
    if value is None and field == "defect_type" and isinstance(record, ImageFile):
        return record.defect_type
    return value


def key_of(record: ImageFile | MaskFile | TableFile, fields: tuple[str, ...]) -> Key | None:
    """Return the values of these fields of a record; None if it lacks one of them."""
    values = []
    for field in fields:
        value = value_of(record, field)
        if value is None:
            return None
        values.append(value)
    return tuple(values)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A junk file that any copy of a dataset may have."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that belongs to no image.

    Attributes:
        relative_path: Path below the root.
        reason: Why, as one of a few words.
        detail: A sentence with more information, if there is any.
    """

    relative_path: str
    reason: str
    detail: str | None = None


Placed: TypeAlias = ImageFile | MaskFile | TableFile
"""A file with a canonical path."""

Record: TypeAlias = Placed | Ignored | Stray


@dataclass(frozen=True, slots=True)
class DeclaredLabels:
    """Labels declared by a `Labels.txt`.

    Attributes:
        label_index_of: Map of the file name of an image (as written) to 0 (good) or 1 (anomalous).
        malformed_lines: Numbers (from 1) of the lines that could not be parsed.
        encodings: Encodings that were tried, if some bytes are text in none of them; else empty.
    """

    label_index_of: Mapping[str, int]
    malformed_lines: tuple[int, ...] = ()
    encodings: tuple[str, ...] = ()


_JUNK_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
_JUNK_STEMS = frozenset({"readme", "license", "licence"})
_UNSAFE_FOLDERS = frozenset({"", ".", ".."})
_JUNK_FOLDERS = frozenset({"__macosx", "$recycle.bin", "system volume information"})


def is_junk(parts: list[str]) -> bool:
    """Return whether a file belongs to an operating system, an archive or the documentation.

    Hidden files and folders (a leading dot, which covers `.DS_Store` and AppleDouble `._000.png`) are
    junk. An image is never junk because of its stem alone.
    """
    return in_junk_folder(parts[:-1]) or is_junk_name(parts[-1])


def in_junk_folder(folders: list[str]) -> bool:
    """Return whether one of these folders is hidden, or belongs to an operating system or an archive."""
    return any(each[:1] == "." or each.casefold() in _JUNK_FOLDERS for each in folders)


def is_junk_name(name: str) -> bool:
    """Return whether a file is junk by its name."""
    if name[:1] == ".":
        return True
    name = name.casefold()
    stem, _, suffix = name.partition(".")
    if name in _JUNK_FOLDERS or name in _JUNK_NAMES:
        return True
    return stem in _JUNK_STEMS and suffix in ("", "txt", "md", "pdf")


def is_unsafe(parts: list[str]) -> bool:
    """Return whether the path is absolute or contains `.` or `..`, as in archives and stores.

    This package never opens such a path, but an export could write outside its folder.
    """
    return not _UNSAFE_FOLDERS.isdisjoint(parts[:-1])


def split_name(name: str) -> tuple[str, str]:
    """Split a file name into stem and lower-case suffix (with its dot, or empty)."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix.lower()) if dot and stem else (name, "")
