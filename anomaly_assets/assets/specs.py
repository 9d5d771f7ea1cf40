"""What all table assets have in common: description, columns, owners, freshness, code version."""

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import dagster as dg

from anomaly_assets.warehouse.base import CATALOG
from anomaly_assets.warehouse.schema import sql_text
from anomaly_assets.warehouse.tables import TABLES, Table

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
    version: str = "1",
) -> dg.AssetSpec:
    """The asset of one harmonised table.

    Args:
        name: Key of `tables.TABLES`, and of the asset.
        group: Asset group.
        deps: Keys of the upstream assets.
        kinds: Icons in the graph.
        version: Code version of what is not in `sql/<name>.sql`; raise it with the decoding code.
    """
    return dg.AssetSpec(
        name,
        deps=list(deps),
        description=describe(TABLES[name], f"anomaly.{name}"),
        metadata=table_metadata(TABLES[name], f"{CATALOG}.anomaly.{name}"),
        group_name=group,
        owners=OWNERS,
        kinds=kinds,
        code_version=f"{version}-{_digest(sql_text(name))}",
        freshness_policy=FRESHNESS,
    )


def describe(table: Table, name: str) -> str:
    """Say what a row is and how to query it."""
    return f"{table.description}\n\n```sql\nSELECT * FROM {name} LIMIT 10;\n```"


def table_metadata(table: Table, qualified_name: str) -> dict[str, Any]:
    """Definition metadata, which the asset's overview page shows."""
    columns = [
        dg.TableColumn(name, type=kind, description=meaning)
        for name, (kind, meaning) in table.columns.items()
    ]
    return {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/table_name": qualified_name,
        "dagster/storage_kind": "duckdb",
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
