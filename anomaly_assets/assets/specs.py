"""What all table assets have in common: description, columns, owners, freshness, code, its version."""

import hashlib
import warnings
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from anomaly_assets.tables.ddl import definition, sql_path
from anomaly_assets.tables.registry import STORED, TABLES, Table
from anomaly_assets.warehouse.base import CATALOG

_PACKAGE = Path(__file__).parents[1]

OWNERS = ["team:anomaly-assets"]

FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=48), warn_window=timedelta(hours=26)
)
"""The scheduled refresh is daily: one that is late warns, one that is missing fails."""


def table_spec(
    name: str,
    *,
    group: str,
    deps: Iterable[dg.AssetKey | str],
    kinds: set[str],
    files: Iterable[str],
    version: str = "1",
) -> dg.AssetSpec:
    """The asset of one harmonised table.

    Args:
        name: Key of `TABLES`, and of the asset.
        group: Asset group.
        deps: Keys of the upstream assets.
        kinds: Icons in the graph; the UI has one for each of these words, and for few others.
        files: Source files to link to after its definition, relative to the package.
        version: Code version of what its definition does not say; raise it with the decoding code.
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
        freshness_policy=FRESHNESS,
    )


def describe(table: Table, name: str) -> str:
    """Say what a row is and how to query it."""
    blobs = [column.name for column in table.columns if column.type == "BLOB"]
    columns = f"* EXCLUDE ({', '.join(blobs)})" if blobs else "*"
    return (
        f"{table.description}\n\n```sql\nSELECT {columns} FROM {name} LIMIT 10;\n```\n\n"
        "Ask this of the published database, opened read-only; a refresh never disturbs it."
    )


def code_references(*paths: str) -> dict[str, Any]:
    """Links to source files, as definition metadata: the asset's own, and those that do the work.

    Args:
        paths: Files, relative to the package.
    """
    with warnings.catch_warnings():
        # Each link would announce that links are beta, at every import of the definitions.
        warnings.simplefilter("ignore", dg.BetaWarning)
        links: list[dg.LocalFileCodeReference | dg.UrlCodeReference] = [
            dg.LocalFileCodeReference(
                file_path=str(_PACKAGE / path),
                line_number=1,
                label="/".join(path.split("/")[-2:]),  # as much as one line of the page takes
            )
            for path in paths
        ]
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=links)}


def table_metadata(table: Table, qualified_name: str) -> dict[str, Any]:
    """Definition metadata, which the asset's overview page shows."""
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
