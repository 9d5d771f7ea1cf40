"""Classify paths by a declaration.

A path gives exactly one record: junk, a stray file, a table, a mask or an image. The patterns are tried in
this order, and first without a wrapping folder. `relative_path` in a record is without that folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

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
    Ignored,
    ImageFile,
    MaskFile,
    Record,
    Stray,
    TableFile,
    in_junk_folder,
    is_junk_name,
    is_unsafe,
    split_name,
)
from anomaly_assets.datasets.words import UNSPECIFIED, Label, Split

_DOUBLED = 2
"""A second folder around the dataset is cut off only if it has the name of the one below it."""


class Classifier:
    """Compiled patterns of a declaration.

    Attributes:
        shared_fields: Fields that masks or tables share with images, each once.

    Args:
        declaration: The declaration.
        ignore_case: Whether folders and words of splits match in any case. Then canonical paths have the
            folders of the pattern in its spelling, so that ids do not depend on the copy.
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
        compiled = [
            _Compiled(
                entry,
                Matcher(entry.pattern, vocabulary, ignore_case=ignore_case),
                declaration,
                ignore_case,
            )
            for group in groups
            for entry in group
        ]
        described = (each for each in compiled if isinstance(each.entry, (MaskEntry, TableEntry)))
        self.shared_fields = [*dict.fromkeys(each.fields for each in described)]
        self._most = max((each.matcher.fewest for each in compiled), default=0) + 1
        self._by_count = [
            _Choice([each for each in compiled if each.matcher.fits(count)], count, ignore_case)
            for count in range(self._most)
        ]
        longer = [each for each in compiled if each.matcher.fits(self._most)]
        self._by_count.append(_Choice(longer, None, ignore_case))
        self._folders_around = declaration.folders_around
        self._last_folder = ("", "")  # nearly every file follows another file of its folder
        self._ignore_case = ignore_case

    def classify(self, path: str) -> Record:
        """Classify the file at `path` (relative to the root, `/` between parts).

        Args:
            path: Any relative path; an unknown path gives a `Stray`.

        Returns:
            One record. Never raises.
        """
        path = normalized(path)
        parts = path.split("/")
        name = parts[-1]
        folder = path[
            : len(path) - len(name)
        ]  # with its slash: "/a.png" is absolute, "a.png" is not
        known, fault = self._last_folder
        if folder != known:
            fault = "unsafe" if is_unsafe(parts) else "junk" if in_junk_folder(parts[:-1]) else ""
            self._last_folder = folder, fault
        if fault == "unsafe":
            return Stray(path, "unsafe_path")
        if fault or is_junk_name(name):
            return Ignored()
        parts[-1], suffix = split_name(name)
        unsupported: str | None = None
        relative_path = path
        for folders in range(self._folders_around + 1):
            if folders:
                if not self._cut_folder(parts, folders):
                    break
                relative_path = "/".join([*parts[:-1], name])
            for compiled in self._by_count[min(len(parts), self._most)].of(parts):
                has_suffix = compiled.suffixes is None or suffix in compiled.suffixes
                if not has_suffix and (unsupported is not None or not compiled.is_picture):
                    continue
                texts = compiled.matcher.match(parts)
                if texts is None:
                    continue
                if has_suffix:
                    if self._ignore_case:
                        relative_path = "/".join([*compiled.matcher.respelled(parts)[:-1], name])
                    return compiled.record(relative_path, texts)
                unsupported = relative_path
        if unsupported is not None:
            return Stray(unsupported, "unsupported_suffix")
        return Stray(path, "unrecognised_path")

    def masks(self, relative_path: str, *, any_suffix: bool = False) -> Iterator[MaskFile]:
        """Yield what a canonical path means by each pattern of masks that it matches, in their order.

        Args:
            relative_path: The path, without folders around the dataset.
            any_suffix: Whether the suffix does not matter.
        """
        *folders, name = relative_path.split("/")
        stem, suffix = split_name(name)
        parts = [*folders, stem]
        for compiled in self._by_count[min(len(parts), self._most)].of(parts):
            if not isinstance(compiled.entry, MaskEntry):
                continue
            suffixes = None if any_suffix else compiled.suffixes
            if suffixes is not None and suffix not in suffixes:
                continue
            texts = compiled.matcher.match(parts)
            if texts is not None:
                record = compiled.record(relative_path, texts)
                assert isinstance(record, MaskFile)
                yield record

    def _cut_folder(self, parts: list[str], folders: int) -> bool:
        """Cut the first folder off, if there is one that may be around the dataset."""
        if len(parts) < 2:
            return False
        if folders == _DOUBLED:
            first, second = parts[:2]
            if first != second and not (self._ignore_case and folded(first) == folded(second)):
                return False
        del parts[0]
        return True


class _Choice:
    """Entries for paths with one number of parts, by the folder at the place where most name one.

    Args:
        compiled: The entries, in order.
        count: Number of parts; None for all larger ones, whose places differ.
        ignore_case: Whether folders match in any case.
    """

    def __init__(self, compiled: Sequence[_Compiled], count: int | None, ignore_case: bool) -> None:
        self._ignore_case = ignore_case
        self._others: Sequence[_Compiled] = compiled
        self._by_folder: dict[str, list[_Compiled]] = {}
        self._place = 0
        if count is None:
            return
        named = [
            (place % count, folded(text) if ignore_case else text, each)
            for each in compiled
            for place, text in each.matcher.folders
        ]
        if not named:
            return
        self._place = Counter(place for place, _, _ in named).most_common(1)[0][0]
        folder_of = {id(each): text for place, text, each in named if place == self._place}
        self._others = [each for each in compiled if id(each) not in folder_of]
        for folder in set(folder_of.values()):
            self._by_folder[folder] = [
                each for each in compiled if folder_of.get(id(each), folder) == folder
            ]

    def of(self, parts: Sequence[str]) -> Sequence[_Compiled]:
        """Return the entries that a path can match."""
        if not self._by_folder:
            return self._others
        folder = parts[self._place]
        return self._by_folder.get(folded(folder) if self._ignore_case else folder, self._others)


class _Compiled:
    """A compiled entry: its matcher, its suffixes, and the values of its records."""

    def __init__(
        self, entry: Entry, matcher: Matcher, declaration: Declaration, ignore_case: bool
    ) -> None:
        self.entry = entry
        self.matcher = matcher
        self.suffixes = suffixes_of(entry, declaration)
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
        self.fields = (
            *fields,
            *(["category"] if entry.category and not self._has_category else []),
            *(["split"] if entry.split and not self._has_split else []),
            *(["=label"] if entry.label else []),
            *(["=defect_type"] if entry.defect_type else []),
        )

    def record(self, relative_path: str, texts: Texts) -> Record:
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
        if isinstance(entry, (MaskEntry, TableEntry)):
            if entry.label is not None:
                texts["=label"] = entry.label
            if entry.defect_type is not None:
                texts["=defect_type"] = entry.defect_type.filled(texts)
            if isinstance(entry, MaskEntry):
                return MaskFile(relative_path, category, split, texts, self.fields, entry)
            return TableFile(relative_path, category, split, texts, self.fields, entry)
        label, defect_type = self._label(texts)
        return ImageFile(relative_path, category, split, label, defect_type, texts)

    def _label(self, texts: Texts) -> tuple[Label | None, str | None]:
        """Return label and type of the defect of an image, by the texts of its path and its entry."""
        entry = self.entry
        label = self._label_of[folded(texts["label"])] if "label" in texts else entry.label
        defect_type = texts.get("defect_type")
        if entry.defect_type is not None:
            defect_type = entry.defect_type.filled(texts)
        if defect_type is None:
            return label, None
        meant = self._label_of.get(folded(defect_type))
        label = label or meant or "anomalous"
        if label == "good":
            return label, None
        return label, defect_type if meant is None else UNSPECIFIED


def suffixes_of(entry: Entry, declaration: Declaration) -> frozenset[str] | None:
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
