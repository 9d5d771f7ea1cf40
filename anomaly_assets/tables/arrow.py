"""Derive the Arrow schemas of tables from their entries in the registry."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from anomaly_assets.tables.registry import Table

_TYPES = {
    "VARCHAR": pa.string(),
    "BLOB": pa.binary(),
    "BOOLEAN": pa.bool_(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
    "MAP(VARCHAR, BIGINT)": pa.map_(pa.string(), pa.int64()),
}


def arrow_schema(table: Table, *, without: Collection[str] = ()) -> pa.Schema:
    """Return the Arrow schema of rows of a table.

    Args:
        table: Its entry in the registry.
        without: Columns to leave out.

    Raises:
        KeyError: A column has a type without an Arrow type here.
    """
    return pa.schema(
        [
            pa.field(column.name, _arrow_type(column.type), column.nullable)
            for column in table.columns
            if column.name not in without
        ]
    )


def _arrow_type(kind: str) -> pa.DataType:
    if kind.endswith("[]"):
        return pa.list_(_arrow_type(kind[:-2]))
    return _TYPES[kind]
