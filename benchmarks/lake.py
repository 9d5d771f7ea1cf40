"""Measure the costs of tensors on a DuckLake: inserted by the driver, or written by workers and registered.

Each part is measured alone, because two cores cannot run enough workers to saturate a driver. The
catalogue is in a PostgreSQL and the files are in a folder, both on this machine.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from anomaly_assets.decoding.batch import DecodedBatch, decode_batch
from anomaly_assets.decoding.batches import stale_images
from anomaly_assets.decoding.build import one_batch
from anomaly_assets.decoding.writes import write_images
from anomaly_assets.recipes import Recipe
from anomaly_assets.warehouse.base import CATALOG, Warehouse
from anomaly_assets.warehouse.open import open_warehouse
from anomaly_assets_tests.warehouse.lake.postgres import PASSWORD, Postgres, postgresql
from benchmarks.bench import Bench
from benchmarks.dask import to_decode

FILE_IMAGES = 512
"""Number of images per transaction of a lake; each transaction becomes one file."""

_BATCH = 32
_ROWS = "SELECT * EXCLUDE (run_id) FROM image_tensors ORDER BY image_id"


@dataclass(frozen=True)
class LakeCosts:
    """Measured seconds of CPU of one core, except `register_wall_seconds`.

    Attributes:
        insert_seconds: CPU of the driver for each image that it writes.
        write_seconds: CPU of a worker for each image that it writes to Parquet itself.
        register_seconds: CPU of the driver for each file that a worker wrote.
        register_wall_seconds: Wall time of the same, including PostgreSQL's part.
    """

    insert_seconds: float
    write_seconds: float
    register_seconds: float
    register_wall_seconds: float


class DifferentError(RuntimeError):
    """The registered rows differ from the inserted rows."""


@dataclass(frozen=True)
class _File:
    images: pa.Table
    decoded: tuple[pa.Table, DecodedBatch]

    @property
    def table(self) -> pa.Table:
        return self.decoded[1].tensors


def measure_lake(bench: Bench) -> LakeCosts:
    """Measure all costs, each as the median of `bench.pairs` runs.

    Raises:
        DifferentError: The two ways do not give the same rows.
    """
    files = _decoded(bench)
    images = sum(file.images.num_rows for file in files)
    inserted, written, registered, on_clock = ([] for _ in range(4))
    with postgresql() as server:
        os.environ["PGPASSWORD"] = PASSWORD
        for run in range(bench.pairs):
            folder = bench.fresh("lake")
            with _new_lake(server, f"inserted_{run}", folder) as lake:
                cpu, _ = _insert(lake, files)
                inserted.append(cpu / images)
                rows = _rows(lake)
            with _new_lake(server, f"registered_{run}", folder) as lake:
                paths = [folder / "tables" / f"{number}.parquet" for number in range(len(files))]
                paths[0].parent.mkdir()
                written.append(_write_files(files, paths) / images)
                cpu, seconds = _register(lake, paths)
                registered.append(cpu / len(files))
                on_clock.append(seconds / len(files))
                if not _rows(lake).equals(rows):
                    raise DifferentError("registered files do not read as inserted rows")
    return LakeCosts(*map(statistics.median, (inserted, written, registered, on_clock)))


def _decoded(bench: Bench) -> list[_File]:
    images, roots = to_decode(bench, bench.tree(bench.mixed))
    files = []
    for start in range(0, images.num_rows - FILE_IMAGES + 1, FILE_IMAGES) or (0,):
        some = images.slice(start, FILE_IMAGES)
        parts = [some.slice(at, _BATCH) for at in range(0, some.num_rows, _BATCH)]
        decoded = [
            (part, decode_batch(stale_images(part.to_pylist()), roots, Recipe())) for part in parts
        ]
        files.append(_File(some, one_batch(decoded)))
    return files


@contextmanager
def _new_lake(server: Postgres, name: str, folder: Path) -> Iterator[Warehouse]:
    """Yield an empty lake, already attached, so that loading extensions is not measured."""
    server.create(name)
    lake = open_warehouse(server.location(name), lake_data=str(folder / name))
    with lake.locked(), lake.connect():
        yield lake


def _insert(lake: Warehouse, files: list[_File]) -> tuple[float, float]:
    """Insert tensors like `build_tensors`; return seconds of CPU and of wall time."""
    cpu, started = time.process_time(), time.perf_counter()
    for file in files:
        with lake.writing(), lake.connect(wide_rows=True) as connection:
            write_images(connection, file.images, iter([file.decoded]), None, [])
    return time.process_time() - cpu, time.perf_counter() - started


def _write_files(files: list[_File], paths: list[Path]) -> float:
    """Write Parquet files like a worker; return seconds of CPU."""
    tables = [file.table for file in files]
    started = time.process_time()
    for table, path in zip(tables, paths, strict=True):
        pq.write_table(table, path, compression="none", use_dictionary=False)
    return time.process_time() - started


def _register(lake: Warehouse, paths: list[Path]) -> tuple[float, float]:
    """Register all files in one transaction; return seconds of CPU and of wall time."""
    with lake.writing(), lake.connect() as connection:
        cpu, started = time.process_time(), time.perf_counter()
        connection.begin()
        for path in paths:
            connection.execute(
                "CALL ducklake_add_data_files(?, 'image_tensors', ?, schema => 'main')",
                [CATALOG, str(path)],
            )
        connection.commit()
        return time.process_time() - cpu, time.perf_counter() - started


def _rows(lake: Warehouse) -> pa.Table:
    with lake.connect(wide_rows=True) as connection:
        return connection.execute(_ROWS).to_arrow_table()
