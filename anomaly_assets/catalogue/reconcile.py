"""What a root holds against what is loaded: the difference, and the refusal to lose data by accident.

Listing is cheap, so every run lists the whole root and compares it with the tables in SQL. There is no
cursor on modification times: files out of an archive bring old ones and would be skipped silently.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.catalogue.listing import Catalog, Progress, list_catalog, listing_digest
from anomaly_assets.catalogue.repair import settle_interrupted
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.names import normalized, normalized_forms_of, shown
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.roots.base import RootError
from anomaly_assets.roots.open import open_root, root_error
from anomaly_assets.tables.ddl import allow_nulls, discard_staged, ensure_tables
from anomaly_assets.tables.identity import take_over
from anomaly_assets.tables.source_datasets import (
    StoredDataset,
    is_loss,
    note_consent,
    record_listing,
    sample_counts,
    stored_datasets,
)
from anomaly_assets.tables.sql_text import table_exists
from anomaly_assets.warehouse.base import Warehouse

LOAD_CHANGES_SCHEMA = pa.schema(
    [
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("rows_inserted", pa.int64(), nullable=False),
        pa.field("rows_updated", pa.int64(), nullable=False),
        pa.field("rows_deleted", pa.int64(), nullable=False),
        pa.field("root_uri", pa.string()),
    ]
)
"""One row per load and table, carried in the same dlt load as the rows it counts."""

_MOST_NAMED = 20
"""Categories below a root that a message names."""


class ShrunkRootError(AnomalyAssetsError, RuntimeError):
    """The root lists far fewer images than were accepted before; nothing was changed."""


class UnknownCategoryError(AnomalyAssetsError, ValueError):
    """A category was asked for that is neither below the root nor in the table."""


@dataclass(frozen=True)
class TableChanges:
    """How a listing differs from a table.

    Attributes:
        rows: The rows to stage: all listed rows of the changed part of the table.
        scope: SQL predicate of that part, or None for the whole table.
        inserted: Rows that the table does not have.
        updated: Rows that it has with other content.
        deleted: Rows that are no longer listed.
        unchanged: Rows that stay as they are.
        table_exists: False at the very first load, which makes the table even for no rows.
    """

    rows: pa.Table
    scope: str | None
    inserted: int
    updated: int
    deleted: int
    unchanged: int
    table_exists: bool = True

    @property
    def any(self) -> bool:
        """Whether there is something to load."""
        return bool(self.inserted or self.updated or self.deleted) or not self.table_exists

    def counted(self, table: str, root_uri: str) -> pa.Table:
        """The row of `load_changes` that counts these changes, and says where they came from."""
        counts = [[table], [self.inserted], [self.updated], [self.deleted], [root_uri]]
        return pa.table(counts, schema=LOAD_CHANGES_SCHEMA)


@dataclass(frozen=True)
class Reconciliation:
    """What one run found below a root and would change.

    Attributes:
        root_uri: Address of the root.
        ignored: Number of junk files below it.
        tables: Table name to its changes.
        listing_digest: Changes exactly when the listing does; None where only some categories were
            compared, because then it says nothing about what is loaded.
        listing_seconds: How long listing the root took.
        renamed: Images that are loaded under an id in which their name was not normalised.
    """

    root_uri: str
    ignored: int
    tables: dict[str, TableChanges]
    listing_digest: str | None
    listing_seconds: float = 0.0
    renamed: int = 0

    @property
    def any_change(self) -> bool:
        """Whether there is something to load."""
        return any(changes.any for changes in self.tables.values())

    @property
    def renaming(self) -> str | None:
        """A sentence about images that get another id by this load; None where there are none."""
        if not self.renamed:
            return None
        return (
            f"{self.renamed} images have a new image_id, because names are now normalised: accents are one "
            "letter each (NFC), and names in zip archives are read as UTF-8 where they are. Their files "
            "are the same, and are decoded again."
        )


def reconcile(
    dataset: SourceDataset,
    location: str,
    warehouse: Warehouse,
    *,
    categories: Sequence[str] = (),
    allow_shrink: bool = False,
    from_samples: bool = False,
    run_id: str | None = None,
    progress: Progress | None = None,
) -> Reconciliation:
    """List a root and compare it with what is loaded.

    Changes no rows of the dataset but what a killed load left. If there is something to load, the row of
    the dataset in `source_datasets` is written, so that the warehouse lists it before a row is there.

    Args:
        dataset: The source dataset.
        location: Its root.
        warehouse: Where its tables are.
        categories: Only these categories are compared; empty means all of them.
        allow_shrink: Accept a listing of fewer than 80 % of the images accepted so far; the consent is
            recorded, and holds for the publication of this change.
        from_samples: Whether the root is the samples of the repository, because none was named.
        run_id: Recorded with a consent.
        progress: Called with the number of files listed so far.

    Raises:
        RootError: The root is missing or cannot be listed.
        ShrunkRootError: It is empty, or lists fewer than 80 % of the images that were accepted.
        UnknownCategoryError: One of `categories` exists nowhere, or only samples are loaded.
    """
    with warehouse.connect() as connection:
        ensure_tables(connection)
        discard_staged(connection, dataset.name)
        settle_interrupted(connection, dataset.name)
        stored = stored_datasets(connection).get(dataset.name)
        loaded = _loaded_categories(connection, dataset)
        started = time.monotonic()
        try:
            root = open_root(location)
            catalog = list_catalog(dataset, root, progress)
        except RootError as error:
            counts = f"0 images listed, {sum(loaded.values())} loaded; nothing was changed. "
            raise root_error(dataset, error, counts) from error
        seconds = time.monotonic() - started
        _refuse_unknown_categories(dataset, catalog, loaded, categories)
        if categories:
            categories = _spellings(connection, dataset, catalog, categories)
        size = _Size.of(catalog, loaded, categories, stored)
        if stored and stored.from_samples and not from_samples:
            _refuse_part_of_samples(dataset, categories)
        elif stored and categories and stored.root_uri not in (None, root.uri):
            raise UnknownCategoryError(
                f"{dataset.title} is loaded from {stored.root_uri}, and {dataset.root_variable} names "
                f"{root.uri}: load all of its categories from there once. Rows of two roots would be "
                "recorded as rows of one."
            )
        if not allow_shrink:
            _refuse_shrinking(dataset, root.uri, catalog, size)
        tables = {
            "images": _changes(connection, dataset, "images", catalog.images, categories),
            "stray_files": _changes(
                connection, dataset, "stray_files", catalog.stray_files, categories
            ),
        }
        digest = None if categories else listing_digest(catalog)
        listed = _in_categories(catalog.images, categories)
        renamed = _renamed(connection, dataset, listed) if tables["images"].deleted else 0
        found = Reconciliation(root.uri, catalog.ignored, tables, digest, seconds, renamed)
        if found.any_change or stored is None or stored.from_samples != from_samples:
            with warehouse.writing():
                take_over(connection)
                allow_nulls(connection, dataset.name)
                _record(connection, dataset, found, size, from_samples, run_id)
        return found


@dataclass(frozen=True)
class _Size:
    """Numbers of images that the rule against losses compares.

    Attributes:
        listed: Listed now, in the categories that are reloaded.
        loaded: Loaded so far, in the same categories.
        after: In all categories, if the listing is accepted.
        before: In all categories, as loaded so far.
        mark: Largest number accepted since the last consent; 0 if only samples are loaded.
    """

    listed: int
    loaded: int
    after: int
    before: int
    mark: int

    @classmethod
    def of(
        cls,
        catalog: Catalog,
        loaded: dict[str, int],
        categories: Sequence[str],
        stored: StoredDataset | None,
    ) -> _Size:
        listed = _in_categories(catalog.images, categories).num_rows
        in_categories = sum(
            count for name, count in loaded.items() if not categories or name in categories
        )
        before = sum(loaded.values())
        after = before - in_categories + listed
        if stored is not None and stored.from_samples:
            return cls(listed, 0, after, 0, 0)
        return cls(
            listed, in_categories, after, before, max(before, stored.most_images if stored else 0)
        )

    @property
    def is_loss(self) -> bool:
        return is_loss(self.loaded, self.listed) or is_loss(self.mark, self.after)


def _record(
    connection: duckdb.DuckDBPyConnection,
    dataset: SourceDataset,
    found: Reconciliation,
    size: _Size,
    from_samples: bool,
    run_id: str | None,
) -> None:
    most_images, most_samples = size.mark, None
    if size.is_loss:  # which was allowed, or it would have been refused
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


def _expected_samples(connection: duckdb.DuckDBPyConnection, name: str, size: _Size) -> int:
    """Return the mark of samples after a consent: the share of the images that was usable before.

    The consent is to fewer images; that these can then no longer be decoded needs another one.
    """
    stored = stored_datasets(connection).get(name)
    samples = max(stored.most_samples if stored else 0, sample_counts(connection).get(name, 0))
    return min(size.after, round(size.after * samples / max(size.mark, 1)))


def category_scope(categories: Sequence[str]) -> str:
    """Predicate for the rows of some categories, safe whatever a folder is called.

    Canonical paths start with the category, in both tables.
    """
    digests = sorted(
        hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() for name in categories
    )
    return "md5(split_part(relative_path, '/', 1)) IN ('{}')".format("', '".join(digests))


def _loaded_categories(
    connection: duckdb.DuckDBPyConnection, dataset: SourceDataset
) -> dict[str, int]:
    if not table_exists(connection, dataset.name, "images"):
        return {}
    query = "SELECT category, count(*) FROM query_table($table) GROUP BY ALL"
    return dict(connection.execute(query, {"table": f"{dataset.name}.images"}).fetchall())


def _refuse_unknown_categories(
    dataset: SourceDataset, catalog: Catalog, loaded: dict[str, int], categories: Sequence[str]
) -> None:
    listed = set(catalog.images["category"].unique().to_pylist())
    known = listed | set().union(*map(normalized_forms_of, loaded))
    unknown = sorted(
        name for name in categories if name not in loaded and normalized(name) not in known
    )
    if unknown:
        asked = ", ".join(f"'{shown(name)}'" for name in unknown)
        named = ", ".join(map(shown, sorted(listed)[:_MOST_NAMED])) or "none"
        more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
        raise UnknownCategoryError(
            f"{dataset.title} has no category {asked}. Below the root: {named}{more}."
        )


def _spellings(
    connection: duckdb.DuckDBPyConnection,
    dataset: SourceDataset,
    catalog: Catalog,
    categories: Sequence[str],
) -> list[str]:
    """Return categories in all spellings with which rows of theirs begin, listed or loaded.

    Stray files keep their own spelling, and rows of the first release all do.
    """
    folders: set[str] = set()
    for table, listed in (("images", catalog.images), ("stray_files", catalog.stray_files)):
        folders.update(_first_folders(listed).unique().to_pylist())
        if table_exists(connection, dataset.name, table):
            query = "SELECT DISTINCT split_part(relative_path, '/', 1) FROM query_table($table)"
            rows = connection.execute(query, {"table": f"{dataset.name}.{table}"}).fetchall()
            folders.update(folder for (folder,) in rows)
    asked = set().union(*map(normalized_forms_of, categories))
    return sorted(folder for folder in folders if normalized_forms_of(folder) & asked)


def _renamed(
    connection: duckdb.DuckDBPyConnection, dataset: SourceDataset, listed: pa.Table
) -> int:
    """Count the loaded images that are listed under a normalised name instead of their old one."""
    connection.register("listed", listed.select(["relative_path"]))
    parameters = {"table": f"{dataset.name}.images"}
    new = {path for (path,) in connection.execute(_NEW, parameters).fetchall()}
    gone = [path for (path,) in connection.execute(_GONE, parameters).fetchall()]
    connection.unregister("listed")
    return sum(not new.isdisjoint(normalized_forms_of(path)) for path in gone)


def _refuse_part_of_samples(dataset: SourceDataset, categories: Sequence[str]) -> None:
    if categories:
        raise UnknownCategoryError(
            f"Only the samples of the repository are loaded for {dataset.title}, and one category alone "
            "would mix with them. Reload all categories first (leave `categories` out)."
        )


def _refuse_shrinking(dataset: SourceDataset, root_uri: str, catalog: Catalog, size: _Size) -> None:
    if not size.is_loss and not catalog.empty_because:
        return
    why = f"{catalog.empty_because} " if catalog.empty_because else ""
    accepted = f" ({size.mark} were accepted before)" if size.mark > size.before else ""
    remedy = (
        " If the images are meant to be gone, run again with this run config: "
        f"{{ops: {{{dataset.name}: {{config: {{allow_shrink: true}}}}}}}}"
    )
    raise ShrunkRootError(
        f"{why}{root_uri} lists {size.listed} images of {dataset.title}, {size.loaded} are loaded"
        f"{accepted}; nothing was changed.{remedy if size.mark else ''}"
    )


def _in_categories(table: pa.Table, categories: Sequence[str]) -> pa.Table:
    if not categories:
        return table
    return table.filter(pc.is_in(_first_folders(table), pa.array(categories, pa.string())))


def _first_folders(table: pa.Table) -> pa.ChunkedArray:
    return pc.list_element(pc.split_pattern(table["relative_path"], "/", max_splits=1), 0)


def _changes(
    connection: duckdb.DuckDBPyConnection,
    dataset: SourceDataset,
    table: str,
    listed: pa.Table,
    categories: Sequence[str],
) -> TableChanges:
    """Compare listed rows with loaded ones in SQL, and stage the categories that differ."""
    listed = _in_categories(listed, categories)
    if not table_exists(connection, dataset.name, table):
        return TableChanges(listed, None, listed.num_rows, 0, 0, 0, table_exists=False)
    connection.register("listed", listed)
    parameters = {"table": f"{dataset.name}.{table}", "categories": list(categories)}
    rows = connection.execute(_COMPARE, parameters).fetchall()
    connection.unregister("listed")
    totals = [sum(row[position] for row in rows) for position in (1, 2, 3, 4)]
    changed = [category for category, *counts, _ in rows if any(counts)]
    return TableChanges(_in_categories(listed, changed), category_scope(changed), *totals)


_NEW = "SELECT relative_path FROM listed ANTI JOIN query_table($table) USING (relative_path)"

_GONE = """
SELECT relative_path FROM query_table($table) ANTI JOIN listed USING (relative_path)
WHERE regexp_matches(relative_path, '[^\\x00-\\x7F]')
"""

_COMPARE = """
SELECT
    split_part(coalesce(listed.relative_path, loaded.relative_path), '/', 1) AS category,
    count(*) FILTER (loaded.relative_path IS NULL) AS inserted,
    count(*) FILTER (
        listed.relative_path = loaded.relative_path AND listed IS DISTINCT FROM loaded
    ) AS updated,
    count(*) FILTER (listed.relative_path IS NULL) AS deleted,
    count(*) FILTER (listed IS NOT DISTINCT FROM loaded) AS unchanged
FROM listed
FULL JOIN (
    SELECT * EXCLUDE (_dlt_load_id)
    FROM query_table($table)
    WHERE len($categories) = 0 OR list_contains($categories, split_part(relative_path, '/', 1))
) AS loaded ON listed.relative_path = loaded.relative_path
GROUP BY ALL
"""
