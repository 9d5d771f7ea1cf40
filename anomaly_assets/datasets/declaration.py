"""Define what a declaration contains: one source dataset as keys and patterns.

`declaration_files.read` builds declarations from TOML; `classify.Classifier` classifies paths with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from anomaly_assets.datasets.attributes import Attribute
from anomaly_assets.datasets.licences import CommercialUse
from anomaly_assets.datasets.pattern_text import Pattern, Template
from anomaly_assets.datasets.words import ANOMALOUS_WORDS, GOOD_WORDS, Label, Split
from anomaly_assets.recipes import Recipe

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg"),
    "bmp": (".bmp",),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
}
"""Suffixes of each format that images may have."""

SPLITS: tuple[Split, ...] = ("train", "test", "validation")

DEFAULT_WORDS: Mapping[str, frozenset[str]] = {
    "good": GOOD_WORDS,
    "anomalous": ANOMALOUS_WORDS,
    "train": frozenset({"train", "training"}),
    "test": frozenset({"test", "testing"}),
    "validation": frozenset({"validation", "valid", "val"}),
}

UNASSIGNED: Split = "unassigned"
"""Default split: for images whose split nothing else defines."""

ATTRIBUTES = "attributes."
"""Start of the name of a cell with an attribute."""

ALL_SPLITS = "all"
"""Key of the numbers in all splits together, if the number in each split is not known."""

SplitCounts: TypeAlias = Mapping[str, tuple[int, int]]
"""Numbers of good and of anomalous images by split; or only those of `all`."""


@dataclass(frozen=True)
class Words:
    """Words with a meaning; those of labels are in lower case, those of splits as written."""

    label_of: Mapping[str, Label]
    split_of: Mapping[str, Split]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A pattern with the values of the files that match it.

    Attributes:
        pattern: Pattern of the path.
        category: Category; None if the pattern or nothing gives it.
        split: Split, or None in the same case.
        label: Label, or None in the same case.
        defect_type: Type of the defect, which means anomalous, or None in the same case.
    """

    pattern: Pattern
    category: Template | None = None
    split: Split | None = None
    label: Label | None = None
    defect_type: Template | None = None


@dataclass(frozen=True, kw_only=True)
class ImageEntry(Entry):
    """A pattern of images."""


@dataclass(frozen=True, kw_only=True)
class MaskEntry(Entry):
    """A pattern of masks.

    Attributes:
        defect: Values of defective pixels: all but zero, zero, some numbers or some colours.
        read: Whether the file is a picture or has the shapes of LabelMe.
        shapes: Labels of the shapes that are defects; empty for all.
    """

    defect: Literal["nonzero", "zero"] | tuple[int, ...] | tuple[str, ...] = "nonzero"
    read: Literal["picture", "labelme"] = "picture"
    shapes: tuple[str, ...] = ()

    @property
    def unites(self) -> bool:
        """Return whether several masks of one image are united."""
        return self.pattern.has_star


@dataclass(frozen=True, kw_only=True)
class TableEntry(Entry):
    """A pattern of tables, which describe images in their rows.

    Attributes:
        read: Format.
        columns: Column of each property of an image.
        match: Whether an image is given by its path or by its name alone.
        rows: `split` if the rows are in one list per split.
        attributes: Column and type of each attribute of images, by name.
    """

    read: Literal["csv", "json", "coco", "dagm_labels"] = "csv"
    columns: Mapping[str, str] = field(default_factory=dict)
    match: Literal["path", "name"] = "path"
    rows: Literal["list", "split"] = "list"
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def cells(self) -> dict[str, str]:
        """Return the column of each property and, after `attributes.`, of each attribute."""
        attributes = {f"{ATTRIBUTES}{name}": each.column for name, each in self.attributes.items()}
        return {**self.columns, **attributes}


@dataclass(frozen=True, kw_only=True)
class StrayEntry(Entry):
    """A pattern of files that are known, and are not read."""

    reason: str = "not_needed"


@dataclass(frozen=True)
class Counts:
    """Published numbers of images, as far as they are known; only one attribute has a value.

    Attributes:
        total: Numbers of good and of anomalous images of the whole dataset.
        category: The same numbers of each category.
        images: Number of all images, good and anomalous.
    """

    total: SplitCounts | None = None
    category: Mapping[str, SplitCounts] = field(default_factory=dict)
    images: int | None = None


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A declared source dataset; its attributes have the names of the keys.

    Attributes:
        name: Name of the table in the TOML file.
        file: The file, as it was given.
        line: Line of the header of the table.
        canonical_json: Every declared key except `root` and `like`, whose keys are included.
        commercial_use: As declared; without the key, what follows from the licence.
        root: Folder, archive or URL; None if the dataset is off.
        category: Default category: for images whose category nothing else defines.
        label: Default label: for images whose label nothing else defines.
        is_built_in: Whether `file` is a file of this package.
        depth: Bits that a 16-bit file uses; None for those that the file names.
        size: Recipes of its tensors besides the common one.
    """

    name: str
    file: str
    line: int | None
    canonical_json: str
    title: str
    licence: str
    citation: str | None
    commercial_use: CommercialUse
    root: str | None
    like: str | None
    category: str
    split: Split
    label: Label | None
    images: tuple[ImageEntry, ...]
    masks: tuple[MaskEntry, ...]
    tables: tuple[TableEntry, ...]
    strays: tuple[StrayEntry, ...]
    formats: tuple[str, ...]
    unmasked: Literal["good", "unknown"]
    words: Words
    depth: int | None
    size: tuple[Recipe, ...]
    links: Literal["inside", "follow"]
    folders_around: Literal[0, 1, 2]
    training_is_good: bool
    counts: Counts | None
    is_built_in: bool = False

    @property
    def place(self) -> str:
        """Return the file and the line of the header, for messages."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of every declared key except `root`."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()

    @cached_property
    def suffixes(self) -> frozenset[str]:
        """Return the suffixes of images, in lower case with their dot."""
        return frozenset(suffix for name in self.formats for suffix in SUFFIXES[name])
