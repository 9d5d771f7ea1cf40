"""List a root: one row per image, and one row per stray file.

Every file below the root has a row: as an image, as the mask of an image, or as a stray file with a
reason and its own path. Only well-known junk files are left out. The steps are those of the packages that
this module calls: files are classified and grouped (`grouping`), tables are read (`table_labels`,
`labels_files`), masks are paired (`pairing`), and all evidence becomes a row (`image_rows`).

Names are compared in one spelling (`FileEntry.canonical_path`), and files are read by their original name.
So an image has the same id in a folder, in a zip archive from Windows or macOS, and in an object store.

Names of folders must have the case of the layout. Only if no image is found, the root is listed again
ignoring case, and a note of the catalogue reports it.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice

import pyarrow as pa

from anomaly_assets.catalogue.empty_root import MOST_COMPARED, EmptyRoot, explain
from anomaly_assets.catalogue.entries import Entries
from anomaly_assets.catalogue.grouping import Files, grouped
from anomaly_assets.catalogue.image_rows import IMAGES_SCHEMA, Evidence, image_rows
from anomaly_assets.catalogue.labels_files import DECLARED_BUT_MISSING, read_labels_files
from anomaly_assets.catalogue.layouts import fit_of, fits_better, strong_match
from anomaly_assets.catalogue.pairing import Index, pair, place_of
from anomaly_assets.catalogue.table_labels import Tables, read_tables
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.names import as_text, shown
from anomaly_assets.datasets.record import Ignored, ImageFile, MaskFile, Placed
from anomaly_assets.roots.base import FileEntry, Root
from anomaly_assets.tables.arrow import arrow_schema
from anomaly_assets.tables.registry import CATALOGUE_TABLES

__all__ = [
    "DECLARED_BUT_MISSING",
    "IMAGES_SCHEMA",
    "Catalog",
    "Progress",
    "list_catalog",
    "listing_digest",
]

STRAY_FILES_SCHEMA = arrow_schema(CATALOGUE_TABLES["stray_files"], without=["_dlt_load_id"])
"""Columns of `<source_dataset>.stray_files`, before dlt adds its load id."""

_FILES_PER_REPORT = 100

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
        likely_root: Path or URL of the root's parent, if the root seems to be a category folder.
        notes: Sentences about how names and tables were read, for the log of a run.
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
        entries = Entries(_counted(root.files(), progress))
        files, note = _grouped(dataset, root, entries)
        evidence = _evidence(files, root)
        files.images.hashes.clear()  # free memory: the rows do not need the hashes
        images = image_rows(files, root, evidence)
    other, likeness = _other(dataset, files, evidence, entries)
    strays = [(path, *why) for path, why in files.strays.items()]
    empty = None
    if not files.images and not other:
        empty = _empty(dataset, root, files, entries, evidence.unmatched)
    return Catalog(
        images=images,
        stray_files=_table(STRAY_FILES_SCHEMA, sorted(strays)),
        ignored=files.ignored,
        empty_because=empty.message if empty else None,
        likely_root=empty.likely_root if empty else None,
        other=other,
        notes=(*filter(None, (note, likeness)), *evidence.tables.notes),
    )


def listing_digest(catalog: Catalog) -> str:
    """Return a digest of a listing; equal listings have equal digests."""
    digest = hashlib.sha256()
    for table in (catalog.images, catalog.stray_files):
        for batch in table.to_batches():
            digest.update(batch.serialize())
    return digest.hexdigest()


def _grouped(dataset: SourceDataset, root: Root, entries: Entries) -> tuple[Files, str | None]:
    """Group the files by kind: with the exact names of folders, or ignoring case if that finds no image."""
    files = grouped(dataset, dataset.classifier, root, entries)
    if files.images:
        return files, None
    fit = fit_of(dataset, entries.paths, exact=False)
    if not fit.image_count or fits_better(fit, entries.paths):
        return files, None
    ignoring_case = grouped(dataset, dataset.loose_classifier, root, entries)
    if not ignoring_case.images:
        return files, None
    image, entry = ignoring_case.images[0]
    return ignoring_case, (
        f"{dataset.title}: no folder has the case of the official names, so their case was ignored: "
        f"'{shown(entry.meant_path)}' was read as '{shown(image.relative_path)}'."
    )


def _evidence(files: Files, root: Root) -> Evidence:
    """Read the tables, pair the masks, and note as strays what belongs to no image."""
    tables = read_tables(files, root, Index(files.images))
    named = _named_masks(tables)
    if named:
        paths = {
            each: entry
            for each, (_, entry) in zip(files.images.positions, files.images, strict=True)
            if entry.path in named
        }
        if paths:  # a table names them as masks
            for entry in paths.values():
                record = files.record(entry.canonical_path)
                files.stray_entries[record.relative_path] = entry
            files.images = files.images.without(paths)
            tables = read_tables(files, root, Index(files.images))
            named = _named_masks(tables)
    for entry in files.stray_entries.values():
        if entry.path in named:
            files.strays.pop(as_text(entry.meant_path), None)
    index = Index(files.images, _changed(files, tables))
    labels = read_labels_files(files, root, index)
    pairs = pair(files.masks, files.classifier.masks, index, named)
    for entry, reason, detail in pairs.strays:
        files.stray(entry.meant_path, reason, detail)
    for record in files.unusable:
        if isinstance(record, MaskFile):
            pairs.unclear.update(index.at(place_of(record)))
    return Evidence(tables, labels, pairs)


def _named_masks(tables: Tables) -> set[str]:
    """Return the paths of the files that tables name as masks."""
    return {mask.entry.path for masks in tables.masks.values() for mask in masks}


def _changed(files: Files, tables: Tables) -> dict[int, ImageFile]:
    """Return the images whose row gives a category or split that their path does not give."""
    images, found = files.images, dict[int, ImageFile]()
    for position, (row, *_) in tables.rows.items():
        category, split = images.traits[images.codes[position]][:2]
        if (row.category and not category) or (row.split and not split):
            found[position] = images.record(position)._replace(
                category=category or row.category, split=split or row.split
            )
    return found


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


def _counted(files: Iterator[FileEntry], progress: Progress | None) -> Iterator[FileEntry]:
    for count, entry in enumerate(files, 1):
        if progress and count % _FILES_PER_REPORT == 0:
            progress(count)
        yield entry


def _table(schema: pa.Schema, rows: Iterable[tuple[object, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(column, item.type) for column, item in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _other(
    dataset: SourceDataset,
    files: Files,
    evidence: Evidence,
    entries: Entries,
) -> tuple[SourceDataset | None, str | None]:
    """Return another source dataset if this one misreads its files, or else a sentence about its layout.

    The other layout pairs files of this root, and the declared layout pairs none. The declared layout
    misreads the files if it finds no image, or takes masks of the other layout for images. Otherwise only
    some files are strays.
    """
    if evidence.pairs_something:
        return None, None

    @cache
    def images() -> frozenset[str]:
        return frozenset(entry.canonical_path for _, entry in files.images)

    fit = strong_match(dataset, entries.paths, images)
    if fit is None:
        return None, None
    if not images() or not images().isdisjoint(fit.masks):
        return fit.dataset, None
    classify = (fit.dataset.classifier if fit.exact else fit.dataset.loose_classifier).classify
    for path, entry in entries:
        stray = as_text(entry.meant_path)
        if stray in files.strays and isinstance(classify(path), Placed):
            detail = f"a file of the layout of {fit.dataset.title}"
            files.stray(entry.meant_path, files.strays[stray][0], detail)
    return None, (
        f"{dataset.title}: the root looks like {fit.dataset.title}, whose layout finds masks or labels of "
        f"its images; this one finds none. If it is, set {fit.dataset.root_variable} to this root instead."
    )


def _empty(
    dataset: SourceDataset,
    root: Root,
    files: Files,
    entries: Entries,
    unmatched: int,
) -> EmptyRoot:
    used = (each for each in entries if not isinstance(dataset.classify(each[0]), Ignored))
    found = [*islice(used, MOST_COMPARED)]
    reasons = Counter(reason for reason, _ in files.strays.values())
    return explain(dataset, root, found, reasons, unmatched)
