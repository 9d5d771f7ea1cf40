"""Find the differences between a root and the tables, and refuse to lose data by accident.

Listing is cheap, so every run lists the whole root and compares it with the tables in SQL. There is no
cursor on modification times, because files from an archive have old times and would be skipped
silently.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb

from anomaly_assets.catalogue.comparison import LoadedTables, TableChanges, in_categories
from anomaly_assets.catalogue.listing import Progress, list_catalog, listing_digest
from anomaly_assets.catalogue.refusals import (
    MOST_NAMED,
    Size,
    refuse_mixed_rows,
    refuse_mostly_strays,
    refuse_other_dataset,
    refuse_shrinking,
    refuse_taken_images,
    refuse_unknown_categories,
)
from anomaly_assets.catalogue.repair import settle_interrupted
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.names import shown
from anomaly_assets.roots.base import RootError
from anomaly_assets.roots.open import open_root, root_error
from anomaly_assets.tables.ddl import allow_nulls, discard_staged, ensure_tables
from anomaly_assets.tables.identity import take_over
from anomaly_assets.tables.source_datasets import (
    StoredDataset,
    note_consent,
    record_listing,
    sample_counts,
    stored_datasets,
)
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.buffers import collect_and_free


@dataclass(frozen=True)
class Reconciliation:
    """Result of comparing a root with the tables.

    Attributes:
        root_uri: URI of the root.
        ignored: Number of junk files below it.
        tables: Map of a table name to its changes.
        listing_digest: Digest of the listing; None if only some categories were compared, because then
            the listing does not describe all loaded rows.
        listing_seconds: Time to list the root.
        renamed: Number of images that are loaded under an id whose name was not normalised.
        notes: Sentences about how names were read, for the log of a run.
    """

    root_uri: str
    ignored: int
    tables: dict[str, TableChanges]
    listing_digest: str | None
    listing_seconds: float = 0.0
    renamed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def any_change(self) -> bool:
        """Return True if there is something to load."""
        return any(changes.any for changes in self.tables.values())

    @property
    def renaming(self) -> str | None:
        """Return the message about images that get a new id by this load; None if there are none."""
        if not self.renamed:
            return None
        return (
            f"{self.renamed} images have a new image_id, because names are now normalised: accented "
            "letters are composed (NFC), and names in zip archives are read as UTF-8 if they are valid "
            "UTF-8. The files are the same, and are decoded again."
        )


def reconcile(
    dataset: SourceDataset,
    location: str,
    warehouse: Warehouse,
    *,
    categories: Sequence[str] = (),
    allow_shrink: bool = False,
    allow_strays: bool = False,
    follow_links: bool = False,
    from_samples: bool = False,
    run_id: str | None = None,
    progress: Progress | None = None,
) -> Reconciliation:
    """List a root and compare it with the tables.

    This changes no rows of the dataset, except those that a killed load left incomplete. If there is
    something to load, the row in `source_datasets` is written first, so that the warehouse lists the
    dataset before its rows arrive.

    Args:
        dataset: The source dataset.
        location: Its root.
        warehouse: Warehouse with its tables.
        categories: Categories to compare; empty means all.
        allow_shrink: Accept a listing of fewer than 80 % of the images accepted so far. The consent is
            recorded, and also covers the publication of this change.
        allow_strays: Accept a first load of a root in which most files belong to no image.
        follow_links: Whether symbolic links may leave the root.
        from_samples: Whether the root is the repository's samples, because no root was named.
        run_id: Recorded with a consent.
        progress: Called with the number of files listed so far.

    Raises:
        RootError: The root is missing or cannot be listed.
        ShrunkRootError: The root is empty, or lists fewer than 80 % of the accepted images.
        UnrecognisedRootError: Its files have the layout of another source dataset, or, at the first load,
            most of them belong to no image.
        RootTakenError: Images of the root are loaded as another source dataset.
        UnknownCategoryError: One of `categories` does not exist, or only samples are loaded.
    """
    with warehouse.connect() as connection:
        ensure_tables(connection)
        discard_staged(connection, dataset.name)
        settle_interrupted(connection, dataset.name)
        stored = stored_datasets(connection).get(dataset.name)
        loaded = LoadedTables(connection, dataset.name)
        started = time.monotonic()
        try:
            root = open_root(location, follow_links=follow_links)
            catalog = list_catalog(dataset, root, progress)
        except RootError as error:
            before = sum(loaded.categories.values())
            counts = f"0 images listed, {before} loaded; nothing was changed. "
            raise root_error(dataset, location, error, counts) from error
        seconds = time.monotonic() - started
        collect_and_free(connection)  # of the listing, only its rows are kept
        if not from_samples:
            refuse_taken_images(loaded, dataset, root.uri, catalog.images)
        refuse_other_dataset(dataset, root.uri, catalog)
        refuse_unknown_categories(dataset, catalog.images, loaded.categories, categories)
        folders: Sequence[str] = ()
        moved: Sequence[str] = ()
        if categories:
            folders = loaded.folders_of_strays(root, catalog, categories)
            asked = loaded.spellings(catalog, categories)
            categories = loaded.with_moved(catalog.images, asked)
            moved = sorted({*categories}.difference(asked))
        size = Size.of(catalog.images, loaded.categories, categories, stored)
        refuse_mixed_rows(loaded, dataset, root.uri, categories, stored, from_samples=from_samples)
        if not allow_shrink:
            refuse_shrinking(dataset, root.uri, catalog, size)
        if not size.before and not allow_strays:
            refuse_mostly_strays(dataset, root.uri, catalog)
        images = loaded.changes("images", catalog.images, categories)
        found = Reconciliation(
            root.uri,
            catalog.ignored,
            {
                "images": images,
                "stray_files": loaded.changes("stray_files", catalog.stray_files, folders),
            },
            None if categories else listing_digest(catalog),
            seconds,
            loaded.renamed(in_categories(catalog.images, categories)) if images.deleted else 0,
            (*_notes(dataset, stored, moved), *catalog.notes),
        )
        noted = stored and (stored.from_samples, stored.definition_digest, stored.commercial_use)
        # The last one is null in a warehouse of an earlier release.
        present = from_samples, dataset.definition_digest, dataset.declaration.commercial_use
        if found.any_change or noted != present:
            with warehouse.writing():
                take_over(connection)
                allow_nulls(connection, dataset.name)
                _record(connection, dataset, found, size, from_samples, run_id)
        return found


def _record(
    connection: duckdb.DuckDBPyConnection,
    dataset: SourceDataset,
    found: Reconciliation,
    size: Size,
    from_samples: bool,
    run_id: str | None,
) -> None:
    most_images, most_samples = size.mark, None
    if size.is_loss:  # consented; otherwise it was refused before
        most_images = size.after
        most_samples = _expected_samples(connection, dataset.name, size)
        note_consent(connection, dataset.name, "shrunk_root", size.after, run_id)
    record_listing(
        connection,
        dataset,
        root_uri=found.root_uri,
        from_samples=from_samples,
        most_images=0 if from_samples else most_images,
        most_samples=0 if from_samples else most_samples,
    )


def _expected_samples(connection: duckdb.DuckDBPyConnection, name: str, size: Size) -> int:
    """Return the mark of samples after a consent: the same share of images as before must be usable.

    The consent covers fewer images. If these can no longer be decoded, another consent is needed.
    """
    stored = stored_datasets(connection).get(name)
    samples = max(stored.most_samples if stored else 0, sample_counts(connection).get(name, 0))
    return min(size.after, round(size.after * samples / max(size.mark, 1)))


def _notes(
    dataset: SourceDataset, stored: StoredDataset | None, moved: Sequence[str]
) -> Iterator[str]:
    """Yield sentences about a changed declaration, and about further categories that are reloaded."""
    canonical = dataset.declaration.canonical_json
    if stored and stored.declaration not in (None, canonical):
        before, now = json.loads(str(stored.declaration)), json.loads(canonical)
        keys = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
        yield f"{dataset.title}: its declaration has changed since the last load: {', '.join(keys)}."
    if moved:
        named = ", ".join(map(shown, moved[:MOST_NAMED]))
        yield f"{dataset.title}: images moved between categories, so these are reloaded too: {named}."
