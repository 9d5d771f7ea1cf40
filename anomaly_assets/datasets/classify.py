"""Classify paths by a declaration.

A path gives exactly one record: junk, a stray file, a table, a mask or an image. The patterns are tried in
this order, and first without a wrapping folder. `relative_path` in a record is without that folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from anomaly_assets.datasets.declaration import (
    Declaration,
    Entry,
    ImageEntry,
    MaskEntry,
    StrayEntry,
    TableEntry,
)
from anomaly_assets.datasets.names import normalized
from anomaly_assets.datasets.pattern_text import ANY_SUFFIX
from anomaly_assets.datasets.patterns import Matcher, Texts, Vocabulary, folded
from anomaly_assets.datasets.record import (
    UNSPECIFIED,
    Ignored,
    Label,
    Split,
    Stray,
    is_junk,
    is_unsafe,
    split_name,
)


class DeclaredImage(NamedTuple):
    """An image by a declaration.

    Attributes:
        relative_path: Canonical path below the root.
        category: Category by the path; None if the path has none. So are the others.
        split: Split by the path.
        label: Label by the path.
        defect_type: Type of the defect by the path; `unspecified` for a word that means anomalous.
        texts: Text of each placeholder, which masks and rows of tables share.
        entry: Pattern and values.
    """

    relative_path: str
    category: str | None
    split: Split | None
    label: Label | None
    defect_type: str | None
    texts: Texts
    entry: ImageEntry


class DeclaredMask(NamedTuple):
    """A mask by a declaration; the attributes are those of `DeclaredImage`."""

    relative_path: str
    category: str | None
    split: Split | None
    label: Label | None
    defect_type: str | None
    texts: Texts
    entry: MaskEntry


class DeclaredTable(NamedTuple):
    """A table by a declaration; what its path gives restricts its rows."""

    relative_path: str
    category: str | None
    split: Split | None
    label: Label | None
    defect_type: str | None
    texts: Texts
    entry: TableEntry


DeclaredRecord: TypeAlias = DeclaredImage | DeclaredMask | DeclaredTable | Stray | Ignored


class Classifier:
    """Compiled patterns of a declaration.

    Args:
        declaration: The declaration.
        ignore_case: Whether folders and words of splits match in any case.
    """

    def __init__(self, declaration: Declaration, *, ignore_case: bool = False) -> None:
        words = declaration.words
        vocabulary = Vocabulary(
            exact={"split": frozenset(words.split_of)},
            folded={"label": frozenset(words.label_of)},
        )
        groups: tuple[tuple[Entry, ...], ...] = (
            declaration.strays,
            declaration.tables,
            declaration.masks,
            declaration.images,
        )
        self._compiled = [
            _Compiled(
                entry,
                Matcher(entry.pattern, vocabulary, ignore_case=ignore_case),
                declaration,
                ignore_case,
            )
            for group in groups
            for entry in group
        ]
        self._most = max((each.matcher.fewest for each in self._compiled), default=0) + 1
        self._by_count: dict[int, list[_Compiled]] = {
            count: [each for each in self._compiled if each.matcher.fits(count)]
            for count in range(self._most + 1)
        }
        self._folders_around = declaration.folders_around
        self._ignore_case = ignore_case

    def classify(self, path: str) -> DeclaredRecord:
        """Classify the file at `path` (relative to the root, `/` between parts).

        Args:
            path: Any relative path; an unknown path gives a `Stray`.

        Returns:
            One record. Never raises.
        """
        path = normalized(path)
        parts = path.split("/")
        if is_unsafe(parts):
            return Stray(path, "unsafe_path")
        if is_junk(parts):
            return Ignored()
        parts[-1], suffix = split_name(parts[-1])
        unsupported: str | None = None
        relative_path = path
        for folders in range(self._folders_around + 1):
            if folders:
                # A second folder around is cut off only if it has the name of the one below it.
                if len(parts) < 2 or (folders == 2 and not self._is_doubled(parts)):
                    break
                relative_path = relative_path[len(parts[0]) + 1 :]
                del parts[0]
            for compiled in self._by_count[min(len(parts), self._most)]:
                texts = compiled.matcher.match(parts)
                if texts is None:
                    continue
                if compiled.suffixes is None or suffix in compiled.suffixes:
                    return compiled.record(relative_path, texts)
                if unsupported is None and compiled.is_picture:
                    unsupported = relative_path
        if unsupported is not None:
            return Stray(unsupported, "unsupported_suffix")
        return Stray(path, "unrecognised_path")

    def _is_doubled(self, parts: list[str]) -> bool:
        if self._ignore_case:
            return folded(parts[0]) == folded(parts[1])
        return parts[0] == parts[1]


class _Compiled:
    """A compiled entry: its matcher, its suffixes, and the values of its records."""

    def __init__(
        self, entry: Entry, matcher: Matcher, declaration: Declaration, ignore_case: bool
    ) -> None:
        self.entry = entry
        self.matcher = matcher
        self.suffixes = _suffixes(entry, declaration)
        self.is_picture = isinstance(entry, (ImageEntry, MaskEntry))
        words = declaration.words
        self._label_of = words.label_of
        self._split_of: Mapping[str, Split] = words.split_of
        self._ignore_case = ignore_case
        if ignore_case:
            self._split_of = {folded(word): split for word, split in words.split_of.items()}
        fields = entry.pattern.fields
        self._has_category = "category" in fields
        self._has_split = "split" in fields
        self._has_label = "label" in fields
        self._has_defect = "defect_type" in fields

    def record(self, relative_path: str, texts: Texts) -> DeclaredRecord:
        """Return the record of a path that matches."""
        entry = self.entry
        if isinstance(entry, StrayEntry):
            return Stray(relative_path, entry.reason)
        category = texts["category"] if self._has_category else None
        if entry.category is not None:
            category = entry.category.filled(texts)
        split = entry.split
        if self._has_split:
            word = texts["split"]
            split = self._split_of[folded(word) if self._ignore_case else word]
        label = self._label_of[folded(texts["label"])] if self._has_label else entry.label
        defect_type = None
        if self._has_defect:
            defect_type = texts["defect_type"]
        elif entry.defect_type is not None:
            defect_type = entry.defect_type.filled(texts)
        if defect_type is not None:
            meant = self._label_of.get(folded(defect_type))
            label = label or meant or "anomalous"
            if label == "good":
                defect_type = None
            elif meant is not None:
                defect_type = UNSPECIFIED
        values = (relative_path, category, split, label, defect_type, texts)
        if isinstance(entry, ImageEntry):
            return DeclaredImage(*values, entry)
        if isinstance(entry, MaskEntry):
            return DeclaredMask(*values, entry)
        assert isinstance(entry, TableEntry)
        return DeclaredTable(*values, entry)


def _suffixes(entry: Entry, declaration: Declaration) -> frozenset[str] | None:
    """Return the suffixes of the files of an entry; None for any suffix."""
    suffix = entry.pattern.suffix
    if suffix == ANY_SUFFIX:
        return None
    if suffix is not None:
        return frozenset({suffix})
    if isinstance(entry, (StrayEntry, TableEntry)):
        return None
    if isinstance(entry, MaskEntry) and entry.read == "labelme":
        return frozenset({".json"})
    return declaration.suffixes
