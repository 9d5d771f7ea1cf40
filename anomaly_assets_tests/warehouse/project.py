"""Make a whole project in one folder, small enough to build in every test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anomaly_assets.catalogue.listing import list_catalog
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding import open as compute
from anomaly_assets.decoding.build import BuildReport, build_tensors
from anomaly_assets.decoding.transform import UInt8Array
from anomaly_assets.decoding.workers import Compute
from anomaly_assets.recipes import Recipe, Recipes
from anomaly_assets.roots.base import Root
from anomaly_assets.roots.open import open_root
from anomaly_assets.tables.ddl import ensure_tables, refresh
from anomaly_assets.tables.registry import TABLES
from anomaly_assets.warehouse.file.warehouse import FileWarehouse

SPEC = Recipe(8, 6, 3)
SIZE = (24, 16)
"""Width and height of the tiny images, in pixels."""

MADE_BY_REFRESH = tuple(name for name in TABLES if name != "snapshots")

_COMPUTED = tuple(name for name, table in TABLES.items() if not table.is_stored)
"""Views and summaries; `ensure_tables` makes the stored tables."""

_SHARED = ", ".join(
    name for name in TABLES["facts"].column_names if name in TABLES["image_tensors"].column_names
)
_FACTS_WITHOUT_THEIR_TENSOR = f"""
(SELECT {_SHARED} FROM facts EXCEPT ALL SELECT {_SHARED} FROM image_tensors)
UNION ALL
(SELECT {_SHARED} FROM image_tensors EXCEPT ALL SELECT {_SHARED} FROM facts)
"""
"""Returns a row if `facts` is not exactly what the tensors were made from; none after every build."""

_PREVIEWS_WITHOUT_THEIR_TENSOR = """
(SELECT image_id, content_sha256, transform FROM image_previews
    EXCEPT ALL SELECT image_id, content_sha256, transform FROM image_tensors)
UNION ALL
(SELECT image_id, content_sha256, transform FROM image_tensors
    EXCEPT ALL SELECT image_id, content_sha256, transform FROM image_previews)
"""
"""Returns a row if `image_previews` does not have exactly one picture of each tensor."""


def without_zones(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows with times as a published file has them: in UTC, without time zone."""
    return [
        tuple(each.replace(tzinfo=None) if isinstance(each, datetime) else each for each in row)
        for row in rows
    ]


def noise(seed: int, mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a picture unique to the seed."""
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def mask(*boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a mask with defects in these boxes (left, top, right, bottom)."""
    picture = Image.new("L", size)
    for box in boxes:
        picture.paste(255, box)
    return picture


@dataclass(frozen=True)
class Project:
    """The roots and the warehouse of one test.

    Attributes:
        folder: Holds `warehouse.duckdb` and a folder per source dataset.
        roots_folder: Folder of the source datasets' folders.
        warehouse: The working database.
    """

    folder: Path
    roots_folder: Path
    warehouse: FileWarehouse

    @classmethod
    def at(cls, folder: Path, roots_folder: Path | None = None) -> Project:
        return cls(folder, roots_folder or folder, FileWarehouse(folder / "warehouse.duckdb", 5.0))

    def path(self, path: str) -> Path:
        """Return the path of a file, and create its folder: `mvtec_ad/bottle/train/good/000.png`."""
        place = self.roots_folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def save(self, pictures: Mapping[str, Image.Image]) -> None:
        for path, picture in pictures.items():
            picture.save(self.path(path), "PNG")

    def roots(self) -> dict[str, Root]:
        folders = {name: self.roots_folder / name for name in SOURCE_DATASETS}
        return {name: open_root(str(folder)) for name, folder in folders.items() if folder.is_dir()}

    def list_files(self) -> None:
        """List the roots and write the catalogue directly into its tables, without dlt."""
        with self.warehouse.connect() as connection:
            for name, root in self.roots().items():
                catalog = list_catalog(SOURCE_DATASETS[name], root)
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")
                for table in ("images", "stray_files"):
                    connection.register("listed", getattr(catalog, table))
                    connection.execute(
                        f"CREATE OR REPLACE TABLE {name}.{table} AS "
                        "SELECT *, '1700000000.5' AS _dlt_load_id FROM listed"
                    )
            views = connection.execute("SELECT view_name FROM duckdb_views()").fetchall()
            if ("images",) not in views:
                refresh(connection, "images")

    def build(
        self,
        spec: Recipe = SPEC,
        *further: Recipe,
        workers: int = 1,
        executor: Executor | None = None,
        **options: Any,
    ) -> BuildReport:
        """Build the tensors of a common and of further recipes, with threads or on an executor."""
        roots = options.pop("roots", self.roots())
        recipes = Recipes(spec, dict.fromkeys(SOURCE_DATASETS, further))

        def opened() -> AbstractContextManager[Compute]:
            if executor is None:
                return compute.open_compute("threads", roots, spec, workers=workers)
            window = compute.BATCHES_PER_WORKER * workers
            return nullcontext(Compute(executor, compute.BATCH_IMAGES, window))

        options.setdefault("compute", opened)
        with self.warehouse.locked():  # like a run, and so DuckDB is started once
            report = build_tensors(self.warehouse, roots, recipes, **options)
            if roots:
                assert self.rows(_FACTS_WITHOUT_THEIR_TENSOR) == []
                assert self.rows(_PREVIEWS_WITHOUT_THEIR_TENSOR) == []
        return report

    def refresh_all(self) -> None:
        with self.warehouse.connect() as connection:
            ensure_tables(connection)
            refresh(connection, *_COMPUTED)

    def rows(self, query: str, parameters: object = None) -> list[tuple[Any, ...]]:
        with self.warehouse.connect() as connection:
            return connection.execute(query, parameters).fetchall()

    def column(self, query: str, parameters: object = None) -> list[Any]:
        return [row[0] for row in self.rows(query, parameters)]

    def tensor(self, image_id: str, spec: Recipe = SPEC) -> UInt8Array:
        (content,) = self.column(
            "SELECT image_tensor FROM image_tensors WHERE image_id = ?", [image_id]
        )
        return np.frombuffer(content, np.uint8).reshape(spec.height, spec.width, spec.channels)
