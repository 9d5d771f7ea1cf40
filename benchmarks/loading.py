"""Measure figures of loading: each measures its two sides in turn and yields one ratio per pair."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from PIL import Image

from anomaly_assets.decoding.resize import why_not_simd
from anomaly_assets.recipes import PILLOW, SIMD, Recipe
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from benchmarks.bench import (
    COMMON,
    Bench,
    PhasesReport,
    Ratios,
    bare_seconds,
    python,
    run_phases,
    seconds,
    written_seconds,
)
from benchmarks.trees import Tree, build_tree
from benchmarks.trees import listed as scanned
from benchmarks.whole import materialize
from benchmarks.writing import listed

RECIPE = Recipe(resize=PILLOW if why_not_simd() else SIMD)
"""Common recipe of a new warehouse on this machine."""


def first_load(bench: Bench) -> Ratios:
    yield from _against_bare_loop(bench, bench.tree(bench.mixed))


def first_load_jpeg(bench: Bench) -> Ratios:
    yield from _against_bare_loop(bench, bench.declared("jpg"))


def first_load_tiff(bench: Bench) -> Ratios:
    yield from _against_bare_loop(bench, bench.declared("tif"))


def _against_bare_loop(bench: Bench, tree: Tree) -> Ratios:
    for _ in range(bench.pairs):
        ours = _first_load(bench, tree)
        yield ours / bare_seconds(tree)


def _first_load(bench: Bench, tree: Tree) -> float:
    return run_phases(tree, bench.fresh("first-load") / "warehouse.duckdb").total


def against_straightforward(bench: Bench) -> Ratios:
    tree = bench.tree(bench.mixed)
    for _ in range(bench.pairs):
        ours = _first_load(bench, tree)
        yield (
            written_seconds("straightforward", "pillow", listed(tree), bench.fresh("plain")) / ours
        )


def refresh_unchanged(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.many)
    for _ in range(bench.pairs):
        ours = _refresh(tree, folder).total
        print(f"    refresh {ours:.2f} s", flush=True)
        listing = seconds(lambda: [list(scanned(root)) for root in (tree.mvtec_ad, tree.dagm_2007)])
        yield ours / listing


def refresh_with_corrections(bench: Bench) -> Ratios:
    """Compare refreshes that change nothing, with and without a file of 10,000 corrections."""
    tree, folder = bench.loaded(bench.many)
    corrected = folder.with_name(f"{folder.name}-corrected")
    shutil.copytree(folder, corrected)
    file = corrected / "corrections.csv"
    with FileWarehouse(corrected / "warehouse.duckdb").connect() as connection:
        rows = connection.execute(_CORRECTED).fetchall()
    file.write_text(
        "\n".join(["image_id,content_sha256,field,value,reason", *(row for (row,) in rows)])
    )
    variables = {"ANOMALY_CORRECTIONS": str(file)}
    _refresh(tree, corrected, variables)
    for _ in range(bench.pairs):
        ours = _refresh(tree, corrected, variables)
        without = _refresh(tree, folder)
        phases = ", ".join(
            f"{name} {ours.seconds[name] - without.seconds[name]:+.2f}" for name in ours.seconds
        )
        print(f"    {len(rows)} corrections, refresh {ours.total:.2f} s: {phases}", flush=True)
        yield ours.total / without.total
    shutil.rmtree(corrected)


_CORRECTED = """
SELECT concat_ws(
    ',',
    image_id,
    CASE WHEN place % 2 = 0 THEN content_sha256 ELSE '' END,
    ['label,unknown', 'split,validation', 'exclude,true', 'label,anomalous'][1 + place % 4],
    'benchmark'
)
FROM (SELECT image_id, content_sha256, row_number() OVER (ORDER BY md5(image_id)) AS place FROM facts)
ORDER BY place LIMIT 10000
"""


def _refresh(
    tree: Tree, folder: Path, variables: Mapping[str, str] = MappingProxyType({})
) -> PhasesReport:
    return run_phases(
        tree,
        folder / "warehouse.duckdb",
        folder / "anomaly.duckdb",
        variables={**COMMON, **variables},
    )


def refresh_one_changed(bench: Bench) -> Ratios:
    """Compare refreshes without publishing, which copies the whole database after any change."""
    tree, folder = bench.loaded(bench.many)
    target = tree.image_files()[-1]
    for turn in range(bench.pairs):
        _replace(target, turn)
        changed, unchanged = (_refresh(tree, folder).seconds for _ in range(2))
        publishing = changed.pop("publishing")
        unchanged.pop("publishing")
        phases = ", ".join(f"{name} {changed[name] - unchanged[name]:+.2f}" for name in changed)
        print(f"    {phases}, publishing {publishing:.2f} s", flush=True)
        yield sum(changed.values()) / sum(unchanged.values())


def _replace(path: Path, turn: int) -> None:
    """Replace a file by one with other bytes and another time; the file it was linked to is unchanged."""
    image = Image.open(path)
    image.load()
    image.putpixel((0, 0), turn % 256 if image.mode == "L" else (turn % 256, 0, 0))
    path.unlink()
    image.save(path)


def refresh_by_command(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.many)
    for _ in range(bench.pairs):
        ours = materialize(bench, tree, folder).seconds
        yield ours / seconds(lambda: python(["-c", "import dagster, dlt, duckdb, pyarrow"]))


def code_location(bench: Bench) -> Ratios:
    for _ in range(bench.pairs):
        ours = seconds(lambda: python(["-c", "import anomaly_assets.definitions"]))
        yield ours / seconds(lambda: python(["-c", "import dagster, dlt"]))


def peak_memory(bench: Bench) -> Ratios:
    small, large = (bench.tree(images) for images in bench.memory)
    for _ in range(bench.pairs):
        large_megabytes, small_megabytes = (_peak(bench, tree) for tree in (large, small))
        print(f"    peak {large_megabytes:.0f} MB and {small_megabytes:.0f} MB", flush=True)
        yield large_megabytes / small_megabytes


def _peak(bench: Bench, tree: Tree) -> float:
    return run_phases(tree, bench.fresh("memory") / "warehouse.duckdb").peak_megabytes


def _tensor_bytes(database: Path) -> int:
    with FileWarehouse(database).connect() as connection:
        found = connection.execute(
            "SELECT sum(height * width * (channels + (mask_area_fraction IS NOT NULL)::INTEGER)) "
            "FROM image_tensors"
        ).fetchone()
    assert found is not None
    return int(found[0])


def size_after_first_load(bench: Bench) -> Ratios:
    tree = bench.tree(bench.mixed)
    for _ in range(bench.pairs):
        warehouse = bench.fresh("first-load") / "warehouse.duckdb"
        run_phases(tree, warehouse)
        yield warehouse.stat().st_size / _tensor_bytes(warehouse)


def size_after_ten_refreshes(bench: Bench) -> Ratios:
    for pair in range(bench.pairs):
        tree = build_tree(bench.work, f"changing-{pair}", bench.pictures, bench.mixed)
        files, folder = tree.image_files(), bench.fresh("changing")
        chance = random.Random(pair)
        for turn in range(11):
            for path in chance.sample(files, len(files) // 20) if turn else ():
                _replace(path, turn)
            _refresh(tree, folder)
        warehouse = folder / "warehouse.duckdb"
        yield warehouse.stat().st_size / _tensor_bytes(warehouse)


def publishing(bench: Bench) -> Ratios:
    _, folder = bench.loaded(bench.mixed)
    warehouse, target = FileWarehouse(folder / "warehouse.duckdb"), folder / "again.duckdb"
    for _ in range(bench.pairs):
        target.unlink(missing_ok=True)
        ours = seconds(lambda: warehouse.publish(target, RECIPE))
        copy = folder / "copy"
        copy.unlink(missing_ok=True)
        command = ["cp", str(target), str(copy)]
        yield ours / seconds(partial(subprocess.run, command, check=True))
