"""Write a tiny dataset with real pictures, and read the content of a warehouse after loading it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.catalogue.reconcile import Reconciliation
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding.build import BuildReport, build_tensors
from anomaly_assets.decoding.open import open_compute
from anomaly_assets.recipes import Recipe, Recipes
from anomaly_assets.roots.open import open_root
from anomaly_assets.tables.ddl import ensure_tables, refresh
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.decoding.pictures import picture, png

SPEC = Recipe(32, 32, 3)

BY_KIND = ("source_uri", "mask_source_uri", "modified_at", "file_version", "mask_file_version")
"""Columns about the place and time of a file, which differ between kinds of roots."""

PATHS = (
    "bottle/train/good/000.png",
    "bottle/train/good/001.png",
    "bottle/test/good/000.png",
    "bottle/test/broken/000.png",
    "bottle/test/broken/001.png",
    "bottle/ground_truth/broken/000_mask.png",
    "bottle/ground_truth/broken/001_mask.png",
)
"""Five images, two of them with masks."""

Row = tuple[Any, ...]


@cache
def image(seed: int) -> bytes:
    """Return a PNG unique to the seed, always of the same length."""
    return png(picture("L", (24, 16), seed), compress_level=0)


def pictures(paths: Iterable[str] = PATHS) -> dict[str, bytes]:
    """Return a picture for each path."""
    return {path: image(seed) for seed, path in enumerate(paths)}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder, and return the folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def zipped(archive: Path, files: Mapping[str, bytes], top: str = "") -> Path:
    """Pack files below a top folder, like a person would, and return the archive."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path, content in files.items():
            member = zipfile.ZipInfo(f"{top}{path}", (2020, 1, 2, 3, 4, 6))
            target.writestr(member, content, zipfile.ZIP_DEFLATED)
    return archive


def warehouse_in(folder: Path) -> FileWarehouse:
    """Return a separate warehouse that waits for no lock."""
    return FileWarehouse(folder / "warehouse.duckdb", wait_seconds=5)


def load_root(warehouse: FileWarehouse, dataset: str, location: str) -> Reconciliation:
    """List a root into the catalogue."""
    found = load(SOURCE_DATASETS[dataset], location, warehouse)
    with warehouse.connect() as connection:
        ensure_tables(connection)
        refresh(connection, "images")
    return found


def build(warehouse: FileWarehouse, dataset: str, location: str) -> BuildReport:
    """Decode what is stale, with threads."""
    roots = {dataset: open_root(location)}
    compute = partial(open_compute, "threads", roots, SPEC, workers=2)
    return build_tensors(warehouse, roots, Recipes(SPEC), compute=compute)


def loaded(folder: Path, dataset: str, location: str) -> FileWarehouse:
    """Return a new warehouse with everything below a root."""
    warehouse = warehouse_in(folder)
    load_root(warehouse, dataset, location)
    report = build(warehouse, dataset, location)
    assert not report.rejections
    return warehouse


def rows(warehouse: FileWarehouse, query: str) -> list[Row]:
    """Return the rows of a query."""
    with warehouse.connect() as connection:
        return connection.execute(query).fetchall()


def same_for_all_kinds(warehouse: FileWarehouse, dataset: str) -> tuple[list[Row], list[Row]]:
    """Return data that must not depend on the kind of root: the catalogue, and all tensor bytes."""
    images = rows(
        warehouse,
        f"SELECT * EXCLUDE ({', '.join(BY_KIND)}, _dlt_load_id) FROM {dataset}.images ORDER BY ALL",
    )
    tensors = rows(
        warehouse,
        "SELECT * EXCLUDE (file_version, mask_file_version, loaded_at, run_id) FROM image_tensors "
        "ORDER BY image_id",
    )
    return images, tensors


def everything_in(warehouse: FileWarehouse) -> str:
    """Return every value of every table and view as text, and the bytes of the file."""
    found = []
    with warehouse.connect() as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_catalog = 'warehouse'"
        ).fetchall()
        assert len(tables) >= 8
        for schema, table in tables:
            found += connection.execute(f'FROM warehouse."{schema}"."{table}"').fetchall()
    return repr(found) + warehouse.path.read_bytes().decode("latin-1")
