"""Build the asset specs of tables: description, columns, owners, freshness, links to code, code version."""

import hashlib
import warnings
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from anomaly_assets.datasets import SourceDataset
from anomaly_assets.tables.ddl import definition, sql_path
from anomaly_assets.tables.registry import STORED, TABLES, Table
from anomaly_assets.warehouse.base import CATALOG

_PACKAGE = Path(__file__).parents[1]

OWNERS = ["team:anomaly-assets"]

FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=48), warn_window=timedelta(hours=26)
)
"""The scheduled refresh is daily: warn if it is late, fail if one is missing."""


def table_spec(
    name: str,
    *,
    group: str,
    deps: Iterable[dg.AssetKey | str],
    kinds: set[str],
    files: Iterable[str],
    version: str = "1",
    freshness: dg.FreshnessPolicy | None = FRESHNESS,
) -> dg.AssetSpec:
    """Return the spec of one harmonised table.

    Args:
        name: Key of `TABLES`, and of the asset.
        group: Asset group.
        deps: Keys of the upstream assets.
        kinds: Icons in the graph; the UI has icons for these words and for few others.
        files: Source files to link to after its definition, relative to the package.
        version: Code version of the Python behind the table; raise it when the decoding changes.
        freshness: How old it may become; None for a table that no default schedule writes.
    """
    return dg.AssetSpec(
        name,
        deps=list(deps),
        description=describe(TABLES[name], f"anomaly.{name}"),
        metadata={
            **table_metadata(TABLES[name], f"{CATALOG}.anomaly.{name}"),
            **code_references(_source_of(name), *files),
        },
        group_name=group,
        owners=OWNERS,
        kinds=kinds,
        code_version=f"{version}-{_digest(definition(name))}",
        freshness_policy=freshness,
    )


def describe(table: Table, name: str) -> str:
    """Return the description of a table for the UI, with an example query."""
    blobs = [column.name for column in table.columns if column.type == "BLOB"]
    columns = f"* EXCLUDE ({', '.join(blobs)})" if blobs else "*"
    return (
        f"{table.description}\n\n```sql\nSELECT {columns} FROM {name} LIMIT 10;\n```\n\n"
        "Run this query on the published database (open it read-only). Refreshes do not block readers."
    )


def code_references(*paths: str) -> dict[str, Any]:
    """Return definition metadata that link to the source files of an asset.

    Args:
        paths: Files, relative to the package.
    """
    # The page of the asset has no space for more than two parts of a path.
    return _linked([_link(_PACKAGE / path, 1, "/".join(path.split("/")[-2:])) for path in paths])


def _link(path: Path, line: int, label: str) -> dg.LocalFileCodeReference:
    with warnings.catch_warnings():
        # Each link would warn that links are beta, at every import of the definitions.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=label)


def _linked(links: list[Any]) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=links)}


def declaration_reference(dataset: SourceDataset, *paths: str) -> dict[str, Any]:
    """Return definition metadata that link to the declaration of a source dataset, and to source files."""
    declaration = dataset.declaration
    found = code_references(*paths)
    if declaration.is_built_in:
        own = code_references(f"datasets/{declaration.file}")
    else:
        own = code_reference(declaration.file, declaration.line or 1)
    links = [
        link for each in (own, found) for link in each["dagster/code_references"].code_references
    ]
    return _linked(links)


def code_reference(file: str, line: int) -> dict[str, Any]:
    """Return definition metadata that link to a line of a file of the user."""
    path = Path(file).absolute()
    return _linked([_link(path, line, path.name)])


def table_metadata(table: Table, qualified_name: str) -> dict[str, Any]:
    """Return definition metadata for the asset's overview page."""
    columns = [
        dg.TableColumn(column.name, type=column.type, description=column.meaning)
        for column in table.columns
    ]
    return {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/table_name": qualified_name,
        "dagster/storage_kind": "duckdb",
    }


def _source_of(name: str) -> str:
    return "tables/registry.py" if name in STORED else f"tables/{sql_path(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
