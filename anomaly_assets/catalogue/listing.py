"""List a root: one row per image, and one row per stray file.

Masks and images are paired by name, one to one, within their category, split and defect folder. Names
are compared in one spelling (`FileEntry.canonical_path`), and files are read by their original name. So
an image has the same id in a folder, in a zip archive from Windows or macOS, and in an object store.

Names of folders must have the case of the layout. Only if no image is found, the root is listed again
ignoring case, and a note of the catalogue reports it.

Every file below the root has a row: as an image, as the mask of an image, or as a stray file with a
reason and its own path. Only well-known junk files are left out.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter

import pyarrow as pa

from anomaly_assets.catalogue.copies import (
    Copy,
    Tree,
    folder_around,
    in_own_category,
    trees_that_differ,
)
from anomaly_assets.catalogue.empty_root import LINKS, EmptyRoot, explain
from anomaly_assets.catalogue.layouts import fit_of, fits_better, strong_match
from anomaly_assets.catalogue.pairing import Near, pairs_ignoring_case
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.names import as_text, canonical_path, normalized, shown, spelled
from anomaly_assets.datasets.record import (
    UNKNOWN,
    UNSPECIFIED,
    DeclaredLabels,
    Ignored,
    ImageFile,
    Label,
    LabelsFile,
    MaskFile,
    PairKey,
    Stray,
)
from anomaly_assets.datasets.words import label_meant
from anomaly_assets.roots.base import (
    TOO_LARGE,
    FileEntry,
    FileTooLargeError,
    FileUnreadableError,
    Root,
    too_large,
)
from anomaly_assets.tables.arrow import arrow_schema
from anomaly_assets.tables.registry import CATALOGUE_TABLES

IMAGES_SCHEMA = arrow_schema(CATALOGUE_TABLES["images"], without=["_dlt_load_id"])
"""Columns of `<source_dataset>.images`, before dlt adds its load id."""

STRAY_FILES_SCHEMA = arrow_schema(CATALOGUE_TABLES["stray_files"], without=["_dlt_load_id"])
"""Columns of `<source_dataset>.stray_files`, before dlt adds its load id."""

_INDEX_OF = {"good": 0, "anomalous": 1}

_FILES_PER_REPORT = 100

DECLARED_BUT_MISSING = "declared_but_missing"
"""Reason of a file that a labels file names and that does not exist."""

_MOST_MISSING = 10_000
"""Limit per labels file: ten times the largest official one. Unlimited names took gigabytes."""

Progress = Callable[[int], None]
"""Function that is called with the number of files listed so far."""


@dataclass(frozen=True)
class Catalog:
    """Content of a root.

    Attributes:
        images: Rows of `IMAGES_SCHEMA`.
        stray_files: Rows of `STRAY_FILES_SCHEMA`.
        ignored: Number of junk files.
        empty_because: Message for the user if there is no image; else None.
        other: Another source dataset whose layout fits, if that of this one pairs nothing.
        likely_root: Path or address of the root's parent, if the root seems to be a category folder.
        notes: Sentences about how names were read, for the log of a run.
    """

    images: pa.Table
    stray_files: pa.Table
    ignored: int
    empty_because: str | None = None
    likely_root: str | None = None
    other: SourceDataset | None = None
    notes: tuple[str, ...] = ()


def list_catalog(dataset: SourceDataset, root: Root, progress: Progress | None = None) -> Catalog:
    """List a root and classify every file.

    Args:
        dataset: The source dataset whose layout the root should have.
        root: The root with the files.
        progress: Called after every 100 files.

    Raises:
        RootError: The root cannot be listed.
    """
    with _no_garbage_collection():
        files = _counted(root.files(), progress)
        keyed = sorted(map(_shallow_first, files), key=itemgetter(0))
        entries = [(path, entry) for (_, path, *_), entry in keyed]
        listing, note = _listed(dataset, root, entries)
        listing.pair_ignoring_case()
        declared = listing.read_declared_labels(dataset, root)
        images = _image_rows(dataset, root, listing, declared)
        listing.note_orphans(declared)
    strays = [(path, *why) for path, why in listing.strays.items()]
    other = _other(dataset, listing, entries)
    empty = None if listing.images or other else _empty(dataset, root, listing, entries, declared)
    return Catalog(
        images=images,
        stray_files=_table(STRAY_FILES_SCHEMA, sorted(strays)),
        ignored=listing.ignored,
        empty_because=empty.message if empty else None,
        likely_root=empty.likely_root if empty else None,
        other=other,
        notes=(note,) if note else (),
    )


def _listed(
    dataset: SourceDataset, root: Root, entries: Sequence[tuple[str, FileEntry]]
) -> tuple[_Listing, str | None]:
    """Group the files by kind: with the exact names of folders, or ignoring case if that finds no image."""
    listing = _grouped(dataset, root, entries)
    respelled = [(dataset.respelled(path), entry) for path, entry in entries if not listing.images]
    pairs = zip(entries, respelled, strict=False)
    changed = [(entry.meant_path, path) for (before, entry), (path, _) in pairs if path != before]
    if not changed:
        return listing, None
    paths = [path for path, _ in entries]
    fit = fit_of(dataset, paths, exact=False)
    if not fit.images or fits_better(fit, paths):
        return listing, None
    ignoring_case = _grouped(dataset, root, respelled)
    own, path = changed[0]
    return ignoring_case, (
        f"{dataset.title}: no folder has the case of the official names, so their case was ignored: "
        f"'{shown(own)}' was read as '{shown(path)}'."
    )


def _grouped(
    dataset: SourceDataset, root: Root, entries: Sequence[tuple[str, FileEntry]]
) -> _Listing:
    """Group the files by kind; files with one canonical path and different content are kept apart."""
    apart: set[Tree] = set()
    while True:
        listing = _Listing(root.follows_links, apart)
        for each in entries:
            listing.add(dataset, each)
        differing = trees_that_differ(root, listing.copies)
        if differing <= apart:
            return listing
        apart |= differing


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Disable garbage collection, which takes a fifth of a listing, because all its objects stay."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _shallow_first(entry: FileEntry) -> tuple[tuple[int, str] | tuple[int, str, str], FileEntry]:
    """Return sort key and entry: by depth and path; among duplicates, the canonical spelling is first."""
    path = entry.canonical_path
    depth = path.count("/")
    # The shorter of two tuples that begin alike comes first.
    return ((depth, path) if entry.path == path else (depth, path, entry.path)), entry


def _counted(files: Iterator[FileEntry], progress: Progress | None) -> Iterator[FileEntry]:
    for count, entry in enumerate(files, 1):
        if progress and count % _FILES_PER_REPORT == 0:
            progress(count)
        yield entry


def listing_digest(catalog: Catalog) -> str:
    """Return a digest of a listing; equal listings have equal digests."""
    digest = hashlib.sha256()
    for table in (catalog.images, catalog.stray_files):
        for batch in table.combine_chunks().to_batches():
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            digest.update(sink.getvalue())
    return digest.hexdigest()


@dataclass
class _Listing:
    """Files of one root, grouped by kind; shallow paths must be added first."""

    follows_links: bool = False
    apart: set[Tree] = field(default_factory=set)
    images: dict[PairKey, list[tuple[ImageFile, FileEntry]]] = field(default_factory=dict)
    masks: dict[PairKey, tuple[MaskFile, FileEntry]] = field(default_factory=dict)
    labels: list[tuple[LabelsFile, FileEntry]] = field(default_factory=list)
    strays: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    near: Near = field(default_factory=dict)
    ignored: int = 0
    _seen: dict[str, tuple[str, FileEntry]] = field(default_factory=dict)

    def add(self, dataset: SourceDataset, placed: tuple[str, FileEntry]) -> None:
        """Add a file with its canonical path; if two files have the same one, the first one counts."""
        path, entry = placed
        record = dataset.classify(path)
        if isinstance(record, Stray):
            # A stray has no id and no mask: a backslash stays part of its name.
            own = entry.meant_path
            as_found = dataset.classify(own) if "\\" in own else record
            named = as_found if isinstance(as_found, Stray) else record
            if entry.problem:
                self.stray(own, entry.problem, self._remedy(dataset, entry, is_used=False))
            else:
                self.stray(own, _reason(dataset, named, path), named.detail)
            return
        if not isinstance(record, (ImageFile, MaskFile, LabelsFile)):
            self.ignored += 1
            return
        if entry.problem:
            self.stray(entry.meant_path, entry.problem, self._remedy(dataset, entry, is_used=True))
            return
        if self.apart and (tree := (folder_around(path, record), record.category)) in self.apart:
            record = in_own_category(record, tree[0])
        name = as_text(record.relative_path)
        if name in self._seen:
            self._add_again(dataset, placed, record, self._seen[name])
            return
        self._seen[name] = placed
        if isinstance(record, ImageFile):
            self.images.setdefault(record.pair_key, []).append((record, entry))
        elif isinstance(record, LabelsFile):
            self.labels.append((record, entry))
        elif record.pair_key in self.masks:
            mask = self.masks[record.pair_key][1].meant_path
            self.stray(entry.meant_path, "duplicate_mask", f"the image has {shown(mask)}")
        else:
            self.masks[record.pair_key] = (record, entry)

    def _remedy(self, dataset: SourceDataset, entry: FileEntry, *, is_used: bool) -> str | None:
        """Return the setting that reads a symbolic link; None for other problems.

        Args:
            dataset: The source dataset.
            entry: The file, with a problem.
            is_used: Whether the layout uses a file of this name; a linked folder may contain such files.
        """
        is_folder = entry.problem == "linked_folder"
        if entry.problem not in LINKS or not (is_used or is_folder):
            return None
        if self.follows_links:
            return "it leads to a folder that is listed already, or to one around the root"
        follow = f"{dataset.links_variable}=follow reads it"
        return f"{follow} if it leads out of the root" if is_folder else follow

    def _add_again(
        self,
        dataset: SourceDataset,
        placed: tuple[str, FileEntry],
        record: ImageFile | MaskFile | LabelsFile,
        taken: tuple[str, FileEntry],
    ) -> None:
        """Add a file whose canonical path is taken by another one."""
        (path, entry), (first_path, first) = placed, taken
        tree = folder_around(path, record), record.category
        meant = dataset.classify(first_path)
        if isinstance(meant, (ImageFile, MaskFile, LabelsFile)) and tree[0] != folder_around(
            first_path, meant
        ):
            self.copies.append(Copy(tree, entry, first, isinstance(record, ImageFile)))
            self.stray(
                entry.meant_path, "duplicate_path", f"also found as {shown(first.meant_path)}"
            )
        else:
            detail = f"the same name as {spelled(first.meant_path)}, which is taken"
            self.stray(entry.meant_path, "ambiguous_name", detail)

    @property
    def labels_with_images(self) -> bool:
        """Return whether a labels file is beside images of its category and split."""
        places = {(record.category, record.split) for record, _ in self.labels}
        return bool(places) and any(key[:2] in places for key in self.images)

    def pair_ignoring_case(self) -> None:
        """Give masks without an image to images whose names differ only in case."""
        pairs, self.near = pairs_ignoring_case(self.images, self.masks)
        for mask, image in pairs.items():
            self.masks[image] = self.masks.pop(mask)

    def stray(self, path: str, reason: str, detail: str | None = None) -> None:
        path = as_text(path)
        if path in self.strays and detail is None:
            detail = "listed more than once"
        self.strays[path] = (reason, detail)

    def read_declared_labels(
        self, dataset: SourceDataset, root: Root
    ) -> dict[tuple[str, str], DeclaredLabels]:
        declared: dict[tuple[str, str], DeclaredLabels] = {}
        for record, entry in self.labels:
            if dataset.parse_labels is None:
                continue
            most_bytes = dataset.max_labels_bytes
            try:
                if entry.size_bytes > most_bytes:
                    raise too_large(entry.path, most_bytes)
                labels = dataset.parse_labels(root.read(entry.path, entry.version, most_bytes))
            except FileTooLargeError as error:
                self.stray(entry.meant_path, TOO_LARGE, str(error))
                continue
            except FileUnreadableError as error:
                self.stray(entry.meant_path, "unreadable_labels", str(error))
                continue
            declared[record.category, record.split] = labels
            if labels.malformed_lines:
                numbers = ", ".join(map(str, labels.malformed_lines[:20]))
                read_as = ", ".join(each.upper() for each in labels.encodings)
                self.stray(
                    entry.meant_path,
                    "malformed_labels",
                    f"{len(labels.malformed_lines)} lines not understood: {numbers}"
                    + (f" (encodings tried: {read_as})" if read_as else ""),
                )
        return declared

    def note_orphans(self, declared: dict[tuple[str, str], DeclaredLabels]) -> None:
        """Add masks without an image, and declared images without a file, as strays."""
        for key, (_, entry) in self.masks.items():
            if key not in self.images:
                near = [self.images[image][0][1].meant_path for image in self.near.get(key, ())]
                detail = (
                    f"the name is similar to {', '.join(map(shown, near[:3]))}" if near else None
                )
                self.stray(entry.meant_path, "orphan_mask", detail)
        listed = {path.casefold() for path in self._seen}
        listed |= {canonical_path(path).casefold() for path in self.strays}
        for record, entry in self.labels:
            labels = declared.get((record.category, record.split))
            folder = record.relative_path.rsplit("/", 2)[0]
            own_folder = entry.canonical_path.rsplit("/", 2)[0]
            unlisted = [
                name
                for each in (labels.label_index_of if labels else ())
                if f"{folder}/{(name := normalized(each))}".casefold() not in listed
            ]
            missing = [
                path
                for name in unlisted
                if (path := f"{own_folder}/{name}").casefold() not in listed
            ]
            for path in missing[:_MOST_MISSING]:
                self.stray(path, DECLARED_BUT_MISSING, f"named in {shown(entry.meant_path)}")
            if (more := len(missing) - _MOST_MISSING) > 0:
                self.stray(
                    entry.meant_path, DECLARED_BUT_MISSING, f"names {more:,} more that are missing"
                )


def _reason(dataset: SourceDataset, stray: Stray, path: str) -> str:
    """Return why a file is a stray: `other_case` if only the case of its folders is wrong."""
    if stray.reason != "unrecognised_path" or (respelled := dataset.respelled(path)) == path:
        return stray.reason
    is_used = isinstance(dataset.classify(respelled), (ImageFile, MaskFile, LabelsFile))
    return "other_case" if is_used else stray.reason


def _image_rows(
    dataset: SourceDataset,
    root: Root,
    listing: _Listing,
    declared: dict[tuple[str, str], DeclaredLabels],
) -> pa.Table:
    rows = []
    label_index_of = {
        (*where, normalized(name).casefold()): index
        for where, labels in declared.items()
        for name, index in labels.label_index_of.items()
    }
    annotated = {category for category, *_ in listing.masks}
    annotated |= {category for (category, _), labels in declared.items() if labels.label_index_of}
    for key, images in listing.images.items():
        for position, (image, entry) in enumerate(images):
            mask = listing.masks.get(key) if position == 0 else None
            filename = image.relative_path.rpartition("/")[2]
            declared_index = label_index_of.get((image.category, image.split, filename.casefold()))
            unmasked = dataset.unmasked if image.category in annotated else UNKNOWN
            label, source = _provisional(
                image.label, declared_index, unmasked=unmasked if mask is None else UNKNOWN
            )
            relative_path = as_text(image.relative_path)
            rows.append(
                (
                    f"{dataset.name}/{relative_path}",
                    dataset.name,
                    as_text(image.category),
                    image.split,
                    label,
                    _INDEX_OF.get(label),
                    _defect_type(as_text(image.folder), label),
                    as_text(filename),
                    relative_path,
                    root.uri_of(entry.path),
                    entry.size_bytes,
                    entry.modified_at,
                    entry.version,
                    as_text(mask[0].relative_path) if mask else None,
                    root.uri_of(mask[1].path) if mask else None,
                    mask[1].version if mask else None,
                    declared_index,
                    source,
                    _INDEX_OF.get(image.label or UNKNOWN),
                )
            )
    rows.sort()
    return _table(IMAGES_SCHEMA, rows)


def _provisional(
    path_label: Label | None, declared_index: int | None, *, unmasked: str
) -> tuple[str, str]:
    """Return the label by what can be said without decoding, and its evidence.

    A mask is no evidence before it is decoded: the view `images` decides with its content.
    """
    if path_label is not None:
        return path_label, "path"
    if declared_index is not None:
        return ("anomalous" if declared_index else "good"), "labels_file"
    return unmasked, ("none" if unmasked == UNKNOWN else "unmasked")


def _defect_type(folder: str, label: str) -> str | None:
    if label == "good":
        return None
    if label == "anomalous" and (not folder or label_meant(folder) == label):
        return UNSPECIFIED  # a folder such as `ng` names no kind of defect
    return folder or None


def _table(schema: pa.Schema, rows: Iterable[tuple[object, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(column, item.type) for column, item in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _other(
    dataset: SourceDataset, listing: _Listing, entries: Sequence[tuple[str, FileEntry]]
) -> SourceDataset | None:
    """Return another source dataset if its layout pairs files of this root, and this one pairs none."""
    if listing.labels_with_images or not listing.images.keys().isdisjoint(listing.masks):
        return None
    images = [entry.canonical_path for found in listing.images.values() for _, entry in found]
    return strong_match(dataset, [path for path, _ in entries], images)


def _empty(
    dataset: SourceDataset,
    root: Root,
    listing: _Listing,
    entries: Sequence[tuple[str, FileEntry]],
    declared: dict[tuple[str, str], DeclaredLabels],
) -> EmptyRoot:
    files = [each for each in entries if not isinstance(dataset.classify(each[0]), Ignored)]
    reasons = Counter(reason for reason, _ in listing.strays.values())
    names = sum(len(labels.label_index_of) for labels in declared.values())
    return explain(dataset, root, files, reasons, names)
