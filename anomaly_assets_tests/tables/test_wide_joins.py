"""Test that queries on the views never build a hash table from pixels, so that LIMIT 1 reads few."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.registry import TABLES
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets.warehouse.lake.connect import start_for_lakes
from benchmarks.sql_tools import ONE_ID, write_tables

IMAGES = 3000
SPEC, FURTHER = Recipe(2, 2, 3), Recipe(4, 4, 1)

# Not `image_id = …`: both sides have one row then.
QUERIES = (
    "FROM {}",
    "FROM {} LIMIT 1",
    "FROM {} ORDER BY image_id LIMIT 3",
    f"FROM {{}} WHERE image_id IN ('{ONE_ID}', 'x')",
    "FROM {} WHERE image_id LIKE 'mvtec_ad/category_3%' LIMIT 1",
    "FROM {} WHERE label = 'anomalous' LIMIT 5",
    "FROM {} WHERE source_dataset = 'mvtec_ad'",
    "FROM {} WHERE category = 'category_3' AND original_width > 900",
    "FROM {} WHERE channels = 3 AND original_mode = 'RGB'",
    "FROM {} WHERE original_width > 900 AND original_height > 900 LIMIT 1",
    "FROM {} WHERE mask_area_fraction > 0.001",
    "SELECT image_tensor FROM {} WHERE loaded_at > TIMESTAMP '2020-01-01' LIMIT 1",
    "SELECT label, image_tensor FROM {} WHERE mask_tensor IS NOT NULL LIMIT 1",
)
SOURCES = ("samples", "samples_at('2x2x3')", "samples_at('4x4x1')")


@pytest.fixture(scope="module", params=["file", "lake"])
def connection(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Return a warehouse with more than a row group of tensors of both source datasets."""
    folder = tmp_path_factory.mktemp("wide")
    if request.param == "file":
        with FileWarehouse(folder / "warehouse.duckdb").connect() as warehouse:
            write_tables(warehouse, IMAGES, SPEC, FURTHER)
            yield warehouse
        return
    with start_for_lakes() as lake:
        lake.execute(f"ATTACH 'ducklake:{folder}/catalogue' AS lake (DATA_PATH '{folder}/files')")
        lake.execute("USE lake.main")
        write_tables(lake, IMAGES, SPEC, FURTHER)
        yield lake


@pytest.mark.slow
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("source", SOURCES)
def test_tensors_are_never_on_the_build_side(
    connection: duckdb.DuckDBPyConnection, source: str, query: str
) -> None:
    text = f"EXPLAIN (FORMAT json) {query.format(source)}"
    [(_, plan)] = connection.execute(text).fetchall()
    assert list(_built(json.loads(plan)[0])) == []


def test_the_old_join_is_recognised(connection: duckdb.DuckDBPyConnection) -> None:
    text = "EXPLAIN (FORMAT json) FROM image_tensors JOIN recipe_tensors USING (image_id) LIMIT 1"
    [(_, plan)] = connection.execute(text).fetchall()
    assert list(_built(json.loads(plan)[0])) != []


@pytest.mark.slow
def test_conditions_that_steer_the_join_lose_no_row(connection: duckdb.DuckDBPyConnection) -> None:
    counts = [
        connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
        for name in ("samples", "samples_without_tensors", "samples_at('2x2x3')", "image_tensors")
    ]
    assert counts == [counts[-1]] * 4
    assert counts[-1] in (IMAGES, IMAGES - 1)
    further = (
        "SELECT (SELECT count(*) FROM samples_at('4x4x1')), (SELECT count(*) FROM recipe_tensors)"
    )
    [(samples, tensors)] = connection.execute(further).fetchall()
    assert samples == tensors > 2000


def test_masks_of_good_images_are_dropped_in_both(connection: duckdb.DuckDBPyConnection) -> None:
    both = "SELECT image_id, mask_tensor IS NULL FROM {} WHERE source_dataset = 'dagm_2007' ORDER BY ALL"
    common, further = (
        connection.execute(both.format(name)).fetchall()
        for name in ("samples", "samples_at('4x4x1')")
    )
    assert common == further
    assert {hidden for _, hidden in common} == {True, False}


def test_the_view_without_tensors_has_the_other_columns_of_samples(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = connection.execute("FROM samples_without_tensors LIMIT 0").description or ()
    wide = {column.name for column in TABLES["samples"].columns if column.type == "BLOB"}
    assert [name for name, *_ in found] == [
        name for name in TABLES["samples"].column_names if name not in wide
    ]


def _built(node: dict[str, Any], *, built: bool = False) -> Iterator[str]:
    """Yield the tables whose pixels a plan scans for the build side of a join."""
    about = node.get("extra_info", {})
    table = str(about.get("Table", "")).rpartition(".")[2]
    columns = str(about.get("Projections", ""))
    if built and "_tensor" in columns:
        yield table or node["name"]
    for position, child in enumerate(node["children"]):
        is_build_side = "JOIN" in node["name"] and position == 1
        yield from _built(child, built=built or is_build_side)
