"""Group the files of a root by kind; every file that is none of them becomes a stray with a reason."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator

import numpy as np

from anomaly_assets.catalogue.copies import (
    TREE,
    Copy,
    Tree,
    folder_around,
    in_own_category,
    in_tree,
    trees_that_differ,
)
from anomaly_assets.catalogue.empty_root import LINKS
from anomaly_assets.catalogue.entries import Entries
from anomaly_assets.catalogue.groups import Group, Images
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.classify import Classifier
from anomaly_assets.datasets.names import as_text, shown, spelled
from anomaly_assets.datasets.record import (
    Ignored,
    ImageFile,
    MaskFile,
    Placed,
    Record,
    Stray,
    TableFile,
)
from anomaly_assets.roots.base import FileEntry, Root


def grouped(dataset: SourceDataset, classifier: Classifier, root: Root, entries: Entries) -> Files:
    """Group the files by kind; files with one canonical path and different content are kept apart.

    Args:
        dataset: The source dataset.
        classifier: Its patterns, exact or ignoring case.
        root: The root.
        entries: Its files.
    """
    apart: set[Tree] = set()
    while True:
        files = Files(dataset, classifier, entries, root.follows_links, apart)
        differing = trees_that_differ(root, files.copies)
        if differing <= apart:
            return files
        apart |= differing


class Files:
    """Files of one root, grouped by kind.

    Attributes:
        dataset: The source dataset.
        classifier: Its patterns.
        entries: All files.
        follows_links: Whether symbolic links may leave the root.
        apart: Folders whose files are no copies of others, although they have canonical paths in common.
        images: Images in the order of their paths; so are masks and tables.
        unusable: Masks and tables that cannot be read.
        strays: Map of the path of a stray file to its reason and its detail.
        stray_entries: Map of a canonical path to the file, for strays that a table may name.
        copies: Files whose canonical path is taken.
        ignored: Number of junk files.
    """

    def __init__(
        self,
        dataset: SourceDataset,
        classifier: Classifier,
        entries: Entries,
        follows_links: bool = False,
        apart: Collection[Tree] = (),
    ) -> None:
        self.dataset = dataset
        self.classifier = classifier
        self.entries = entries
        self.follows_links = follows_links
        self.apart = apart
        fields = classifier.shared_fields
        self.images = Images(self, [(*each, TREE) for each in fields] if apart else fields)
        self.masks: Group[MaskFile] = Group(self)
        self.tables: list[tuple[TableFile, FileEntry]] = []
        self.unusable: list[MaskFile | TableFile] = []
        self.strays: dict[str, tuple[str, str | None]] = {}
        self.stray_entries: dict[str, FileEntry] = {}
        self.copies: list[Copy] = []
        self.ignored = 0
        self._placed, hashes = array("q"), array("q")
        tables, unused = array("q"), array("q")
        records: list[Stray | Placed] = []
        for position, (path, problem) in enumerate(entries.with_problems()):
            record = self._record(path)
            if isinstance(record, Ignored):
                self.ignored += 1
                continue
            if isinstance(record, Stray) or problem:
                unused.append(position)
                records.append(record)
                continue
            self._placed.append(position)
            hashes.append(hash(as_text(record.relative_path)))
            if isinstance(record, ImageFile):
                self.images.append(position, record)
            elif isinstance(record, MaskFile):
                self.masks.append(position, record)
            else:
                tables.append(position)
        for (path, entry), record in zip(entries.at(unused), records, strict=True):
            self._add_unused(path, entry, record)
        again = self._named_again(hashes)
        self.images = self.images.without(again)
        self.masks = self.masks.without(again)
        for position in tables:
            if position not in again:
                path, entry = entries[position]
                record = self._record(path)
                assert isinstance(record, TableFile)
                self.tables.append((record, entry))

    def record(self, path: str) -> Placed:
        """Return the record of a file that is an image, a mask or a table."""
        record = self._record(path)
        assert not isinstance(record, (Stray, Ignored))
        return record

    def _record(self, path: str) -> Record:
        record = self.classifier.classify(path)
        if not self.apart or isinstance(record, (Stray, Ignored)):
            return record
        around = folder_around(path, record)
        is_apart = (around, record.category) in self.apart
        record = in_own_category(record, around) if is_apart else record
        return in_tree(record, around if is_apart else "")

    def _named_again(self, hashes: array[int]) -> set[int]:
        """Return the positions of files whose canonical path is taken by an earlier one."""
        values = np.frombuffer(hashes, np.int64)
        order = np.argsort(values, kind="stable")
        same = np.flatnonzero(values[order[1:]] == values[order[:-1]])
        suspects = sorted({*order[same].tolist(), *order[same + 1].tolist()})
        first: dict[str, tuple[str, FileEntry]] = {}
        again: set[int] = set()
        for position in (self._placed[each] for each in suspects):
            path, entry = self.entries[position]
            record = self.record(path)
            name = as_text(record.relative_path)
            if name in first:
                self._add_again(path, entry, record, *first[name])
                again.add(position)
            else:
                first[name] = path, entry
        return again

    def listed(self) -> Iterator[str]:
        """Yield the canonical paths of the files that are used."""
        for path, _ in self.entries.at(self._placed):
            yield as_text(self.record(path).relative_path)

    def stray(self, path: str, reason: str, detail: str | None = None) -> None:
        """Add a stray file."""
        path = as_text(path)
        if path in self.strays and detail is None:
            detail = "listed more than once"
        self.strays[path] = (reason, detail)

    def _add_unused(self, path: str, entry: FileEntry, record: Stray | Placed) -> None:
        if isinstance(record, Stray):
            self._add_stray(path, entry, record)
            return
        if not isinstance(record, ImageFile):
            self.unusable.append(record)
        self.stray(entry.meant_path, str(entry.problem), self._remedy(entry, is_used=True))

    def _add_stray(self, path: str, entry: FileEntry, record: Stray) -> None:
        # A stray has no id and no mask: a backslash stays part of its name.
        own = entry.meant_path
        as_found = self.classifier.classify(own) if "\\" in own else record
        named = as_found if isinstance(as_found, Stray) else record
        if entry.problem:
            self.stray(own, entry.problem, self._remedy(entry, is_used=False))
            return
        reason = named.reason
        if reason == "unrecognised_path" and isinstance(
            self.dataset.loose_classifier.classify(path), Placed
        ):
            reason = "other_case"
        self.stray_entries[path] = entry
        if reason == "unsupported_suffix":  # its image has a mask, which cannot be read
            self.unusable += self.classifier.masks(named.relative_path, any_suffix=True)
        self.stray(own, reason, named.detail)

    def _remedy(self, entry: FileEntry, *, is_used: bool) -> str | None:
        """Return the setting that reads a symbolic link; None for other problems.

        Args:
            entry: The file, with a problem.
            is_used: Whether the layout uses a file of this name; a linked folder may contain such files.
        """
        is_folder = entry.problem == "linked_folder"
        if entry.problem not in LINKS or not (is_used or is_folder):
            return None
        if self.follows_links:
            return "it leads to a folder that is listed already, or to one around the root"
        follow = f"{self.dataset.links_variable}=follow reads it"
        return f"{follow} if it leads out of the root" if is_folder else follow

    def _add_again(
        self, path: str, entry: FileEntry, record: Placed, first_path: str, first: FileEntry
    ) -> None:
        """Add a file whose canonical path is taken by another one."""
        tree = folder_around(path, record), record.category
        meant = self.classifier.classify(first_path)
        if isinstance(meant, Placed) and tree[0] != folder_around(first_path, meant):
            self.copies.append(Copy(tree, entry, first, isinstance(record, ImageFile)))
            self.stray(
                entry.meant_path, "duplicate_path", f"also found as {shown(first.meant_path)}"
            )
        else:
            detail = f"the same name as {spelled(first.meant_path)}, which is taken"
            self.stray(entry.meant_path, "ambiguous_name", detail)
