"""Define one record class for each kind of file below a root.

A layout turns a relative path into exactly one of these records, without opening the file. Paths use
`/` and never start with it. `relative_path` in a record is *canonical*, without the extra folders
that some distributions put around the dataset. So the same image has the same path (and therefore the
same `image_id`) in every copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "test", "validation", "unassigned"]
Label: TypeAlias = Literal["good", "anomalous"]

UNKNOWN = "unknown"
"""Label of an image without any evidence."""

UNSPECIFIED = "unspecified"
"""Defect type of an anomalous image in a layout without defect types."""

PairKey: TypeAlias = tuple[str, str, str, str]
"""Category, split, defect folder and stem, which a mask and its image share."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file.

    Attributes:
        relative_path: Canonical path below the root.
        category: Category, the unit of training and testing.
        split: The split that the source ships.
        folder: The folder that names the defect type; empty if none does.
        stem: File stem, which its mask shares within category, split and folder.
        label: Label by the path; None if the path has none.
    """

    relative_path: str
    category: str
    split: Split
    folder: str
    stem: str
    label: Label | None

    @property
    def pair_key(self) -> PairKey:
        """Return the key that this image shares with its mask."""
        return (self.category, self.split, self.folder, self.stem)


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A ground-truth mask; all fields but the path equal those of its image."""

    relative_path: str
    category: str
    split: Split
    folder: str
    stem: str

    @property
    def pair_key(self) -> PairKey:
        """Return the key that this mask shares with its image."""
        return (self.category, self.split, self.folder, self.stem)


@dataclass(frozen=True, slots=True)
class LabelsFile:
    """A file that declares the labels of one category and split, such as DAGM's `Labels.txt`."""

    relative_path: str
    category: str
    split: Split


@dataclass(frozen=True, slots=True)
class Ignored:
    """A junk file that any copy of a dataset may have."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that belongs to no image.

    Attributes:
        relative_path: Path below the root.
        reason: Why, as one of a few words.
        detail: A sentence for people, if more can be said.
    """

    relative_path: str
    reason: str
    detail: str | None = None


Record: TypeAlias = ImageFile | MaskFile | LabelsFile | Ignored | Stray


@dataclass(frozen=True, slots=True)
class DeclaredLabels:
    """Labels declared by a `Labels.txt`.

    Attributes:
        label_index_of: File name of an image (as written) to 0 (good) or 1 (anomalous).
        malformed_lines: Numbers (from 1) of the lines that could not be parsed.
        encodings: Encodings that were tried, if some bytes are text in none of them; else empty.
    """

    label_index_of: Mapping[str, int]
    malformed_lines: tuple[int, ...] = ()
    encodings: tuple[str, ...] = ()


IMAGE_SUFFIX = ".png"
"""Suffix of the images of both official datasets, in lower case."""

_JUNK_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
_JUNK_STEMS = frozenset({"readme", "license", "licence"})
_UNSAFE_FOLDERS = frozenset({"", ".", ".."})
_JUNK_FOLDERS = frozenset({"__macosx", "$recycle.bin", "system volume information"})


def is_junk(parts: list[str]) -> bool:
    """Return whether a file belongs to an operating system, an archive or the documentation.

    Hidden files and folders (a leading dot, which covers `.DS_Store` and AppleDouble `._000.png`) are
    junk. An image is never junk because of its stem alone.
    """
    for part in parts:  # a generator takes twice as long, and this runs for every file
        if part[:1] == "." or part.casefold() in _JUNK_FOLDERS:
            return True
    name = parts[-1].casefold()
    stem, _, suffix = name.partition(".")
    return name in _JUNK_NAMES or (stem in _JUNK_STEMS and suffix in ("", "txt", "md", "pdf"))


def is_unsafe(parts: list[str]) -> bool:
    """Return whether the path is absolute or contains `.` or `..`, as in archives and stores.

    This package never opens such a path, but an export could write outside its folder.
    """
    return not _UNSAFE_FOLDERS.isdisjoint(parts[:-1])


def split_name(name: str) -> tuple[str, str]:
    """Split a file name into stem and lower-case suffix (with its dot, or empty)."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix.lower()) if dot and stem else (name, "")


def mask_stem(stem: str, ending: str) -> str:
    """Return the stem of the image of a mask: the mask's stem without its ending."""
    return (
        stem[: -len(ending)] if stem.lower().endswith(ending) and len(stem) > len(ending) else stem
    )
