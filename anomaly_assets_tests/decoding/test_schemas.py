"""Test that decoding produces exactly the documented columns of the tables."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from anomaly_assets.decoding.batch import FACTS_SCHEMA, PREVIEWS_SCHEMA, TENSORS_SCHEMA
from anomaly_assets.decoding.rejections import REJECTIONS_SCHEMA
from anomaly_assets.tables.registry import TABLES
from anomaly_assets_tests.warehouse.project import Project

SCHEMAS = pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("image_tensors", TENSORS_SCHEMA),
        ("facts", FACTS_SCHEMA),
        ("image_previews", PREVIEWS_SCHEMA),
        ("rejected_images", REJECTIONS_SCHEMA),
    ],
)


def documented(name: str) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in TABLES[name].columns]


@SCHEMAS
def test_arrow_schema_has_the_documented_columns_and_types(name: str, schema: pa.Schema) -> None:
    connection = duckdb.connect(":memory:")
    connection.register("decoded", schema.empty_table())
    described = connection.execute("DESCRIBE decoded").fetchall()
    assert [(row[0], row[1]) for row in described] == documented(name)


@SCHEMAS
def test_table_has_the_documented_columns_and_types(
    project: Project, name: str, schema: pa.Schema
) -> None:
    project.build()
    described = project.rows(f"DESCRIBE main.{name}")
    assert [(row[0], row[1]) for row in described] == documented(name)
    assert [row[0] for row in described] == schema.names


def test_batches_divide_transactions_so_that_none_is_split_between_two() -> None:
    from anomaly_assets.decoding.open import BATCH_IMAGES
    from anomaly_assets.warehouse.base import ROW_GROUP_SIZE

    assert ROW_GROUP_SIZE % BATCH_IMAGES == 0
