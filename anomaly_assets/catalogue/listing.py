"""Listing plus layout gives the catalogue: one row per image, one row per stray file.

Masks and images are paired by name, one to one, within their category, split and defect folder. Names are
compared in one spelling (`FileEntry.canonical_path`), and files are read by their own: an image has the
same id in a folder, in an archive of Windows or of a Mac, and in a store.
Nothing that lies below the root disappears without a row: an image, a mask named by its image, a
stray with a reason, or junk that every copy may carry.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter

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
"""Exactly the columns of `<source_dataset>.images`, before dlt adds its load id."""

STRAY_FILES_SCHEMA = arrow_schema(CATALOGUE_TABLES["stray_files"], without=["_dlt_load_id"])
"""Exactly the columns of `<source_dataset>.stray_files`, before dlt adds its load id."""

_FILES_PER_REPORT = 100

_MISSING = "declared_but_missing"
_MOST_MISSING = 10_000
"""Of one labels file: ten times as many as the largest official one names. All of them took gigabytes."""

Progress = Callable[[int], None]
"""Called with the number of files that a listing has found so far."""


@dataclass(frozen=True)
class Catalog:
    """What lies below a root.

    Attributes:
        images: Rows of `IMAGES_SCHEMA`.
        stray_files: Rows of `STRAY_FILES_SCHEMA`.
        ignored: Number of files that every copy may carry.
        empty_because: Why there is no image, in a sentence for the user; None where there are some.
    """

    images: pa.Table
    stray_files: pa.Table
    ignored: int
    empty_because: str | None = None


def list_catalog(dataset: SourceDataset, root: Root, progress: Progress | None = None) -> Catalog:
    """List a root and say what every file is.

    Args:
        dataset: The source dataset whose layout the root should have.
        root: Where the files are.
        progress: Called after every few files.

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
    return Catalog(
        images=images,
        stray_files=_table(STRAY_FILES_SCHEMA, sorted(strays)),
        ignored=listing.ignored,
        empty_because=None if listing.images else _no_images(dataset, root, listing),
    )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A listing makes many small objects and keeps them; looking through them all takes a fifth of it."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _shallow_first(entry: FileEntry) -> tuple[tuple[int, str] | tuple[int, str, str], FileEntry]:
    """Order files by depth and name; of two with one canonical path, that spelling comes first."""
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
    """A digest of everything that a listing says, equal for equal listings."""
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
    """The files of one root, sorted by what they are; filled shallow paths first."""

    images: dict[PairKey, list[tuple[ImageFile, FileEntry]]] = field(default_factory=dict)
    masks: dict[PairKey, tuple[MaskFile, FileEntry]] = field(default_factory=dict)
    labels: list[tuple[LabelsFile, FileEntry]] = field(default_factory=list)
    strays: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    ignored: int = 0
    _seen: dict[str, FileEntry] = field(default_factory=dict)

    def add(self, dataset: SourceDataset, entry: FileEntry, path: str) -> None:
        """Note what a file is, whose canonical path this is; of two with the same one, the first counts."""
        own = entry.meant_path
        record = dataset.classify(path)
        if isinstance(record, Stray):
            # It has no id and no counterpart, so that it is named as it is found.
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
        """Turn masks without an image, and declared images without a file, into strays."""
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


def _no_images(dataset: SourceDataset, root: Root, listing: _Listing) -> str:
    if not listing.strays:
        return f"{root.uri} is empty; it should hold {dataset.title}."
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
        f"{root.uri} holds no image in the layout of {dataset.title} ({counted}).{hint} "
        f"Point {dataset.root_variable} at the folder that holds the category folders, for example "
        f"above '{shown(next(iter(listing.strays)))}'."
    )
