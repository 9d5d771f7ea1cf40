"""Group the files of a root by kind; every file that is none of them becomes a stray with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from anomaly_assets.catalogue.copies import (
    Copy,
    Tree,
    folder_around,
    in_own_category,
    in_tree,
    trees_that_differ,
)
from anomaly_assets.catalogue.empty_root import LINKS
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.classify import Classifier
from anomaly_assets.datasets.names import as_text, shown, spelled
from anomaly_assets.datasets.record import Ignored, ImageFile, MaskFile, Placed, Stray, TableFile
from anomaly_assets.roots.base import FileEntry, Root


def grouped(
    dataset: SourceDataset,
    classifier: Classifier,
    root: Root,
    entries: Sequence[tuple[str, FileEntry]],
) -> Files:
    """Group the files by kind; files with one canonical path and different content are kept apart.

    Args:
        dataset: The source dataset.
        classifier: Its patterns, exact or ignoring case.
        root: The root.
        entries: Its files with their canonical paths, shallow ones first.
    """
    apart: set[Tree] = set()
    while True:
        files = Files(dataset, classifier, root.follows_links, apart)
        for path, entry in entries:
            files.add(path, entry)
        differing = trees_that_differ(root, files.copies)
        if differing <= apart:
            return files
        apart |= differing


@dataclass
class Files:
    """Files of one root, grouped by kind; shallow paths must be added first.

    Attributes:
        dataset: The source dataset.
        classifier: Its patterns.
        follows_links: Whether symbolic links may leave the root.
        apart: Folders whose files are no copies of others, although they have canonical paths in common.
        images: Images in the order of their paths; so are masks and tables.
        unusable: Masks and tables that cannot be read.
        strays: Path of a stray file to its reason and its detail.
        stray_entries: Canonical path to the file, for strays that a table may name.
        copies: Files whose canonical path is taken.
        ignored: Number of junk files.
    """

    dataset: SourceDataset
    classifier: Classifier
    follows_links: bool = False
    apart: set[Tree] = field(default_factory=set)
    images: list[tuple[ImageFile, FileEntry]] = field(default_factory=list)
    masks: list[tuple[MaskFile, FileEntry]] = field(default_factory=list)
    tables: list[tuple[TableFile, FileEntry]] = field(default_factory=list)
    unusable: list[MaskFile | TableFile] = field(default_factory=list)
    strays: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    stray_entries: dict[str, FileEntry] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    ignored: int = 0
    _seen: dict[str, tuple[str, FileEntry]] = field(default_factory=dict)

    def add(self, path: str, entry: FileEntry) -> None:
        """Add a file with its canonical path; if two files have the same one, the first one counts."""
        record = self.classifier.classify(path)
        if isinstance(record, Stray):
            self._add_stray(path, entry, record)
            return
        if isinstance(record, Ignored):
            self.ignored += 1
            return
        if self.apart:
            around = folder_around(path, record)
            is_apart = (around, record.category) in self.apart
            record = in_own_category(record, around) if is_apart else record
            record = in_tree(record, around if is_apart else "")
        if entry.problem:
            if not isinstance(record, ImageFile):
                self.unusable.append(record)
            self.stray(entry.meant_path, entry.problem, self._remedy(entry, is_used=True))
            return
        name = as_text(record.relative_path)
        if name in self._seen:
            self._add_again(path, entry, record, *self._seen[name])
            return
        self._seen[name] = path, entry
        if isinstance(record, ImageFile):
            self.images.append((record, entry))
        elif isinstance(record, MaskFile):
            self.masks.append((record, entry))
        else:
            self.tables.append((record, entry))

    def listed(self) -> dict[str, tuple[str, FileEntry]]:
        """Return the files that are used by canonical path, each with its path below the root."""
        return self._seen

    def stray(self, path: str, reason: str, detail: str | None = None) -> None:
        """Add a stray file."""
        path = as_text(path)
        if path in self.strays and detail is None:
            detail = "listed more than once"
        self.strays[path] = (reason, detail)

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
