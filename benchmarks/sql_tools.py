"""Measure the SQL previews in docs/performance.md: time and peak memory of what SQL tools send first.

    python -m benchmarks.sql_tools --images 21454

Tables of that many images are generated with SQL, without decoding, and published. Each query runs in a
separate process that has only DuckDB, and fetches its rows as Python objects. Times are processor times,
because the first query waits for the disk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import duckdb

from anomaly_assets.arguments import at_least
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.ddl import ddl, ensure_tables, refresh
from anomaly_assets.tables.registry import CATALOGUE_TABLES, TABLES
from anomaly_assets.warehouse.base import ROW_GROUP_SIZE
from anomaly_assets.warehouse.file.duckdb_settings import set_for_wide_rows
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from benchmarks.bench import python

OFFICIAL = {"dagm_2007": (16100, 2100), "mvtec_ad": (5354, 1258)}
"""Source dataset to its official number of images, and of images with a mask."""

FURTHER = Recipe(512, 512, 1)
"""Further recipe, which only DAGM 2007 has."""

ONE_ID = "mvtec_ad/category_0/test/000000.png"

QUERIES: Mapping[str, str] = {
    "image_tensors LIMIT 1": "SELECT * FROM anomaly.image_tensors LIMIT 1",
    "samples LIMIT 1": "SELECT * FROM anomaly.samples LIMIT 1",
    "one row of samples, by id": f"SELECT * FROM anomaly.samples WHERE image_id = '{ONE_ID}'",  # noqa: S608
    "samples_without_tensors, whole": "SELECT * FROM anomaly.samples_without_tensors",
    "recipe_tensors LIMIT 1": "SELECT * FROM anomaly.recipe_tensors LIMIT 1",
    "samples_at('512x512x1') LIMIT 1": "SELECT * FROM anomaly.samples_at('512x512x1') LIMIT 1",
    "samples_at('256x256x3') LIMIT 1": "SELECT * FROM anomaly.samples_at('256x256x3') LIMIT 1",
    "a connection alone": "SELECT 1",
}


class Measured(NamedTuple):
    """Processor time of a query, and peak memory of its process."""

    seconds: float
    megabytes: float


def write_tables(
    connection: duckdb.DuckDBPyConnection,
    images: int,
    spec: Recipe,
    further: Recipe | None = None,
) -> None:
    """Fill an empty warehouse with images in the official proportions, and refresh its views.

    Args:
        connection: The warehouse.
        images: Number of images of both source datasets.
        spec: Shape of all tensors of the common recipe.
        further: Recipe of tensors that DAGM 2007 has in addition; None for none.
    """
    ensure_tables(connection)
    total = sum(count for count, _ in OFFICIAL.values())
    for name, (count, masks) in OFFICIAL.items():
        _write_catalogue(connection, name, max(1, images * count // total), count // masks)
        connection.execute(_RECIPE, [spec.name, name, spec.transform, True])
    if further:
        connection.execute(_RECIPE, [further.name, "dagm_2007", further.transform, False])
    connection.execute(_FACTS)
    refresh(connection, *(name for name in TABLES if name != "snapshots"))
    for dataset in OFFICIAL:
        _write_tensors(connection, "image_tensors", dataset, spec)
        if further and dataset == "dagm_2007":
            _write_tensors(connection, "recipe_tensors", dataset, further)
    refresh(connection, *(name for name, table in TABLES.items() if table.made_from))


def _write_catalogue(
    connection: duckdb.DuckDBPyConnection, name: str, images: int, every: int
) -> None:
    connection.execute(f"CREATE SCHEMA {name}")
    for table in CATALOGUE_TABLES.values():
        connection.execute(ddl(replace(table, name=f"{name}.{table.name}"), is_lake=True))
    connection.execute(f"CREATE TABLE {name}._dlt_loads (load_id VARCHAR)")
    connection.execute(
        f"INSERT INTO {name}.images BY NAME {_IMAGES}",
        {"name": name, "images": images, "every": every},
    )
    connection.execute(
        "INSERT INTO source_datasets BY NAME SELECT ? AS source_dataset, ? AS title, 'none' AS licence, "
        "false AS from_samples, 0 AS most_images, 0 AS most_samples",
        [name, name],
    )


def _write_tensors(
    connection: duckdb.DuckDBPyConnection, table: str, source_dataset: str, spec: Recipe
) -> None:
    """Insert tensors of one letter each, in transactions of a full row group."""
    values = {
        "recipe": spec.name,
        "transform": spec.transform,
        "height": spec.height,
        "width": spec.width,
        "channels": spec.channels,
    }
    query = f"SELECT count(*) FROM {source_dataset}.images"  # noqa: S608
    [(images,)] = connection.execute(query).fetchall()
    columns = ", ".join(
        name for name in TABLES[table].column_names if name not in {"run_id", "box"}
    )
    for start in range(0, images, ROW_GROUP_SIZE):
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT {columns} "  # noqa: S608
            f"FROM ({_TENSORS.format(source_dataset)})",
            {**values, "first": start, "last": start + ROW_GROUP_SIZE},
        )


def measured(database: Path, query: str, repetitions: int) -> Measured:
    """Run a query in separate processes; return medians."""
    runs = []
    for _ in range(repetitions):
        done = python(["-c", _PROCESS, str(database), query])
        runs.append(Measured(*json.loads(done.output)))
    return Measured(*(statistics.median(values) for values in zip(*runs, strict=True)))


def main() -> None:
    """Generate a database, measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sql_tools", description=__doc__)
    parser.add_argument("--images", type=at_least(1), default=21454)
    parser.add_argument("--repetitions", type=at_least(1), default=5)
    parser.add_argument("--database", type=Path, help="an existing published file instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sql-tools-") as folder:
        database = options.database or Path(folder) / "anomaly.duckdb"
        if not options.database:
            warehouse = FileWarehouse(Path(folder) / "warehouse.duckdb")
            with warehouse.connect() as connection:
                set_for_wide_rows(connection)
                write_tables(connection, options.images, Recipe(), FURTHER)
            warehouse.publish(database, Recipe())
        print("| query | processor time, s | peak, MB |\n| --- | --- | --- |")
        for name, query in QUERIES.items():
            found = measured(database, query, options.repetitions)
            print(f"| {name} | {found.seconds:.3f} | {found.megabytes:.0f} |", flush=True)


_IMAGES = """
SELECT * EXCLUDE (is_anomalous) FROM (SELECT
    $name AS source_dataset,
    'category_' || number % 10 AS category,
    'test' AS split,
    number % $every = 0 AS is_anomalous,
    is_anomalous::BIGINT AS label_index,
    is_anomalous::BIGINT AS path_label_index,
    CASE WHEN is_anomalous THEN 'anomalous' ELSE 'good' END AS label,
    CASE WHEN is_anomalous THEN 'scratch' END AS defect_type,
    format('{:06d}.png', number) AS filename,
    category || '/test/' || filename AS relative_path,
    $name || '/' || relative_path AS image_id,
    'file:///data/' || image_id AS source_uri,
    1000000 + number AS file_size_bytes,
    now() AS modified_at,
    md5(image_id) AS file_version,
    CASE WHEN is_anomalous THEN relative_path || '_mask' END AS mask_relative_path,
    CASE WHEN is_anomalous THEN source_uri || '_mask' END AS mask_source_uri,
    CASE WHEN is_anomalous THEN md5(source_uri) END AS mask_file_version,
    'path' AS label_source,
    '1700000000.5' AS _dlt_load_id
FROM range($images) AS numbers(number))
"""
_RECIPE = "INSERT INTO recipes VALUES (?, ?, ?, ?, 'ANOMALY_SIZES')"
_FACTS = """
INSERT INTO facts BY NAME
SELECT
    image_id, file_version, mask_file_version, sha256(image_id) AS content_sha256,
    1024 AS original_width, 1024 AS original_height, 'RGB' AS original_mode,
    'PNG' AS file_format, 8 AS bit_depth,
    CASE WHEN label = 'anomalous' THEN 1024 END AS mask_width,
    mask_width AS mask_height,
    mask_width / 65536 AS mask_area_fraction,
    CASE WHEN label = 'anomalous' THEN 2 END AS mask_values,
    CASE WHEN label = 'anomalous' THEN [0, 0, 16, 16] END AS mask_box,
    CASE WHEN label = 'anomalous' THEN 'PNG' END AS mask_file_format
FROM (FROM dagm_2007.images UNION ALL FROM mvtec_ad.images)
"""
_TENSORS = """
SELECT
    facts.*,
    $recipe AS recipe,
    0 AS tile,
    $transform AS transform,
    $height AS height,
    $width AS width,
    $channels AS channels,
    repeat(chr((65 + hash(image_id) % 26)::INTEGER), $height * $width * $channels)::BLOB AS image_tensor,
    CASE WHEN mask_area_fraction IS NOT NULL THEN repeat(chr(1), $height * $width)::BLOB END AS mask_tensor,
    list_resize([1], $channels, 1) AS channel_sums,
    list_resize([1], $channels, 1) AS channel_square_sums,
    now() AS loaded_at
FROM facts
SEMI JOIN (FROM {}.images WHERE rowid >= $first AND rowid < $last) AS chosen USING (image_id)
"""
_PROCESS = """
import json, re, sys, time
import duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    connection.execute("SET enable_progress_bar = false")
    started = time.process_time()
    connection.execute(sys.argv[2]).fetchall()
    spent = time.process_time() - started
status = open("/proc/self/status").read()
print(json.dumps([spent, int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) / 1000]))
"""


if __name__ == "__main__":
    main()
