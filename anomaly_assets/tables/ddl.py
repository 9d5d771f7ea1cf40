"""Create the tables and views of the warehouse from `sql/*.sql`, with comments on every column."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources

import duckdb

from anomaly_assets.datasets.attributes import struct_of
from anomaly_assets.errors import WarehouseError
from anomaly_assets.tables.identity import ensure_identity
from anomaly_assets.tables.recipes import record_loaded
from anomaly_assets.tables.registry import (
    CATALOGUE_TABLES,
    STORED,
    SUMMARIES,
    TABLES,
    Column,
    Table,
)
from anomaly_assets.tables.source_datasets import register_loaded, stored_datasets, stored_names
from anomaly_assets.tables.sql_text import column_names, sql_literal, table_exists

ALIAS_SCHEMA = "anomaly"
"""Schema of views that give every harmonised table its contract name, `anomaly.<table>`."""

_CREATE = "CREATE OR REPLACE TABLE {} AS"
_SUMMARIES_FOLDER = "summaries"
LABEL_VIEWS = ("images", "corrected_fields", "effective_images", "corrections")
"""Views over the catalogues of all source datasets, in this order; `ensure_tables` adds missing ones."""

_READ_BY_LABELS = ("facts", "correction_lines", "rejected_images")
"""Stored tables that these views read: a label depends on the decoded mask, and on corrections."""

SAMPLE_VIEWS = ("samples", "samples_without_tensors", "recipe_statistics", "splits")
"""Views over tensors and facts, in this order; the macro `samples_at` is created with the first."""

HISTORY_VIEWS = ("load_history", "history")
"""Views over loads, in this order; the second also has publications, consents and refusals."""

_UNION = re.compile(r"(FROM|JOIN) <(\w+)>")
_ATTRIBUTES = "<attributes>"
_FURTHER_COLUMNS = "<further columns>"
_DLT_LOADS = (Column("load_id", "VARCHAR", ""),)


@contextmanager
def upstream_needed() -> Iterator[None]:
    """Turn DuckDB's error about a missing table into one that explains what to run first.

    Raises:
        WarehouseError: A table or view does not exist yet.
    """
    try:
        yield
    except duckdb.CatalogException as error:
        missing = re.search(r"Table with name (\S+) does not exist", str(error))
        if missing is None:
            raise
        name = "images" if missing[1] in (*LABEL_VIEWS, "samples") else missing[1]
        raise WarehouseError(
            f"The warehouse has no {name} yet. Materialize the assets upstream of this one first, "
            "or the whole graph."
        ) from None


@upstream_needed()
def refuse_missing_tables(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Raise if one of these tables and views does not exist yet.

    Raises:
        WarehouseError: A table or view does not exist.
    """
    for name in names:
        connection.execute(f"FROM {name} LIMIT 0")


@upstream_needed()
def refresh(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Create or rebuild tables and views, in the given order.

    Args:
        connection: The warehouse.
        names: Keys of `TABLES`.

    Raises:
        WarehouseError: A table that a view or summary reads does not exist yet.
    """
    _refresh(connection, *names)


def _refresh(connection: duckdb.DuckDBPyConnection, *names: str, with_macro: bool = True) -> None:
    """Create or rebuild tables and views; see `refresh`."""
    if not names:
        return
    if "images" in names:
        missing = (each for each in _READ_BY_LABELS if not table_exists(connection, "main", each))
        names = (*missing, *names)
    connection.begin()
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {ALIAS_SCHEMA}")
    documented = _documented(connection, *names)
    stored, kind = _StoredViews(connection), _kind(connection)
    for name in names:
        if documented.get(name) and _is_as_it_would_be(connection, name, stored):
            continue
        if TABLES[name].is_summary and documented.get(name):
            # Replace only the rows: writing the comments takes longer than writing the rows.
            connection.execute(f"DELETE FROM {name}")  # noqa: S608
            rows = statement(connection, name, stored.unions)
            connection.execute(rows.replace(_CREATE.format(name), f"INSERT INTO {name}"))
            continue
        if TABLES[name].is_stored:
            connection.execute(ddl(TABLES[name], is_lake=kind != "duckdb"))
        else:
            connection.execute(statement(connection, name, stored.unions))
            stored.forget()
        _comment(connection, f"main.{name}", TABLES[name], kind)
        connection.execute(
            f"CREATE OR REPLACE VIEW {ALIAS_SCHEMA}.{name} AS SELECT * FROM main.{name}"  # noqa: S608
        )
        _comment(connection, f"{ALIAS_SCHEMA}.{name}", TABLES[name], kind, is_view=True)
    if "samples" in names and (with_macro or "samples" not in documented):
        _refresh_macro(connection, exists="samples" in documented)
    connection.commit()


def _refresh_macro(connection: duckdb.DuckDBPyConnection, *, exists: bool) -> None:
    """Create the table macro `samples_at` in both schemas, unless both have its present definition.

    Args:
        connection: The warehouse.
        exists: False if it may be replaced without a comparison. `duckdb_functions()` takes 14 ms, because
            it lists every function.
    """
    text = sql_text("samples_at")
    if exists:
        connection.execute(text.replace("REPLACE MACRO", "REPLACE TEMP MACRO"))
        found = connection.execute(
            """
            SELECT macro_definition FROM duckdb_functions()
            WHERE function_name = 'samples_at' AND database_name IN (current_database(), 'temp')
            """
        ).fetchall()
        connection.execute("DROP MACRO TABLE temp.main.samples_at")
        if len(found) == 3 and len(set(found)) == 1:
            return
    for schema in ("main", ALIAS_SCHEMA):
        connection.execute(text.replace("MACRO samples_at", f"MACRO {schema}.samples_at"))


def _documented(connection: duckdb.DuckDBPyConnection, *names: str) -> dict[str, bool]:
    """Return, for existing tables and views, whether columns, types and comments are those of the registry.

    One query for all: `duckdb_columns()` lists every column of the database.
    """
    found: dict[str, list[tuple[str, str, str | None]]] = {}
    for table, *column in connection.execute(
        """
        SELECT table_name, column_name, data_type, comment
        FROM duckdb_columns()
        WHERE database_name = current_database() AND schema_name = 'main'
        AND list_contains($names, table_name)
        ORDER BY column_index
        """,
        {"names": names},
    ).fetchall():
        name_of_column, kind, comment = column
        # The fields of a struct follow from the declarations; a view with other fields has another text.
        kind = "STRUCT" if kind.startswith("STRUCT(") else kind
        found.setdefault(table, []).append((name_of_column, kind, comment))
    lake = is_lake(connection)  # DuckLake has no comments on the columns of a view
    return {
        name: (lake and TABLES[name].is_view)
        or found[name] == [(each.name, each.type, each.meaning) for each in TABLES[name].columns]
        for name in names
        if name in found
    }


def is_lake(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return True if the warehouse is a DuckLake, which supports fewer kinds of statements."""
    return _kind(connection) == "ducklake"


def _kind(connection: duckdb.DuckDBPyConnection) -> str:
    query = "SELECT type FROM duckdb_databases() WHERE database_name = current_database()"
    found = connection.execute(query).fetchone()
    return str(found[0]) if found else ""


def _definition(text: str) -> str:
    """Return the query of a view from the statement that creates it."""
    return text.partition(" AS ")[2].rstrip(";\n ")


def _new_text(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return the query of a view as DuckDB prints that of a new view.

    A stored UNION has other parentheses. A view over a table or column that is gone keeps its text.
    """
    with suppress(duckdb.CatalogException, duckdb.BinderException):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW printed_again AS {_definition(text)}")
        query = "SELECT sql FROM duckdb_views() WHERE view_name = 'printed_again' AND temporary"
        [(text,)] = connection.execute(query).fetchall()
        connection.execute("DROP VIEW temp.main.printed_again")
    return _definition(text)


class _StoredViews:
    """The texts and structs of the stored views, read once until `forget` is called.

    Attributes:
        unions: Unions that the statements of all views share; see `statement`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.unions: dict[str, str] = {}
        self._read: tuple[dict[str, set[str]], dict[str, set[str]]] | None = None

    def forget(self) -> None:
        """Read them again when they are needed next, because one was replaced."""
        self._read = None

    def key(self, name: str, select: str) -> tuple[object, ...] | None:
        """Return what decides whether a view is as its statement would make it.

        None if that also depends on views below it: their struct `attributes` has other fields.
        """
        if self._read is None:
            self._read = (
                self._by_name("SELECT view_name, schema_name || sql FROM duckdb_views()"),
                self._by_name(
                    "SELECT table_name, data_type FROM duckdb_columns() "
                    "WHERE starts_with(data_type, 'STRUCT')"
                ),
            )
        texts, structs = self._read
        below = structs.get("images", set())
        kinds = structs.get(name, set())
        if _has_struct(name) and not (len(kinds) == 1 and kinds == below):
            return None
        return (select, frozenset(texts.get(name, ())), frozenset(kinds))

    def _by_name(self, query: str) -> dict[str, set[str]]:
        word = "AND" if "WHERE" in query else "WHERE"
        query = f"{query} {word} database_name = current_database()"
        found: dict[str, set[str]] = {}
        for name, text in self._connection.execute(query).fetchall():
            found.setdefault(name, set()).add(text)
        return found


_as_they_would_be: set[tuple[object, ...]] = set()
"""Keys of views that were compared in this process, and are as their statements would make them."""


def _is_as_it_would_be(
    connection: duckdb.DuckDBPyConnection, name: str, stored: _StoredViews
) -> bool:
    """Return True if a rebuild would not change the rows of a summary or the text of a view.

    Writing takes longer than comparing, and on a lake each rebuild adds a version. Stored tables are never
    rebuilt, and count as different.
    """
    if TABLES[name].is_stored:
        return False
    select = statement(connection, name, stored.unions)
    if TABLES[name].is_view:
        key = stored.key(name, select)
        if key in _as_they_would_be:
            return True
        is_same = _has_text(connection, name, select)
        if is_same and key is not None:
            _as_they_would_be.add(key)
        return is_same
    rows = select.partition(_CREATE.format(name))[2].rstrip().rstrip(";")
    # Compare sums of row hashes, which do not depend on the order: five times as fast as EXCEPT ALL in both
    # directions. UNION ALL gives both sides the same types.
    sums = connection.execute(
        f"""
        SELECT sum(hash(row_of_table)) FILTER (remade), sum(hash(row_of_table)) FILTER (NOT remade)
        FROM (
            SELECT true AS remade, made AS row_of_table FROM ({rows}) AS made
            UNION ALL
            SELECT false, stored FROM {name} AS stored
        )
        """  # noqa: S608
    ).fetchone()
    return sums is not None and sums[0] == sums[1]


def _has_text(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> bool:
    """Return True if a view and its alias are stored as this statement would make them."""
    connection.execute(select.replace("CREATE OR REPLACE VIEW", "CREATE OR REPLACE TEMP VIEW"))
    query = (
        "SELECT sql FROM duckdb_views() "
        "WHERE view_name = ? AND (database_name = current_database() OR temporary)"
    )
    found = connection.execute(query, [name]).fetchall()
    structs = connection.execute(_STRUCTS, [name]).fetchall() if _has_struct(name) else []
    connection.execute(f"DROP VIEW temp.main.{name}")
    if len(structs) > 1:
        return False  # the fields of the struct have changed
    # DuckDB quotes the names of some types in a new view, but not in a stored one.
    texts = {_definition(text).replace('"', "") for (text,) in found}
    if len(found) == 3 and len(texts) == 3:
        texts = {_new_text(connection, text).replace('"', "") for (text,) in found}
    return len(found) == 3 and len(texts) == 2  # the view, and its alias


_STRUCTS = """
SELECT DISTINCT data_type FROM duckdb_columns()
WHERE table_name = ? AND starts_with(data_type, 'STRUCT')
AND database_name IN (current_database(), 'temp')
"""


def _has_struct(name: str) -> bool:
    return any(column.type == "STRUCT" for column in TABLES[name].columns)


@upstream_needed()
def refresh_labels(connection: duckdb.DuckDBPyConnection) -> None:
    """Rebuild the views of labels, and those over samples that exist.

    If a declaration changes the fields of the struct `attributes`, a view that was made before cannot be
    read until it is rebuilt.
    """
    over_samples = SAMPLE_VIEWS if table_exists(connection, "main", "samples") else ()
    # The macro depends on nothing that changes in a run; refreshing `samples` compares it.
    _refresh(connection, *LABEL_VIEWS, *over_samples, with_macro=False)


def refresh_outdated(connection: duckdb.DuckDBPyConnection, *names: str) -> list[str]:
    """Rebuild existing tables whose SQL file now gives other columns or rows; return their names."""
    stored = _StoredViews(connection)
    outdated = [
        name
        for name, documented in _documented(connection, *names).items()
        if not (documented and _is_as_it_would_be(connection, name, stored))
    ]
    refresh(connection, *outdated)
    return outdated


def ensure_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the missing tables that an asset may read before the first materialization.

    A warehouse of an older release gets the tables, columns and views that were added since, its identity,
    and a row for each of its source datasets.
    """
    ensure_identity(connection)  # first: it refuses a database that this project did not create
    found: dict[str, dict[str, bool]] = {}
    for table, column, nullable in connection.execute(
        """
        SELECT table_name, column_name, is_nullable FROM duckdb_columns()
        WHERE database_name = current_database() AND schema_name = 'main'
        AND list_contains($names, table_name)
        """,
        {"names": [*STORED, *LABEL_VIEWS, *SAMPLE_VIEWS, *HISTORY_VIEWS]},
    ).fetchall():
        found.setdefault(table, {})[column] = nullable
    missing = [name for name in STORED if name not in found]
    refresh(connection, *missing)
    for name, columns in found.items():
        if name in STORED:
            _migrate(connection, STORED[name], columns)
    register_loaded(connection)
    if "source_datasets" in missing:
        record_loaded(connection)
    _add_facts(connection)
    # Views of an earlier release; those over samples read the views of labels.
    outdated = [
        name
        for name in (*LABEL_VIEWS, *SAMPLE_VIEWS)
        if found.get(name, {}).keys() != {*TABLES[name].column_names}
    ]
    if "images" in found and outdated:
        refresh(connection, *LABEL_VIEWS, *(SAMPLE_VIEWS if "samples" in found else ()))
    if "load_history" in found and "history" not in found:
        refresh(connection, "history")


def _migrate(
    connection: duckdb.DuckDBPyConnection, table: Table, existing: Mapping[str, bool]
) -> None:
    """Add missing columns to a stored table of an older release, and drop `NOT NULL` if needed.

    Added columns are null in existing rows. No row is rewritten.

    Args:
        connection: The warehouse.
        table: Entry of the table in the registry.
        existing: Its columns; True for each that may be null.
    """
    added = [column for column in table.columns if column.name not in existing]
    for column in added:
        connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {column.type}")
    for column in table.columns:
        if column.nullable and existing.get(column.name) is False:
            connection.execute(f"ALTER TABLE {table.name} ALTER COLUMN {column.name} DROP NOT NULL")
    if added:
        refresh(connection, table.name)  # adds its comments, and the view `anomaly.<table>`


def _add_facts(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the facts of tensors that a release before 0.2 decoded, from `image_tensors`."""
    counts = row_counts(connection, ["facts", "image_tensors"])
    if counts["facts"] == counts["image_tensors"]:
        return
    known = TABLES["image_tensors"].column_names
    columns = ", ".join(name for name in TABLES["facts"].column_names if name in known)
    connection.execute(
        f"INSERT INTO facts BY NAME SELECT {columns} FROM image_tensors "  # noqa: S608
        "WHERE image_id NOT IN (SELECT image_id FROM facts)"
    )


def allow_nulls(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> None:
    """Drop `NOT NULL` from columns of the dlt tables that may be null since a later release.

    dlt adds missing columns, but keeps the constraints of existing ones.
    """
    required = connection.execute(
        """
        SELECT schema_name, table_name, column_name FROM duckdb_columns()
        WHERE database_name = current_database() AND NOT is_nullable
        AND list_contains([$schema, $schema || '_staging'], schema_name)
        """,
        {"schema": source_dataset},
    ).fetchall()
    nullable = {
        (table.name, column.name)
        for table in CATALOGUE_TABLES.values()
        for column in table.columns
        if column.nullable
    }
    for schema, table, column in required:
        if (table, column) in nullable:
            connection.execute(f"ALTER TABLE {schema}.{table} ALTER COLUMN {column} DROP NOT NULL")


def discard_staged(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> None:
    """Delete rows that a killed load has staged; dlt deletes them only after a completed load."""
    for name in CATALOGUE_TABLES:
        if table_exists(connection, f"{source_dataset}_staging", name):
            connection.execute(f"DELETE FROM {source_dataset}_staging.{name}")  # noqa: S608


def has_comments(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> bool:
    """Return True if the dlt tables of a source dataset have comments; a killed run may have added none."""
    query = (
        "SELECT comment FROM duckdb_tables() "
        "WHERE database_name = current_database() AND schema_name = ? AND table_name = ?"
    )
    return all(
        connection.execute(query, [source_dataset, name]).fetchall() in ([], [(table.description,)])
        for name, table in CATALOGUE_TABLES.items()
    )


def comment_on_catalogue(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> None:
    """Add comments to the dlt tables of one source dataset, which dlt creates without comments."""
    kind = _kind(connection)
    connection.begin()
    for name, table in CATALOGUE_TABLES.items():
        if table_exists(connection, source_dataset, name):
            _comment(connection, f"{source_dataset}.{name}", table, kind)
    connection.commit()


def row_counts(
    connection: duckdb.DuckDBPyConnection, names: Collection[str], place: str = ""
) -> dict[str, int]:
    """Return the number of rows of tables and views by name; 0 if one does not exist.

    One query counts all tables. Each view has its own, because joins of several views would be in memory
    at once.

    Args:
        connection: A warehouse or a published database.
        names: Tables and views.
        place: Their database and schema, with a dot at the end; empty for the current ones.
    """
    views = [name for name in names if name in TABLES and TABLES[name].is_view]
    tables = [name for name in names if name not in views]
    found: dict[str, int] = {}
    for counted in (tables, *([view] for view in views)):
        found |= _row_counts(connection, counted, place)
    return {name: found[name] for name in names}


def _row_counts(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], place: str
) -> dict[str, int]:
    tables = [sql_literal(place + name) for name in names]
    counts = ", ".join(f"(SELECT count(*) FROM query_table({table}))" for table in tables)  # noqa: S608
    try:
        found = connection.execute(f"SELECT {counts}").fetchone() if names else ()
    except duckdb.CatalogException:
        if len(names) == 1:
            return dict.fromkeys(names, 0)
        return {name: row_count(connection, place + name) for name in names}
    return dict(zip(names, found or (), strict=True))


def row_count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Return the number of rows of a table or view; 0 if it does not exist."""
    return _row_counts(connection, [name], "")[name]


@cache
def sql_text(name: str) -> str:
    """Return the text of the SQL file of a query, view or summary."""
    return resources.files(__package__).joinpath(sql_path(name)).read_text("utf-8")


def sql_path(name: str) -> str:
    """Return the path of the SQL file of a query, view or summary, relative to this package."""
    folder = f"sql/{_SUMMARIES_FOLDER}" if name in SUMMARIES else "sql"
    return f"{folder}/{name}.sql"


def definition(name: str) -> str:
    """Return the definition of a table: its SQL file, or the DDL derived from the registry."""
    return ddl(TABLES[name]) if name in STORED else sql_text(name)


def ddl(table: Table, *, is_lake: bool = False) -> str:
    """Return the statement that creates a stored table if it is missing.

    Blobs are uncompressed, so that reading a blob is a copy. The table has no primary key: an index over
    ids would slow down every refresh, and a blocking check ensures that ids are unique.

    Args:
        table: Its entry in the registry.
        is_lake: True for a DuckLake, in which compression is an option of the files instead.
    """
    columns = ",\n".join(
        f"    {column.name} {column.type}"
        + ("" if column.nullable else " NOT NULL")
        + (" USING COMPRESSION uncompressed" if column.type == "BLOB" and not is_lake else "")
        for column in table.columns
    )
    return f"CREATE TABLE IF NOT EXISTS {table.name} (\n{columns}\n);\n"


def statement(
    connection: duckdb.DuckDBPyConnection, name: str, unions: dict[str, str] | None = None
) -> str:
    """Return the statement of a table, view or query, with unions over the source datasets written out.

    Args:
        connection: The warehouse.
        name: Key of `TABLES`, or name of another SQL file.
        unions: The unions of earlier calls by table, to which those of this call are added. Pass the same
            one for several statements, while no run loads: reading the columns takes 1 ms a statement.
    """
    if name in STORED:
        return ddl(TABLES[name], is_lake=_kind(connection) != "duckdb")
    text = sql_text(name)
    unions = {} if unions is None else unions
    if missing := {table for _, table in _UNION.findall(text)} - unions.keys():
        source_datasets = stored_names(connection)
        unions |= {table: _union(connection, table, source_datasets) for table in missing}
    if _ATTRIBUTES in text:
        text = text.replace(_ATTRIBUTES, _struct_of_attributes(connection))
    if _FURTHER_COLUMNS in text:
        columns = TABLES[name].column_names
        listed = text.rpartition("\nSELECT\n")[2]  # a name in another part is no column
        further = [each for each in columns if not re.search(rf"\b{re.escape(each)}\b", listed)]
        text = text.replace(_FURTHER_COLUMNS, "".join(f"{each}, " for each in further))
    return _UNION.sub(lambda found: f"{found[1]} {unions[found[2]]}", text)


def _struct_of_attributes(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the expression that turns the column `attributes` of a catalogue into a typed struct."""
    fields = struct_of(held.declaration for held in stored_datasets(connection).values())
    return f"from_json(attributes, {sql_literal(json.dumps(fields))})"


def _union(
    connection: duckdb.DuckDBPyConnection, table: str, source_datasets: Iterable[str]
) -> str:
    """Return the rows of this dlt table in every source dataset that has it, as a subquery.

    The source datasets are those of the warehouse, even if this process does not define them. Names come
    from the warehouse and the registry, never from files.
    """
    columns = _DLT_LOADS if table == "_dlt_loads" else CATALOGUE_TABLES[table].columns
    origin = (
        "" if any(each.name == "source_dataset" for each in columns) else "'{}' AS source_dataset, "
    )
    parts = []
    for source_dataset in source_datasets:
        if existing := column_names(connection, f"{source_dataset}.{table}"):
            selected = origin.format(source_dataset) + _selected(columns, existing)
            parts.append(f"SELECT {selected} FROM {source_dataset}.{table}")  # noqa: S608
    if not parts:
        parts = [f"SELECT {origin.format('')}{_selected(columns, set())} LIMIT 0"]
    return f"({' UNION ALL '.join(parts)})"


def _selected(columns: tuple[Column, ...], existing: set[str]) -> str:
    """Return a select list of these columns; null for columns that a table of an older version lacks."""
    return ", ".join(
        each.name if each.name in existing else f"NULL::{each.type} AS {each.name}"
        for each in columns
    )


def _comment(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    table: Table,
    kind: str,
    *,
    is_view: bool | None = None,
) -> None:
    """Add the comments of the registry to a table or view; `kind` is that of the database."""
    what = "VIEW" if (table.is_view if is_view is None else is_view) else "TABLE"
    statements = [f"COMMENT ON {what} {name} IS {sql_literal(table.description)}"]
    if what == "TABLE" or kind != "ducklake":  # DuckLake has none on the columns of a view
        statements += [
            f'COMMENT ON COLUMN {name}."{column.name}" IS {sql_literal(column.meaning)}'
            for column in table.columns
        ]
    connection.execute("; ".join(statements))


def _refuse_summaries_without_entry() -> None:
    files = resources.files(__package__).joinpath(f"sql/{_SUMMARIES_FOLDER}").iterdir()
    found = {file.name.removesuffix(".sql") for file in files}
    if wrong := sorted(found ^ SUMMARIES.keys()):
        raise ValueError(
            f"{', '.join(wrong)}: a summary needs an entry with `made_from` in tables/registry.py and "
            f"a file in tables/sql/{_SUMMARIES_FOLDER}/."
        )


_refuse_summaries_without_entry()
