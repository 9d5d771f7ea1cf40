"""List a root: one row per image, and one row per stray file.

Masks and images are paired by name, one to one, within their category, split and defect folder. Names
are compared in one spelling (`FileEntry.canonical_path`), and files are read by their original name. So
an image has the same id in a folder, in a zip archive from Windows or macOS, and in an object store.

Every file below the root has a row: as an image, as the mask of an image, or as a stray file with a
reason. Only well-known junk files are left out.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from urllib.parse import unquote

import pyarrow as pa

from anomaly_assets.datasets import SOURCE_DATASETS, SourceDataset
from anomaly_assets.datasets.names import as_text, canonical_path, normalized, shown, spelled
from anomaly_assets.datasets.record import (
    UNSPECIFIED,
    DeclaredLabels,
    ImageFile,
    LabelsFile,
    MaskFile,
    PairKey,
    Stray,
)
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

_FILE = "file://"
_FILES_PER_REPORT = 100

_MISSING = "declared_but_missing"
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
        likely_root: Path or address of the root's parent, if the root seems to be a category folder.
    """

    images: pa.Table
    stray_files: pa.Table
    ignored: int
    empty_because: str | None = None
    likely_root: str | None = None


def list_catalog(dataset: SourceDataset, root: Root, progress: Progress | None = None) -> Catalog:
    """List a root and classify every file.

    Args:
        dataset: The source dataset whose layout the root should have.
        root: The root with the files.
        progress: Called after every 100 files.

    Raises:
        RootError: The root cannot be listed.
    """
    listing = _Listing()
    with _no_garbage_collection():
        files = _counted(root.files(), progress)
        for (_, path, *_), entry in sorted(map(_shallow_first, files), key=itemgetter(0)):
            listing.add(dataset, entry, path)
        declared = listing.read_declared_labels(dataset, root)
        images = _image_rows(dataset, root, listing, declared)
        listing.note_orphans(declared)
    strays = [(path, *why) for path, why in listing.strays.items()]
    likely_root = None if listing.images else _likely_root(dataset, root, listing)
    return Catalog(
        images=images,
        stray_files=_table(STRAY_FILES_SCHEMA, sorted(strays)),
        ignored=listing.ignored,
        empty_because=None if listing.images else _no_images(dataset, root, listing, likely_root),
        likely_root=likely_root,
    )


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

    images: dict[PairKey, list[tuple[ImageFile, FileEntry]]] = field(default_factory=dict)
    masks: dict[PairKey, tuple[MaskFile, FileEntry]] = field(default_factory=dict)
    labels: list[tuple[LabelsFile, FileEntry]] = field(default_factory=list)
    strays: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    ignored: int = 0
    _seen: dict[str, FileEntry] = field(default_factory=dict)

    def add(self, dataset: SourceDataset, entry: FileEntry, path: str) -> None:
        """Add a file under its canonical path; if two files have the same one, the first one counts."""
        own = entry.meant_path
        record = dataset.classify(path)
        if isinstance(record, Stray):
            # A stray has no id and no mask, so it keeps its original name.
            as_found = record if own == path else dataset.classify(own)
            named = as_found if isinstance(as_found, Stray) else record
            self.stray(named.relative_path, entry.problem or named.reason)
        elif not isinstance(record, (ImageFile, MaskFile, LabelsFile)):
            self.ignored += 1
        elif entry.problem:
            self.stray(own, entry.problem)
        elif first := self._seen.get(name := as_text(record.relative_path)):
            if first.canonical_path == path:
                detail = f"the same name as {spelled(first.meant_path)}, which is taken"
                self.stray(own, "ambiguous_name", detail)
            else:
                self.stray(own, "duplicate_path", f"also found as {shown(record.relative_path)}")
        else:
            self._seen[name] = entry
            if isinstance(record, ImageFile):
                self.images.setdefault(record.pair_key, []).append((record, entry))
            elif isinstance(record, LabelsFile):
                self.labels.append((record, entry))
            elif record.pair_key in self.masks:
                mask = self.masks[record.pair_key][0].relative_path
                self.stray(record.relative_path, "duplicate_mask", f"the image has {shown(mask)}")
            else:
                self.masks[record.pair_key] = (record, entry)

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
                self.stray(record.relative_path, TOO_LARGE, str(error))
                continue
            except FileUnreadableError as error:
                self.stray(record.relative_path, "unreadable_labels", str(error))
                continue
            declared[record.category, record.split] = labels
            if labels.malformed_lines:
                numbers = ", ".join(map(str, labels.malformed_lines[:20]))
                self.stray(
                    record.relative_path,
                    "malformed_labels",
                    f"{len(labels.malformed_lines)} lines not understood: {numbers}",
                )
        return declared

    def note_orphans(self, declared: dict[tuple[str, str], DeclaredLabels]) -> None:
        """Add masks without an image, and declared images without a file, as strays."""
        for key, (mask, _) in self.masks.items():
            if key not in self.images:
                self.stray(mask.relative_path, "orphan_mask")
        listed = {path.casefold() for path in self._seen}
        listed |= {canonical_path(path).casefold() for path in self.strays}
        for record, _ in self.labels:
            labels = declared.get((record.category, record.split))
            folder = record.relative_path.rsplit("/", 2)[0]
            missing = [
                path
                for name in (labels.label_index_of if labels else ())
                if (path := f"{folder}/{normalized(name)}").casefold() not in listed
            ]
            for path in missing[:_MOST_MISSING]:
                self.stray(path, _MISSING, f"named in {shown(record.relative_path)}")
            if (more := len(missing) - _MOST_MISSING) > 0:
                self.stray(record.relative_path, _MISSING, f"names {more:,} more that are missing")


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
    for key, images in listing.images.items():
        for position, (image, entry) in enumerate(images):
            mask = listing.masks.get(key) if position == 0 else None
            filename = image.relative_path.rpartition("/")[2]
            declared_index = label_index_of.get((image.category, image.split, filename.casefold()))
            anomalous = image.label == "anomalous" or (
                image.label is None and (mask is not None or declared_index == 1)
            )
            relative_path = as_text(image.relative_path)
            rows.append(
                (
                    f"{dataset.name}/{relative_path}",
                    dataset.name,
                    as_text(image.category),
                    image.split,
                    "anomalous" if anomalous else "good",
                    int(anomalous),
                    (as_text(image.folder) or UNSPECIFIED) if anomalous else None,
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
                )
            )
    rows.sort()
    return _table(IMAGES_SCHEMA, rows)


def _table(schema: pa.Schema, rows: Iterable[tuple[object, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(column, item.type) for column, item in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _likely_root(dataset: SourceDataset, root: Root, listing: _Listing) -> str | None:
    """Return the parent of a root that seems to be a category folder; None for any other root.

    The name of the root is put before each path, as in a listing of its parent. If the layout then finds
    an image, the parent is the root that was meant. Nothing is read for this.
    """
    parent, _, name = root.uri.rpartition("/")
    if root.uri.startswith(_FILE):
        name = unquote(name, errors="surrogateescape")
        parent = unquote(parent.removeprefix(_FILE), errors="surrogateescape") or "/"
    elif parent.endswith("/") or name.endswith("!"):  # a whole bucket or server, or an archive
        return None
    below_parent = (dataset.classify(f"{name}/{path}") for path in listing.strays)
    return parent if any(isinstance(record, ImageFile) for record in below_parent) else None


def _no_images(
    dataset: SourceDataset, root: Root, listing: _Listing, likely_root: str | None
) -> str:
    if not listing.strays:
        return f"{root.uri} is empty; it should hold {dataset.title}."
    if likely_root is not None:
        return (
            f"{root.uri} contains no {dataset.title} images. It looks like a category folder. "
            f"Set {dataset.root_variable}={shown(likely_root)} (its parent)."
        )
    others = [
        other.title
        for other in SOURCE_DATASETS.values()
        if other is not dataset
        and any(isinstance(other.classify(path), ImageFile) for path in listing.strays)
    ]
    reasons = Counter(reason for reason, _ in listing.strays.values()).most_common(5)
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons)
    hint = f" It looks like {others[0]}." if others else ""
    return (
        f"{root.uri} contains no {dataset.title} images ({counted}).{hint} "
        f"Set {dataset.root_variable} to the folder that contains the category folders, for example "
        f"above '{shown(next(iter(listing.strays)))}'."
    )
