"""Find the differences between a root and the tables, and refuse to lose data by accident.

Listing is cheap, so every run lists the whole root and compares it with the tables in SQL. There is no
cursor on modification times, because files from an archive have old times and would be skipped
silently.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.catalogue.layouts import among_others
from anomaly_assets.catalogue.listing import (
    DECLARED_BUT_MISSING,
    Catalog,
    Progress,
    list_catalog,
    listing_digest,
)
from anomaly_assets.catalogue.repair import settle_interrupted
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.names import normalized, normalized_forms_of, shown
from anomaly_assets.errors import AnomalyAssetsError, rerun_with
from anomaly_assets.roots.base import Root, RootError
from anomaly_assets.roots.open import open_root, root_error, same_place
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
"""Schema of `load_changes`: one row per load and table, in the same dlt load as the counted rows."""

NOT_NEEDED = "not_needed"
"""Reason of files that the key `strays` names, if it gives no other one."""

_MOST_NAMED = 20
"""Maximum number of categories below a root that a message names."""


class ShrunkRootError(AnomalyAssetsError, RuntimeError):
    """The root lists far fewer images than were accepted before; nothing was changed."""


class UnrecognisedRootError(AnomalyAssetsError, RuntimeError):
    """The files of a root have another layout than its dataset; nothing was changed."""


class RootTakenError(AnomalyAssetsError, RuntimeError):
    """Images of the root are loaded as another source dataset; nothing was changed."""


class UnknownCategoryError(AnomalyAssetsError, ValueError):
    """A requested category is neither below the root nor in the table."""


@dataclass(frozen=True)
class TableChanges:
    """Differences between a listing and a table.

    Attributes:
        rows: The rows to stage: all listed rows of the changed part of the table.
        scope: SQL predicate of that part; None for the whole table.
        inserted: Number of listed rows that the table lacks.
        updated: Number of listed rows whose content differs from the loaded row of the same path.
        deleted: Number of loaded rows that are no longer listed.
        unchanged: Number of equal rows.
        table_exists: False at the first load, which creates the table even for no rows.
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
        """Return True if there is something to load."""
        return bool(self.inserted or self.updated or self.deleted) or not self.table_exists

    def counted(self, table: str, root_uri: str) -> pa.Table:
        """Return the row of `load_changes` with the counts of these changes and the root."""
        counts = [[table], [self.inserted], [self.updated], [self.deleted], [root_uri]]
        return pa.table(counts, schema=LOAD_CHANGES_SCHEMA)


@dataclass(frozen=True)
class Reconciliation:
    """Result of comparing a root with the tables.

    Attributes:
        root_uri: URI of the root.
        ignored: Number of junk files below it.
        tables: Table name to its changes.
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
        loaded = _loaded_categories(connection, dataset)
        started = time.monotonic()
        try:
            root = open_root(location, follow_links=follow_links)
            catalog = list_catalog(dataset, root, progress)
        except RootError as error:
            counts = f"0 images listed, {sum(loaded.values())} loaded; nothing was changed. "
            raise root_error(dataset, location, error, counts) from error
        seconds = time.monotonic() - started
        if not from_samples:
            _refuse_taken_images(connection, dataset, root.uri, catalog.images)
        _refuse_other_dataset(dataset, root.uri, catalog)
        _refuse_unknown_categories(dataset, catalog, loaded, categories)
        folders: Sequence[str] = ()
        moved: Sequence[str] = ()
        if categories:
            folders = _folders_of_strays(connection, dataset, root, catalog, categories)
            asked = _spellings(catalog, loaded, categories)
            categories = _with_moved(connection, dataset, catalog.images, asked)
            moved = sorted({*categories}.difference(asked))
        size = _Size.of(catalog, loaded, categories, stored)
        if stored and stored.from_samples and not from_samples:
            _refuse_part_of_samples(dataset, categories)
        elif stored and categories and _is_declared_anew(dataset, stored):
            raise UnknownCategoryError(
                f"The declaration of {dataset.title} has changed since its last load: load all categories "
                "once (leave `categories` empty), because rows of two declarations do not fit together."
            )
        elif stored and categories and stored.root_uri not in (None, root.uri):
            raise UnknownCategoryError(
                f"{dataset.title} is loaded from {stored.root_uri}, but {dataset.root_variable} names "
                f"{root.uri}: load all categories from the new root once, because the tables record one "
                "root per source dataset."
            )
        _refuse_rows_of_another_root(connection, dataset, root.uri, categories)
        if not allow_shrink:
            _refuse_shrinking(dataset, root.uri, catalog, size)
        if not size.before and not allow_strays:
            refuse_mostly_strays(dataset, root.uri, catalog)
        tables = {
            "images": _changes(connection, dataset, "images", catalog.images, categories),
            "stray_files": _changes(
                connection,
                dataset,
                "stray_files",
                catalog.stray_files,
                folders,
            ),
        }
        digest = None if categories else listing_digest(catalog)
        listed = _in_categories(catalog.images, categories)
        renamed = _renamed(connection, dataset, listed) if tables["images"].deleted else 0
        found = Reconciliation(
            root.uri,
            catalog.ignored,
            tables,
            digest,
            seconds,
            renamed,
            (
                *_what_is_declared_anew(dataset, stored),
                *_what_moved(dataset, moved),
                *catalog.notes,
            ),
        )
        noted = stored and (stored.from_samples, stored.definition_digest)
        if found.any_change or noted != (from_samples, dataset.definition_digest):
            with warehouse.writing():
                take_over(connection)
                allow_nulls(connection, dataset.name)
                _record(connection, dataset, found, size, from_samples, run_id)
        return found


@dataclass(frozen=True)
class _Size:
    """Numbers of images for the check against losses.

    Attributes:
        listed: Listed now, in the reloaded categories.
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


def _expected_samples(connection: duckdb.DuckDBPyConnection, name: str, size: _Size) -> int:
    """Return the mark of samples after a consent: the same share of images as before must be usable.

    The consent covers fewer images. If these can no longer be decoded, another consent is needed.
    """
    stored = stored_datasets(connection).get(name)
    samples = max(stored.most_samples if stored else 0, sample_counts(connection).get(name, 0))
    return min(size.after, round(size.after * samples / max(size.mark, 1)))


def scope_of(table: str, names: Sequence[str]) -> str:
    """Return a predicate for the rows of some categories or folders, safe for any name of them.

    Args:
        table: `images`, whose rows have a category, or `stray_files`, whose rows have a folder.
        names: The categories or folders.
    """
    digests = sorted(
        hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() for name in names
    )
    return "md5({}) IN ('{}')".format(_PART_OF[table], "', '".join(digests))


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


def _refuse_rows_of_another_root(
    connection: duckdb.DuckDBPyConnection,
    dataset: SourceDataset,
    root_uri: str,
    categories: Sequence[str],
) -> None:
    """Refuse to load some categories if others are loaded from another root.

    The recorded root does not suffice: it is recorded before the rows, and a kill may come between.
    """
    if not categories or not table_exists(connection, dataset.name, "images"):
        return
    found = connection.execute(
        f"""
        SELECT source_uri FROM {dataset.name}.images
        WHERE NOT starts_with(source_uri, $root || '/') AND NOT ({scope_of("images", categories)})
        ORDER BY ALL LIMIT 1
        """,  # noqa: S608
        {"root": root_uri},
    ).fetchall()
    if found:
        raise UnknownCategoryError(
            f"{dataset.title}: other categories are loaded from another root ({shown(found[0][0])}), but "
            f"{dataset.root_variable} names {root_uri}: load all categories from the new root once, "
            "because the tables record one root per source dataset."
        )


def _spellings(catalog: Catalog, loaded: Mapping[str, int], categories: Sequence[str]) -> list[str]:
    """Return all spellings of categories in listed and loaded rows; the first release kept each one."""
    known = {*catalog.images["category"].unique().to_pylist(), *loaded}
    asked = set().union(*map(normalized_forms_of, categories))
    return sorted(name for name in known if normalized_forms_of(name) & asked)


def _with_moved(
    connection: duckdb.DuckDBPyConnection,
    dataset: SourceDataset,
    listed: pa.Table,
    categories: Sequence[str],
) -> list[str]:
    """Return categories with all others from or to which an image has moved since the last load.

    A load replaces whole categories. Without the other one, an image that left a category would be lost.
    """
    if not table_exists(connection, dataset.name, "images"):
        return [*categories]
    connection.register("listed", listed.select(["relative_path", "category"]))
    pairs = connection.execute(_MOVED, {"table": f"{dataset.name}.images"}).fetchall()
    connection.unregister("listed")
    found = {*categories}
    while more := {name for pair in pairs if not found.isdisjoint(pair) for name in pair} - found:
        found |= more
    return sorted(found)


def _what_moved(dataset: SourceDataset, categories: Sequence[str]) -> list[str]:
    """Return a sentence about categories that are reloaded although nobody asked for them."""
    if not categories:
        return []
    named = ", ".join(map(shown, categories[:_MOST_NAMED]))
    return [
        f"{dataset.title}: images moved between categories, so these are reloaded too: {named}."
    ]


def _folders_of_strays(
    connection: duckdb.DuckDBPyConnection,
    dataset: SourceDataset,
    root: Root,
    catalog: Catalog,
    categories: Sequence[str],
) -> Sequence[str]:
    """Return the first folders of stray files of some categories: those of their images.

    Stray files keep their own path. It begins with the folder around the dataset, if there is one.
    """
    spellings = pa.array(_spellings(catalog, dict.fromkeys(categories, 0), categories), pa.string())
    images = catalog.images.filter(pc.is_in(catalog.images["category"], spellings))
    paths = filter(None, map(root.path_of, images["source_uri"].to_pylist()))
    folders = {path.partition("/")[0] for path in paths}
    folders |= {name.partition("/")[0] for name in categories}
    known = set(_first_folders(catalog.stray_files).unique().to_pylist())
    if table_exists(connection, dataset.name, "stray_files"):
        query = f"SELECT DISTINCT {_PART_OF['stray_files']} FROM query_table($table)"  # noqa: S608
        rows = connection.execute(query, {"table": f"{dataset.name}.stray_files"}).fetchall()
        known.update(name for (name,) in rows)
    asked = set().union(*map(normalized_forms_of, folders))
    folders |= {name for name in known if normalized_forms_of(name) & asked}
    return sorted(folders)


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
            f"Only the samples of the repository are loaded for {dataset.title}. Loading some categories "
            "would mix them with real data. Load all categories first (leave `categories` empty)."
        )


def _refuse_shrinking(dataset: SourceDataset, root_uri: str, catalog: Catalog, size: _Size) -> None:
    if not size.is_loss and not catalog.empty_because:
        return
    why = f"{catalog.empty_because} " if catalog.empty_because else ""
    accepted = f" ({size.mark} were accepted before)" if size.mark > size.before else ""
    remedy = f" If you removed them on purpose, {rerun_with(dataset.name, 'allow_shrink')}"
    offer = size.mark and catalog.images.num_rows  # a wrong root is no reason to accept a loss
    raise ShrunkRootError(
        f"{why}{root_uri} lists {size.listed} images of {dataset.title}, {size.loaded} are loaded"
        f"{accepted}; nothing was changed.{remedy if offer else ''}"
    )


def _is_declared_anew(dataset: SourceDataset, stored: StoredDataset) -> bool:
    return stored.declaration not in (None, dataset.declaration.canonical_json)


def _what_is_declared_anew(dataset: SourceDataset, stored: StoredDataset | None) -> list[str]:
    """Return a sentence if the declaration has changed since the last load, which explains changes."""
    if stored is None or stored.declaration in (None, dataset.declaration.canonical_json):
        return []
    before, now = (
        json.loads(str(stored.declaration)),
        json.loads(dataset.declaration.canonical_json),
    )
    keys = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return [f"{dataset.title}: its declaration has changed since the last load: {', '.join(keys)}."]


def _refuse_taken_images(
    connection: duckdb.DuckDBPyConnection, dataset: SourceDataset, root_uri: str, images: pa.Table
) -> None:
    """Refuse images that are loaded as another source dataset, which probably had another name.

    Two datasets can be in one root, if each has images of its own.
    """
    for name, other in stored_datasets(connection).items():
        if name == dataset.name or other.from_samples or other.root_uri is None:
            continue
        is_alias = same_place(other.root_uri, root_uri)
        roots = f"{root_uri}/", f"{other.root_uri}/"
        is_within = roots[0].startswith(roots[1]) or roots[1].startswith(roots[0])
        if not (is_within or is_alias) or not table_exists(connection, name, "images"):
            continue
        connection.register("listed", images.select(["source_uri"]))
        values = {
            "table": f"{name}.images",
            "root": root_uri,
            "theirs": other.root_uri if is_alias else root_uri,
        }
        [(count,)] = connection.execute(_LOADED_AS_ANOTHER, values).fetchall()
        connection.unregister("listed")
        if count:
            raise RootTakenError(
                f"{count} images below {root_uri} are loaded as {name} already, and {dataset.name} would "
                f"add them again. If {dataset.name} replaces {name}, take the root of {name} out of the "
                f"declarations and variables, run `anomaly-assets forget {name}`, and run again. Nothing "
                "was changed."
            )


def _refuse_other_dataset(dataset: SourceDataset, root_uri: str, catalog: Catalog) -> None:
    if catalog.other is None:
        return
    other = catalog.other
    raise UnrecognisedRootError(
        f"{root_uri} contains no {dataset.title} images. It looks like {other.title}. The layout of "
        f"{other.title} finds masks or labels of its images, that of {dataset.title} finds none. Set "
        f"{other.root_variable} to this root, and correct {dataset.root_variable}. Nothing was changed."
    )


def refuse_mostly_strays(dataset: SourceDataset, root_uri: str, catalog: Catalog) -> None:
    """Refuse a root in which more than half of the files belong to no image.

    Raises:
        UnrecognisedRootError: It has such files.
    """
    reasons = Counter(catalog.stray_files["reason"].to_pylist())
    del reasons[DECLARED_BUT_MISSING]  # these are not files
    del reasons[NOT_NEEDED]  # the declaration names them
    masks = catalog.images.num_rows - catalog.images["mask_relative_path"].null_count
    strays, used = reasons.total(), catalog.images.num_rows + masks
    if strays <= used:
        return
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))
    first = catalog.stray_files["relative_path"][0].as_py()
    images = catalog.images.num_rows
    links = reasons["link_out_of_the_root"] or reasons["linked_folder"]
    hint = f" Symbolic links are read with {dataset.links_variable}=follow." if links else ""
    if fit := among_others(dataset, catalog.stray_files["relative_path"].to_pylist()):
        hint += (
            f" {len(fit.images)} of them are images of {fit.dataset.title}: give each dataset a folder of "
            f"its own, and set {dataset.root_variable} and {fit.dataset.root_variable} to these."
        )
    raise UnrecognisedRootError(
        f"{root_uri}: {strays} of {strays + used} files belong to no image of {dataset.title} ({counted}), "
        f"such as '{shown(first)}'. The root may have another layout; nothing was changed.{hint} "
        f"To load only the images that were found ({images}), {rerun_with(dataset.name, 'allow_strays')}"
    )


def _in_categories(table: pa.Table, categories: Sequence[str]) -> pa.Table:
    if not categories:
        return table
    return table.filter(pc.is_in(table["category"], pa.array(categories, pa.string())))


def _in_part(table: str, listed: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the listed rows of some categories, or of some first folders of stray files."""
    if table == "images":
        return _in_categories(listed, names)
    if not names:
        return listed
    return listed.filter(pc.is_in(_first_folders(listed), pa.array(names, pa.string())))


def _first_folders(table: pa.Table) -> pa.ChunkedArray:
    return pc.list_element(pc.split_pattern(table["relative_path"], "/", max_splits=1), 0)


def _changes(
    connection: duckdb.DuckDBPyConnection,
    dataset: SourceDataset,
    table: str,
    listed: pa.Table,
    names: Sequence[str],
) -> TableChanges:
    """Compare listed rows with loaded rows in SQL, and return those of the categories that differ.

    Args:
        connection: The warehouse.
        dataset: The source dataset.
        table: `images` or `stray_files`.
        listed: Its rows by the listing.
        names: Categories of images, or first folders of stray files, to compare; empty for all.
    """
    listed = _in_part(table, listed, names)
    if not table_exists(connection, dataset.name, table):
        return TableChanges(listed, None, listed.num_rows, 0, 0, 0, table_exists=False)
    connection.register("listed", listed)
    parameters = {"table": f"{dataset.name}.{table}", "names": list(names)}
    compare = _COMPARE.replace("<part>", _PART_OF[table])
    rows = connection.execute(compare, parameters).fetchall()
    connection.unregister("listed")
    totals = [sum(row[position] for row in rows) for position in (2, 3, 4, 5)]
    # An image may have been in another category before, which is in the scope of the merge too.
    changed = {
        name
        for *parts, inserted, updated, deleted, _ in rows
        if inserted or updated or deleted
        for name in parts
        if name is not None
    }
    scope = sorted(changed)
    return TableChanges(_in_part(table, listed, scope), scope_of(table, scope), *totals)


_NEW = "SELECT relative_path FROM listed ANTI JOIN query_table($table) USING (relative_path)"

_GONE = """
SELECT relative_path FROM query_table($table) ANTI JOIN listed USING (relative_path)
WHERE regexp_matches(relative_path, '[^\\x00-\\x7F]')
"""

_LOADED_AS_ANOTHER = """
SELECT count(*)
FROM (SELECT $theirs || substr(source_uri, length($root) + 1) AS source_uri FROM listed)
SEMI JOIN query_table($table) USING (source_uri)
"""

_MOVED = """
SELECT DISTINCT listed.category, loaded.category
FROM listed JOIN query_table($table) AS loaded USING (relative_path)
WHERE listed.category <> loaded.category
"""

_PART_OF = {"images": "category", "stray_files": "split_part(relative_path, '/', 1)"}
"""SQL of the part of a table that a row belongs to; a load replaces whole parts."""

_COMPARE = """
SELECT
    listed.part AS listed_part,
    loaded.part AS loaded_part,
    count(*) FILTER (loaded.relative_path IS NULL) AS inserted,
    count(*) FILTER (
        listed.relative_path = loaded.relative_path AND listed IS DISTINCT FROM loaded
    ) AS updated,
    count(*) FILTER (listed.relative_path IS NULL) AS deleted,
    count(*) FILTER (listed.relative_path = loaded.relative_path) - updated AS unchanged
FROM (SELECT *, <part> AS part FROM listed) AS listed
FULL JOIN (
    -- The empty part has all columns in order: a table of an earlier release lacks the newest ones.
    SELECT *, <part> AS part FROM listed WHERE false
    UNION ALL BY NAME
    SELECT * EXCLUDE (_dlt_load_id), <part> AS part
    FROM query_table($table)
    WHERE len($names) = 0 OR list_contains($names, <part>)
) AS loaded ON listed.relative_path = loaded.relative_path
GROUP BY ALL
"""
