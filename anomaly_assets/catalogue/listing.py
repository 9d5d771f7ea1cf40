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
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from anomaly_assets.catalogue.declared import Matches, match, merged
from anomaly_assets.catalogue.empty_root import LINKS, EmptyRoot, explain
from anomaly_assets.catalogue.layouts import fit_of, fits_better, strong_match
from anomaly_assets.catalogue.pairing import (
    Near,
    has_other_ending,
    owner_of,
    pairs_ignoring_case,
    with_full_names,
)
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
    Split,
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

_LFS_POINTER = b"version https://git-lfs"

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
        listing.pair_masks()
        declared = listing.read_declared_labels(dataset, root)
        images = _image_rows(dataset, root, listing, declared)
        listing.note_orphans()
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
    masks: dict[PairKey, list[tuple[MaskFile, FileEntry]]] = field(default_factory=dict)
    labels: list[tuple[LabelsFile, FileEntry]] = field(default_factory=list)
    strays: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    near: Near = field(default_factory=dict)
    mask_of: dict[str, tuple[MaskFile, FileEntry]] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)
    unclear_splits: set[tuple[str, Split]] = field(default_factory=set)
    unusable_masks: set[PairKey] = field(default_factory=set)
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
        if self.apart and (tree := (folder_around(path, record), record.category)) in self.apart:
            record = in_own_category(record, tree[0])
        if entry.problem:
            if isinstance(record, LabelsFile):
                self.unclear_splits.add((record.category, record.split))
            elif isinstance(record, MaskFile):
                self.unusable_masks.add(record.pair_key)
            self.stray(entry.meant_path, entry.problem, self._remedy(dataset, entry, is_used=True))
            return
        name = as_text(record.relative_path)
        if name in self._seen:
            self._add_again(dataset, placed, record, self._seen[name])
            return
        self._seen[name] = placed
        if isinstance(record, ImageFile):
            self.images.setdefault(record.pair_key, []).append((record, entry))
        elif isinstance(record, LabelsFile):
            self.labels.append((record, entry))
        else:
            self.masks.setdefault(record.pair_key, []).append((record, entry))

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

    def pair_masks(self) -> None:
        """Give each image its mask: by exact name, else ignoring case where that is one to one.

        An image is unclear if it gets no mask, although one may be its own or cannot be used.
        """
        self.masks = with_full_names(self.images, self.masks)
        pairs, self.near = pairs_ignoring_case(self.images, self.masks)
        for mask, image in pairs.items():
            self.masks[image] = self.masks.pop(mask)
        for key, masks in self.masks.items():
            if images := self.images.get(key):
                self._choose(images, masks)
        shared = [key for key in self.masks if len(self.images.get(key, ())) > 1]
        shared += [image for images in self.near.values() for image in images]
        shared += [key for key in self.unusable_masks if key in self.images]
        self.unclear |= {image.relative_path for key in shared for image, _ in self.images[key]}

    def _choose(
        self,
        images: Sequence[tuple[ImageFile, FileEntry]],
        masks: Sequence[tuple[MaskFile, FileEntry]],
    ) -> None:
        """Distribute the masks of one key: one to each image, the others are strays."""
        for mask, entry in sorted(masks, key=lambda each: has_other_ending(each[0])):
            owner = owner_of(mask, [image for image, _ in images])
            if owner is None:
                near = ", ".join(shown(image.meant_path) for _, image in images[:3])
                self.stray(entry.meant_path, "orphan_mask", f"the name is similar to {near}")
            elif (path := owner.relative_path) in self.mask_of:
                first = shown(self.mask_of[path][1].meant_path)
                self.stray(entry.meant_path, "duplicate_mask", f"the image has {first}")
            else:
                self.mask_of[path] = (mask, entry)

    def stray(self, path: str, reason: str, detail: str | None = None) -> None:
        path = as_text(path)
        if path in self.strays and detail is None:
            detail = "listed more than once"
        self.strays[path] = (reason, detail)

    def read_declared_labels(
        self, dataset: SourceDataset, root: Root
    ) -> dict[tuple[str, Split], Matches]:
        """Read the labels files, and match their rows with the images of their category and split."""
        files: dict[tuple[str, Split], list[tuple[LabelsFile, FileEntry, DeclaredLabels]]] = {}
        for record, entry in self.labels:
            if dataset.parse_labels is None:
                continue
            place = record.category, record.split
            most_bytes = dataset.max_labels_bytes
            try:
                if entry.size_bytes > most_bytes:
                    raise too_large(entry.path, most_bytes)
                content = root.read(entry.path, entry.version, most_bytes)
            except (FileTooLargeError, FileUnreadableError) as error:
                is_large = isinstance(error, FileTooLargeError)
                self.stray(
                    entry.meant_path, TOO_LARGE if is_large else "unreadable_labels", str(error)
                )
                self.unclear_splits.add(place)
                continue
            labels = dataset.parse_labels(content)
            files.setdefault(place, []).append((record, entry, labels))
            if labels.malformed_lines:
                self.unclear_splits.add(place)
                detail = _malformed(labels, content, dataset.labels_format)
                self.stray(entry.meant_path, "malformed_labels", detail)
        return self._matched(dataset, files)

    def _matched(
        self,
        dataset: SourceDataset,
        files: Mapping[tuple[str, Split], Sequence[tuple[LabelsFile, FileEntry, DeclaredLabels]]],
    ) -> dict[tuple[str, Split], Matches]:
        names: dict[tuple[str, Split], set[str]] = defaultdict(set)
        for images in self.images.values() if files else ():
            for image, _ in images:
                names[image.category, image.split].add(_name(image))
        listed = {path.casefold() for path in self._seen}
        listed |= {canonical_path(path).casefold() for path in self.strays}
        others = {each.casefold() for each in (*dataset.folders, *(where for where, _ in names))}
        found: dict[tuple[str, Split], Matches] = {}
        for place, in_place in files.items():
            folder = as_text(in_place[0][0].relative_path.rsplit("/", 2)[0])
            found[place] = matches = match(
                merged(labels for *_, labels in in_place),
                names[place],
                folder,
                listed,
                others.difference(folder.casefold().split("/")),
            )
            for record, entry, labels in in_place:
                self._note_rows(record, entry, labels, matches, listed, bool(names[place]))
            if not matches.label_index_of and (matches.unmatched or matches.ambiguous):
                self.unclear_splits.add(place)
        return found

    def _note_rows(
        self,
        record: LabelsFile,
        entry: FileEntry,
        labels: DeclaredLabels,
        matches: Matches,
        listed: Collection[str],
        has_images: bool,
    ) -> None:
        """Add declared images without a file as strays, and a labels file that names no image."""
        if not (matches.ambiguous or matches.unmatched):
            return
        folder = as_text(record.relative_path.rsplit("/", 2)[0])
        own_folder = as_text(entry.canonical_path.rsplit("/", 2)[0])
        rows = [normalized(each) for each in labels.label_index_of]
        source = f"named in {shown(entry.meant_path)}"
        for row in rows:
            if row in matches.ambiguous and (path := f"{own_folder}/{row}") not in self.strays:
                similar = ", ".join(map(shown, matches.ambiguous[row][:3]))
                self.stray(path, DECLARED_BUT_MISSING, f"{source}; similar to {similar}")
        unmatched = frozenset(matches.unmatched)
        missing = [
            path
            for row in rows
            if row in unmatched
            and f"{folder}/{row}".casefold() not in listed
            and (path := f"{own_folder}/{row}").casefold() not in listed
        ]
        for path in missing[:_MOST_MISSING]:
            self.stray(path, DECLARED_BUT_MISSING, source)
        details = []
        if has_images and rows and unmatched.issuperset(rows):
            details.append(f"names {_counted_of(len(rows), 'image')}, of which none is there")
        if (more := len(missing) - _MOST_MISSING) > 0:
            details.append(f"names {more:,} more that are missing")
        if details:
            reason, detail = self.strays.get(
                as_text(entry.meant_path), (DECLARED_BUT_MISSING, None)
            )
            self.stray(
                entry.meant_path, reason, "; ".join([detail, *details] if detail else details)
            )

    def note_orphans(self) -> None:
        """Add masks without an image as strays."""
        for key, masks in self.masks.items():
            if key in self.images:
                continue
            near = [self.images[image][0][1].meant_path for image in self.near.get(key, ())]
            detail = f"the name is similar to {', '.join(map(shown, near[:3]))}" if near else None
            for _, entry in masks:
                self.stray(entry.meant_path, "orphan_mask", detail)


def _malformed(labels: DeclaredLabels, content: bytes, expected: str) -> str:
    """Return which lines of a labels file were not understood, and how to correct them."""
    lines = labels.malformed_lines
    parts = [f"{_counted_of(len(lines), 'line')} not understood: {', '.join(map(str, lines[:20]))}"]
    if labels.encodings:
        parts[0] += f" (encodings tried: {', '.join(each.upper() for each in labels.encodings)})"
    if content.startswith(_LFS_POINTER):
        parts.append("the file is a pointer of Git LFS: run git lfs pull")
    elif expected:
        parts.append(f"write lines of {expected}")
    return "; ".join(parts)


def _counted_of(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _name(image: ImageFile) -> str:
    return image.relative_path.rpartition("/")[2]


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
    declared: Mapping[tuple[str, Split], Matches],
) -> pa.Table:
    rows = []
    labelled = {category for (category, _), found in declared.items() if found.label_index_of}
    annotated = labelled | {category for category, *_ in listing.masks}
    # Masks in folders of defects are no evidence that images outside of such folders were looked at.
    flat = labelled | {category for category, _, folder, _ in listing.masks if not folder}
    nothing = Matches()
    for images in listing.images.values():
        for image, entry in images:
            place = image.category, image.split
            matches, filename = declared.get(place, nothing), _name(image)
            mask = listing.mask_of.get(image.relative_path)
            declared_index = matches.label_index_of.get(filename)
            is_unclear = (
                mask is not None
                or place in listing.unclear_splits
                or image.relative_path in listing.unclear
                or filename in matches.unclear
                or image.category not in (annotated if image.folder else flat)
            )
            label, source = _provisional(
                image.label, declared_index, unmasked=UNKNOWN if is_unclear else dataset.unmasked
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
    declared: Mapping[tuple[str, Split], Matches],
) -> EmptyRoot:
    files = [each for each in entries if not isinstance(dataset.classify(each[0]), Ignored)]
    reasons = Counter(reason for reason, _ in listing.strays.values())
    names = sum(len(matches.unmatched) for matches in declared.values())
    return explain(dataset, root, files, reasons, names)
