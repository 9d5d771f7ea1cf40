"""Write `docs/tables.md` and the table in the README from the comments in a database.

The tables are built in a temporary folder from the sample data, and described by DuckDB itself.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.tables.ddl import ALIAS_SCHEMA, comment_on_catalogue, ensure_tables, refresh
from anomaly_assets.tables.registry import TABLES
from anomaly_assets.warehouse.file.warehouse import FileWarehouse

PAGE = Path("docs/tables.md")
README = Path("README.md")
START, END = "<!-- tables, written by make tables -->", "<!-- end -->"

Names = tuple[str, str]
"""Schema and table."""
Column = tuple[str, str, bool, str]
"""Name, type, whether it is never null, meaning."""

_FIRST = ("samples", "samples_without_tensors")
"""Tables at the top of the page."""

_NAMES = [*_FIRST, *(name for name in TABLES if name not in _FIRST)]
_MADE_OF = {"images": ("images",), **dict.fromkeys(_FIRST, ("images", "image_tensors"))}
"""Views whose columns are those of other tables, and are null in the same rows."""

_HEAD = """# The tables

<!-- written by make tables, from the comments in the database -->

Every table and view of the database, as described by its comments:
`SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = 'samples'`.

A column marked *never* has a NOT NULL constraint; the meaning of another column states when it is null.
Summaries are computed and have no constraints. Times are in UTC. In a published file their type is
TIMESTAMP, which DuckDB alone can read. The warehouse, DuckLake and MotherDuck have
TIMESTAMP WITH TIME ZONE. Compare them with `now()` as `loaded_at AT TIME ZONE 'UTC'`, or after
`SET TimeZone = 'UTC'`: DuckDB reads a TIMESTAMP in the zone of the session.

`anomaly.<table>` is a view of `main.<table>`, so that the
name does not depend on the name of the file.
"""

_SAMPLED = {name: each for name, each in SOURCE_DATASETS.items() if each.default_root}
"""Source datasets with samples in the repository."""


def describe_tables(roots: Path) -> dict[Names, tuple[str, list[Column]]]:
    """Build every table and read its description from the database.

    Args:
        roots: Holds a root for each source dataset.

    Returns:
        Schema and table, to what a row is and the columns in their order.
    """
    with tempfile.TemporaryDirectory() as folder:
        warehouse = FileWarehouse(Path(folder) / "warehouse.duckdb", 60.0)
        for dataset in _SAMPLED.values():
            load(dataset, str(roots / dataset.name), warehouse)
        with warehouse.connect() as connection:
            for dataset in _SAMPLED.values():
                comment_on_catalogue(connection, dataset.name)
            ensure_tables(connection)
            refresh(connection, *(name for name in TABLES if name != "snapshots"))
            return _described(connection)


def page(described: dict[Names, tuple[str, list[Column]]]) -> str:
    """Return the page as Markdown."""
    leading = [(ALIAS_SCHEMA, name) for name in _NAMES]
    first, *others = _SAMPLED
    catalogue = [names for names in described if names[0] == first]
    lines = [_HEAD]
    for schema, name in [*leading, *catalogue]:
        about, columns = described["main" if schema == ALIAS_SCHEMA else schema, name]
        lines.append(f"## {schema}.{name}\n\n{_cell(about)}\n")
        if schema == first:
            same = ", ".join(f"`{other}.{name}`" for other in others)
            lines.append(f"The same columns: {same}.\n")
        lines.append(_table(columns))
    return "\n".join(lines)


def overview(described: dict[Names, tuple[str, list[Column]]]) -> str:
    """Return the short table of the README, with links into the page."""
    lines = ["| table | what is in it |", "| --- | --- |"]
    for name in _NAMES:
        about = _cell(described["main", name][0])
        lines.append(f"| [`{ALIAS_SCHEMA}.{name}`]({PAGE}#{ALIAS_SCHEMA}{name}) | {about} |")
    first, *_ = _SAMPLED
    about = _cell(described[first, "stray_files"][0])
    names = ", ".join(f"`{name}.stray_files`" for name in _SAMPLED)
    lines.append(f"| [{names}]({PAGE}#{first}stray_files) | {about} |")
    return "\n".join(lines)


def between(text: str, table: str) -> str:
    """Return the text of the README with this table in its place."""
    before, found, rest = text.partition(START)
    after = rest.partition(END)[2]
    if not found or not after:
        raise ValueError(f"{README} lacks {START} or {END}")
    return f"{before}{START}\n\n{table}\n\n{END}{after}"


def main(project: Path = Path()) -> int:
    """Write both; returns the exit code."""
    described = describe_tables(project / "data" / "samples")
    (project / PAGE).write_text(page(described), "utf-8")
    readme = project / README
    readme.write_text(between(readme.read_text("utf-8"), overview(described)), "utf-8")
    return 0


def _described(connection: duckdb.DuckDBPyConnection) -> dict[Names, tuple[str, list[Column]]]:
    found: dict[Names, tuple[str, list[Column]]] = {}
    tables = """
        SELECT schema_name, table_name, comment FROM duckdb_tables()
        WHERE database_name = current_database() AND comment IS NOT NULL
        UNION ALL
        SELECT schema_name, view_name, comment FROM duckdb_views()
        WHERE database_name = current_database() AND comment IS NOT NULL
        ORDER BY ALL
    """
    columns = """
        SELECT
            column_name,
            CASE
                WHEN starts_with(data_type, 'STRUCT(') THEN 'STRUCT'
                ELSE replace(data_type, ' WITH TIME ZONE', '')
            END,
            NOT is_nullable,
            comment
        FROM duckdb_columns()
        WHERE database_name = current_database() AND schema_name = ? AND table_name = ?
        ORDER BY column_index
    """
    for schema, name, about in connection.execute(tables).fetchall():
        found[schema, name] = (about, connection.execute(columns, [schema, name]).fetchall())
    for view, parts in _MADE_OF.items():
        promised = _promised(found, parts)
        about, listed = found["main", view]
        found["main", view] = (
            about,
            [(name, kind, name in promised, text) for name, kind, _, text in listed],
        )
    return found


def _promised(found: dict[Names, tuple[str, list[Column]]], parts: Sequence[str]) -> set[str]:
    """Return columns that are never null in the tables of a view, in any source dataset."""
    promised: set[str] = set()
    for part in parts:
        schemas = [*_SAMPLED] if part == "images" else ["main"]
        of_each = [
            {name for name, _, never, _ in found[schema, part][1] if never} for schema in schemas
        ]
        promised |= set.intersection(*of_each)
    return promised


def _table(columns: Sequence[Column]) -> str:
    if not any(never for _, _, never, _ in columns):
        lines = ["| column | type | meaning |", "| --- | --- | --- |"]
        lines += [f"| `{name}` | {kind} | {_cell(text)} |" for name, kind, _, text in columns]
    else:
        lines = ["| column | type | null | meaning |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{name}` | {kind} | {'never' if never else ''} | {_cell(text)} |"
            for name, kind, never, text in columns
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
