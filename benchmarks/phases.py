"""Run the asset bodies, one after the other, without Dagster.

`python -m benchmarks.phases` runs them in a separate process, as Dagster does, and prints their times.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.curation.correction_files import as_table, read_corrections
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding.build import build_tensors
from anomaly_assets.decoding.open import open_compute
from anomaly_assets.decoding.resize import why_not_simd
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.open import open_root
from anomaly_assets.settings import Settings
from anomaly_assets.signals import import_what_duckdb_imports
from anomaly_assets.tables import checks
from anomaly_assets.tables.corrections import replace_lines
from anomaly_assets.tables.ddl import comment_on_catalogue, ensure_tables, refresh, refresh_labels
from anomaly_assets.tables.recipes import recipes_for, record_recipes
from anomaly_assets.tables.registry import TABLES
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from benchmarks.writers import WORKERS

SUMMARIES = [table.name for table in TABLES.values() if table.made_from]


@dataclass
class Spent:
    """Times of the phases.

    Attributes:
        seconds: Wall time by name of the phase.
        cpu_seconds: CPU time of this process by name of the phase.
        decode_seconds: Time for decoding, summed over all workers.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    decode_seconds: float = 0.0


def refresh_everything(
    roots: Mapping[str, str],
    database: Path,
    published: Path | None = None,
    computing: str = "threads",
) -> Spent:
    """Run every asset body and every check once; publish if a target is given."""
    settings = Settings.from_environment()
    spent = Spent()

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        started, cpu_started = time.perf_counter(), time.process_time()
        yield
        spent.seconds[name] = time.perf_counter() - started
        spent.cpu_seconds[name] = time.process_time() - cpu_started

    warehouse = FileWarehouse(database)
    with warehouse.locked():
        with phase("catalogue"):
            for name, root in roots.items():
                if load(SOURCE_DATASETS[name], root, warehouse).any_change:
                    with warehouse.connect() as connection:
                        comment_on_catalogue(connection, name)
        with phase("corrections"), warehouse.connect() as connection:
            ensure_tables(connection)
            refresh_labels(connection)
            if settings.corrections is not None:
                replace_lines(connection, as_table(read_corrections(settings.corrections)))
        with phase("tensors"):
            opened = {name: open_root(root) for name, root in roots.items()}
            with warehouse.writing(), warehouse.connect() as connection:
                ensure_tables(connection)
                recipes = recipes_for(connection, settings, why_not_simd=why_not_simd)
                record_recipes(connection, recipes, settings, opened)
            compute = partial(open_compute, computing, opened, recipes.common, workers=WORKERS)
            report = build_tensors(warehouse, opened, recipes, compute=compute)
            spent.decode_seconds = report.decode_seconds
        with phase("summaries"):
            for name in ("samples", *SUMMARIES):
                with warehouse.connect() as connection:
                    refresh(connection, name)
        with phase("checks"):
            _check(warehouse, roots, recipes.common)
        if published is not None:
            with phase("publishing"):
                warehouse.publish(published, recipes.common)
    return spent


def _check(warehouse: FileWarehouse, roots: Mapping[str, str], spec: Recipe) -> None:
    groups: tuple[tuple[checks.Check, ...], ...] = (
        checks.IMAGES_CHECKS,
        checks.TENSOR_CHECKS,
        checks.LABEL_CHECKS,
        checks.REJECTED_CHECKS,
        checks.DUPLICATE_CHECKS,
    )
    for group in groups:
        with warehouse.connect() as connection:
            ensure_tables(connection)
            list(checks.evaluate(connection, *group, spec=spec))
    for name in roots:
        with warehouse.connect() as connection:
            list(checks.evaluate(connection, *checks.STRAY_CHECKS, source_dataset=name))


def main() -> None:
    """Run the command: print seconds per phase, and the peak memory of the process in MB."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phases", description=__doc__)
    parser.add_argument("warehouse", type=Path)
    parser.add_argument("roots", nargs="+", metavar="NAME=ROOT", help="source datasets")
    parser.add_argument("--publish", type=Path)
    parser.add_argument("--compute", default="threads", help="as ANOMALY_COMPUTE")
    options = parser.parse_args()
    # Import what every real run has in memory: Dagster's event log imports SQLAlchemy, which dlt would
    # import during a load; and what the command imports before its first step. The bare loop is measured
    # without its imports too.
    for name in (
        "anomaly_assets.definitions",
        "anomaly_assets.catalogue.reconcile",
        "sqlalchemy",
        "dlt.destinations.impl.duckdb.duck",
    ):
        importlib.import_module(name)
    import_what_duckdb_imports()
    roots = dict(each.split("=", 1) for each in options.roots)
    spent = refresh_everything(roots, options.warehouse, options.publish, computing=options.compute)
    print(json.dumps({**asdict(spent), "peak_megabytes": _peak_megabytes()}))


def _peak_megabytes() -> float:
    """Return the peak memory of this program; that of `getrusage` includes the parent process."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(kilobytes) / 1024


if __name__ == "__main__":
    main()
