"""Compare the rows of a listing with those of the tables, in SQL.

A load replaces whole parts of a table: categories of images, and first folders of stray files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.catalogue.listing import Catalog
from anomaly_assets.datasets.names import normalized_forms_of
from anomaly_assets.roots.base import Root
from anomaly_assets.tables.sql_text import table_exists

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


@dataclass
class TableChanges:
    """Differences between a listing and a table.

    Attributes:
        rows: The rows to stage: all listed rows of the changed part of the table; none once they are taken.
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

    def take_rows(self) -> pa.Table:
        """Return `rows`, and forget them: from then on dlt has them in files."""
        rows, self.rows = self.rows, self.rows.schema.empty_table()
        return rows

    @property
    def any(self) -> bool:
        """Return True if there is something to load."""
        return bool(self.inserted or self.updated or self.deleted) or not self.table_exists

    def counted(self, table: str, root_uri: str) -> pa.Table:
        """Return the row of `load_changes` with the counts of these changes and the root."""
        counts = [[table], [self.inserted], [self.updated], [self.deleted], [root_uri]]
        return pa.table(counts, schema=LOAD_CHANGES_SCHEMA)


class LoadedTables:
    """The tables `images` and `stray_files` of a source dataset, as loaded.

    Args:
        connection: The warehouse.
        source_dataset: Name of the source dataset.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, source_dataset: str) -> None:
        self.connection = connection
        self._name = source_dataset

    @cached_property
    def categories(self) -> dict[str, int]:
        """Return the number of loaded images by category."""
        return dict(self.query("SELECT category, count(*) FROM query_table($table) GROUP BY ALL"))

    def query(
        self, query: str, listed: pa.Table | None = None, table: str = "images", **values: object
    ) -> list[Any]:
        """Return the rows of a query on `query_table($table)` and `listed`; none without the table."""
        if not table_exists(self.connection, self._name, table):
            return []
        if listed is not None:
            self.connection.register("listed", listed)
        found = self.connection.execute(query, {"table": f"{self._name}.{table}", **values})
        rows = found.fetchall()
        self.connection.unregister("listed")
        return rows

    def changes(self, table: str, listed: pa.Table, names: Sequence[str]) -> TableChanges:
        """Compare listed rows with loaded rows, and return those of the categories that differ.

        Paths and rows are compared by hashes of 64 bits: a join of whole rows takes as much memory as the
        rows.

        Args:
            table: `images` or `stray_files`.
            listed: Its rows by the listing.
            names: Categories of images, or first folders of stray files, to compare; empty for all.
        """
        listed = _in_part(table, listed, names)
        if not table_exists(self.connection, self._name, table):
            return TableChanges(listed, None, listed.num_rows, 0, 0, 0, table_exists=False)
        compare = _COMPARE.replace("<part>", _PART_OF[table])
        rows = self.query(compare, listed, table, names=list(names))
        totals = [sum(row[position] for row in rows) for position in (2, 3, 4, 5)]
        # An image may have moved: the merge must also replace the category in which it was before.
        changed = {
            name
            for *parts, inserted, updated, deleted, _ in rows
            if inserted or updated or deleted
            for name in parts
            if name is not None
        }
        scope = sorted(changed)
        return TableChanges(_in_part(table, listed, scope), scope_of(table, scope), *totals)

    def spellings(self, catalog: Catalog, categories: Iterable[str]) -> list[str]:
        """Return all spellings of categories in listed and loaded rows; the first release stored each."""
        known = {*catalog.images["category"].unique().to_pylist(), *self.categories}
        return sorted(_spelled_like(known, categories))

    def with_moved(self, listed: pa.Table, categories: Iterable[str]) -> list[str]:
        """Add the categories from or to which an image has moved since the last load; return all.

        A load replaces whole categories. If only the old category of a moved image was loaded, the image
        would be lost.
        """
        pairs = self.query(_MOVED, listed.select(["relative_path", "category"]))
        found = {*categories}
        while (
            more := {each for pair in pairs if not found.isdisjoint(pair) for each in pair} - found
        ):
            found |= more
        return sorted(found)

    def folders_of_strays(
        self, root: Root, catalog: Catalog, categories: Sequence[str]
    ) -> Sequence[str]:
        """Return the first folders whose stray files are loaded with these categories.

        They are the first folders of the images of these categories.

        Stray files keep their own path. It begins with the folder around the dataset, if there is one.
        """
        listed = catalog.images["category"].unique().to_pylist()
        images = in_categories(catalog.images, [*_spelled_like(listed, categories), *categories])
        paths = filter(None, map(root.path_of, images["source_uri"].to_pylist()))
        folders = {path.partition("/")[0] for path in (*paths, *categories)}
        loaded = self.query(
            f"SELECT DISTINCT {_PART_OF['stray_files']} FROM query_table($table)",  # noqa: S608
            table="stray_files",
        )
        known = {
            *_first_folders(catalog.stray_files).unique().to_pylist(),
            *(row[0] for row in loaded),
        }
        return sorted(folders | _spelled_like(known, folders))

    def renamed(self, listed: pa.Table) -> int:
        """Count the loaded images that are listed under a normalised name instead of their old one."""
        paths = listed.select(["relative_path"])
        new = {path for (path,) in self.query(_NEW, paths)}
        gone = self.query(_GONE, paths)
        return sum(not new.isdisjoint(normalized_forms_of(path)) for (path,) in gone)


def scope_of(table: str, names: Iterable[str]) -> str:
    """Return a predicate for the rows of these categories or folders; names may have any characters.

    Args:
        table: `images`, whose rows have a category, or `stray_files`, whose rows have a folder.
        names: The categories or folders.
    """
    digests = sorted(
        hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() for name in names
    )
    return "md5({}) IN ('{}')".format(_PART_OF[table], "', '".join(digests))


def in_categories(table: pa.Table, categories: Sequence[str]) -> pa.Table:
    """Return the rows of these categories; all rows for none."""
    return _in_part("images", table, categories)


def _in_part(table: str, listed: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the listed rows of these categories, or of these first folders of stray files."""
    if not names:
        return listed
    parts = listed["category"] if table == "images" else _first_folders(listed)
    return listed.filter(pc.is_in(parts, pa.array(names, pa.string())))


def _first_folders(table: pa.Table) -> pa.ChunkedArray:
    return pc.list_element(pc.split_pattern(table["relative_path"], "/", max_splits=1), 0)


def _spelled_like(known: Collection[str], names: Iterable[str]) -> set[str]:
    """Return the known names that can be another spelling of one of these names."""
    asked = set().union(*map(normalized_forms_of, names))
    return {name for name in known if normalized_forms_of(name) & asked}


_NEW = "SELECT relative_path FROM listed ANTI JOIN query_table($table) USING (relative_path)"

_GONE = """
SELECT relative_path FROM query_table($table) ANTI JOIN listed USING (relative_path)
WHERE regexp_matches(relative_path, '[^\\x00-\\x7F]')
"""

_MOVED = """
SELECT DISTINCT listed.category, loaded.category
FROM listed JOIN query_table($table) AS loaded USING (relative_path)
WHERE listed.category <> loaded.category
"""

_PART_OF = {"images": "category", "stray_files": "split_part(relative_path, '/', 1)"}
"""SQL of the part of a table that a row belongs to; a load replaces whole parts."""

_COMPARE = """
WITH both_tables AS NOT MATERIALIZED (
    -- In one union: a table of an earlier release lacks the newest columns, and hashes need equal types.
    SELECT true AS is_listed, * FROM listed
    UNION ALL BY NAME
    SELECT false AS is_listed, * EXCLUDE (_dlt_load_id)
    FROM query_table($table)
    WHERE len($names) = 0 OR list_contains($names, <part>)
),
hashed AS NOT MATERIALIZED (
    SELECT
        is_listed,
        hash(relative_path) AS path,
        <part> AS part,
        hash(*COLUMNS(* EXCLUDE (is_listed))) AS content
    FROM both_tables
)
SELECT
    listed.part AS listed_part,
    loaded.part AS loaded_part,
    count(*) FILTER (loaded.path IS NULL) AS inserted,
    count(*) FILTER (listed.path = loaded.path AND listed.content <> loaded.content) AS updated,
    count(*) FILTER (listed.path IS NULL) AS deleted,
    count(*) FILTER (listed.path = loaded.path) - updated AS unchanged
FROM (SELECT * FROM hashed WHERE is_listed) AS listed
FULL JOIN (SELECT * FROM hashed WHERE NOT is_listed) AS loaded ON listed.path = loaded.path
GROUP BY ALL
"""
