"""What one file below a root can be.

A layout turns a relative path into exactly one of these records; it never touches the file. Paths
use `/` and never start with it. `relative_path` in a record is *canonical*: extra folders that some
distributions put around the dataset are cut off, so the same image has the same path (and therefore
the same `image_id`) in every copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "test"]
Label: TypeAlias = Literal["good", "anomalous"]

UNSPECIFIED = "unspecified"
"""Defect type of an anomalous image in a layout that does not say which defect it is."""

PairKey: TypeAlias = tuple[str, str, str, str]
"""Category, split, defect folder and stem: what a mask and its image have in common."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image.

    Attributes:
        relative_path: Canonical path below the root.
        category: What is trained and tested as one.
        split: As the source ships it.
        folder: The folder that names the defect type; empty where none does.
        stem: What its mask is called as well, within category, split and folder.
        label: None where only the mask or `Labels.txt` can tell.
    """

    relative_path: str
    category: str
    split: Split
    folder: str
    stem: str
    label: Label | None

    @property
    def pair_key(self) -> PairKey:
        """What this file has in common with its counterpart."""
        return (self.category, self.split, self.folder, self.stem)


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A ground-truth mask; all but the path are those of the image it belongs to."""

    relative_path: str
    category: str
    split: Split
    folder: str
    stem: str

    @property
    def pair_key(self) -> PairKey:
        """What this file has in common with its counterpart."""
        return (self.category, self.split, self.folder, self.stem)


@dataclass(frozen=True, slots=True)
class LabelsFile:
    """A file that declares labels, such as DAGM's `Labels.txt`, of one category and split."""

    relative_path: str
    category: str
    split: Split


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that every copy of the dataset may carry and nobody misses."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that belongs to no image, and why."""

    relative_path: str
    reason: str


Record: TypeAlias = ImageFile | MaskFile | LabelsFile | Ignored | Stray


@dataclass(frozen=True, slots=True)
class DeclaredLabels:
    """What a `Labels.txt` declares.

    Attributes:
        label_index_of: File name of an image (as written) to 0 (good) or 1 (anomalous).
        malformed_lines: Numbers (from 1) of the lines that could not be understood.
    """

    label_index_of: Mapping[str, int]
    malformed_lines: tuple[int, ...] = ()


IMAGE_SUFFIX = ".png"
"""Of both official datasets."""

_JUNK_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
_JUNK_STEMS = frozenset({"readme", "license", "licence"})
_UNSAFE_FOLDERS = frozenset({"", ".", ".."})
_JUNK_FOLDERS = frozenset({"__macosx", "$recycle.bin", "system volume information"})


def is_junk(parts: list[str]) -> bool:
    """Tell files of operating systems, archives and documentation from data.

    Hidden files and folders (a leading dot, which covers `.DS_Store` and AppleDouble `._000.png`)
    count as junk. An image is never junk because of its stem alone.
    """
    for part in parts:  # a generator would take twice as long, and this is asked of every file
        if part[:1] == "." or part.casefold() in _JUNK_FOLDERS:
            return True
    name = parts[-1].casefold()
    stem, _, suffix = name.partition(".")
    return name in _JUNK_NAMES or (stem in _JUNK_STEMS and suffix in ("", "txt", "md", "pdf"))


def is_unsafe(parts: list[str]) -> bool:
    """Whether the path is absolute or goes through `.` or `..`, as archives and stores can say.

    Here nothing is ever opened by such a name, but somebody may export to where it points.
    """
    return not _UNSAFE_FOLDERS.isdisjoint(parts[:-1])


def split_name(name: str) -> tuple[str, str]:
    """Split a file name into stem and lower-case suffix (with its dot, or empty)."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix.lower()) if dot and stem else (name, "")


def mask_stem(stem: str, ending: str) -> str:
    """Stem of the image that a mask belongs to: the mask's stem without its ending."""
    return (
        stem[: -len(ending)] if stem.lower().endswith(ending) and len(stem) > len(ending) else stem
    )
