"""Measure the whole command: `anomaly-assets materialize` in a separate process, from start to end.

Dagster's start, all steps and checks, and publishing are included.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import duckdb

from benchmarks.bench import (
    COMMON,
    Bench,
    Done,
    NotMeasuredError,
    Ratios,
    bare_seconds,
    python,
    run_phases,
)
from benchmarks.trees import Tree

SHIPPED: Mapping[str, str] = {}
COMMON_AND_512: Mapping[str, str] = {"ANOMALY_SIZES": "256,512"}
ONLY_512: Mapping[str, str] = {"ANOMALY_SIZES": "512"}

_OFFICIAL_IMAGES = 21454
_COMMON_BYTES = 4.5e9
"""Number of bytes of a database with as many images as MVTec AD and DAGM 2007, and the common recipe."""

_SHIPPED_BYTES = 9.3e9
"""Number of bytes of the same database with the recipes of the declarations."""

_COPIES = 2.3
"""Number of databases that a first run holds: the warehouse and the published one. The rest is a margin."""


def common(bench: Bench) -> Ratios:
    """Compare the command with the bare loop, for the common recipe; keep a database for refreshes."""
    yield from _against_bare_loop(bench, "common", COMMON, _COMMON_BYTES)
    kept = bench.work / f"loaded-{bench.many}"
    if not kept.exists():
        (bench.work / "command-common").rename(kept)


def shipped(bench: Bench) -> Ratios:
    yield from _against_bare_loop(bench, "shipped", SHIPPED, _SHIPPED_BYTES)


def common_peak(bench: Bench) -> Ratios:
    yield from _peaks(bench, "common", COMMON, _COMMON_BYTES)


def shipped_peak(bench: Bench) -> Ratios:
    yield from _peaks(bench, "shipped", SHIPPED, _SHIPPED_BYTES)


def _against_bare_loop(
    bench: Bench, name: str, variables: Mapping[str, str], most_bytes: float
) -> Ratios:
    tree = bench.tree(bench.many)
    runs = bench.kept.setdefault(name, [])
    for _ in range(bench.pairs):
        runs.append(_first_run(bench, tree, name, variables, most_bytes))
        bare = bare_seconds(tree)
        print(
            f"    command {runs[-1].seconds:.1f} s, bare loop {bare:.1f} s, "
            f"peak {runs[-1].peak_megabytes:.0f} MB",
            flush=True,
        )
        yield runs[-1].seconds / bare


def _peaks(bench: Bench, name: str, variables: Mapping[str, str], most_bytes: float) -> Ratios:
    """Yield the peaks of runs that another figure measured, or of one run."""
    runs = bench.kept.get(name)
    if not runs:
        runs = [_first_run(bench, bench.tree(bench.many), name, variables, most_bytes)]
    yield from (run.peak_megabytes for run in runs)


def _first_run(
    bench: Bench, tree: Tree, name: str, variables: Mapping[str, str], most_bytes: float
) -> Done:
    folder = bench.fresh(f"command-{name}")
    needed = _COPIES * most_bytes * tree.images / _OFFICIAL_IMAGES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NotMeasuredError(
            f"{folder.parent} has {free / 1e9:.0f} GB free, and this figure needs {needed / 1e9:.0f}: set "
            "TMPDIR to a folder on a larger disk"
        )
    done = materialize(bench, tree, folder, variables)
    expect(folder / "warehouse.duckdb", variables)
    return done


def materialize(
    bench: Bench, tree: Tree, folder: Path, variables: Mapping[str, str] = COMMON
) -> Done:
    """Run the command on the warehouse and the published database of a folder."""
    return python(
        ["-m", "anomaly_assets", "materialize"],
        {
            **tree.environment,
            **variables,
            "ANOMALY_WAREHOUSE": str(folder / "warehouse.duckdb"),
            "ANOMALY_DATABASE": str(folder / "anomaly.duckdb"),
            "ANOMALY_KEEP_SNAPSHOTS": "0",
            "DAGSTER_HOME": str(bench.fresh("dagster-home")),
        },
    )


def expect(warehouse: Path, variables: Mapping[str, str]) -> None:
    """Compare what a warehouse holds with the recipes that a figure is about.

    Raises:
        NotMeasuredError: The recipes differ, so the figure would not measure what its name promises.
    """
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        has_recipes = connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'recipe_tensors'"
        ).fetchall() != [(0,)]
        others, images = connection.execute(
            f"SELECT {'(SELECT count(*) FROM main.recipe_tensors)' if has_recipes else '0'}, count(*), "  # noqa: S608
            "FROM main.image_tensors"
        ).fetchall()[0]
        sides = connection.execute("SELECT DISTINCT height FROM main.image_tensors").fetchall()
    side = int(variables.get("ANOMALY_SIZES", "256").split(",")[0])
    if sides != [(side,)]:
        raise NotMeasuredError(f"the common recipe of this version is not {variables}: {sides}")
    is_right = {
        "256,512": others == images,
        "": others > 0,
    }.get(variables.get("ANOMALY_SIZES", ""), others == 0)
    if not is_right:
        raise NotMeasuredError(
            f"this version stores {others} tensors of further recipes for {images} images with "
            f"{variables or 'its defaults'}"
        )


def with_512(bench: Bench) -> Ratios:
    """Compare asset bodies that store two recipes of every image."""
    tree = bench.tree(bench.mixed)
    for _ in range(bench.pairs):
        warehouse = bench.fresh("first-load") / "warehouse.duckdb"
        ours = run_phases(tree, warehouse, variables=COMMON_AND_512).total
        expect(warehouse, COMMON_AND_512)
        yield ours / bare_seconds(tree)


def adding_a_recipe(bench: Bench) -> Ratios:
    """Compare adding the recipe 512x512x3 to a loaded warehouse with a first load of this recipe alone."""
    tree = bench.tree(bench.mixed)
    loaded = bench.fresh("adding")
    run_phases(tree, loaded / "warehouse.duckdb")
    for _ in range(bench.pairs):
        folder = bench.work / "added"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(loaded, folder)
        added = run_phases(tree, folder / "warehouse.duckdb", variables=COMMON_AND_512)
        expect(folder / "warehouse.duckdb", COMMON_AND_512)
        warehouse = bench.fresh("first-load") / "warehouse.duckdb"
        alone = run_phases(tree, warehouse, variables=ONLY_512)
        expect(warehouse, ONLY_512)
        yield added.total / alone.total
