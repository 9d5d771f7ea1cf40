"""Measure decoding on a local Dask cluster: `make bench-dask`, or `--quick` for the short form.

Every figure is the ratio of two things measured in turn in one process. Slow results never fail.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

# Set before dlt is imported.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

from anomaly_assets.arguments import at_least
from anomaly_assets.decoding.batch import decode_batch
from anomaly_assets.decoding.batches import stale_images
from anomaly_assets.decoding.build import find_stale
from anomaly_assets.recipes import Recipe, Recipes
from anomaly_assets.roots.base import Root
from anomaly_assets_tests.dask.cluster import Cluster, running_cluster
from anomaly_assets_tests.warehouse.project import Project, mask, noise
from benchmarks.bench import Bench, PhasesReport, Ratios, run_phases
from benchmarks.chart import write_table
from benchmarks.figures import Figure, chosen, keep, measured
from benchmarks.trees import Pictures, Tree, pictures

RESULTS = Path(__file__).parent / "results_dask.json"
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"

SLOWDOWN = 10
"""Factor by which a sleep makes decoding slower."""

_SLOW = ("--preload", "anomaly_assets_tests.dask.slow")


@contextmanager
def cluster_of(bench: Bench, workers: int, threads: int, sleep: float = 0.0) -> Iterator[Cluster]:
    """Yield a cluster whose workers have decoded before, so that no import is measured."""
    with running_cluster(bench.fresh("cluster"), workers=0) as cluster:
        for _ in range(workers):
            environment = {"ANOMALY_TEST_SECONDS_PER_IMAGE": str(sleep)}
            cluster.add_worker(threads, environment, _SLOW if sleep else ())
        cluster.wait_for_workers(workers)
        load_on(cluster, bench, bench.tree(50))
        yield cluster


def load_on(cluster: Cluster | None, bench: Bench, tree: Tree) -> PhasesReport:
    """Run a first load in a separate process: on a cluster, or with threads."""
    warehouse = bench.fresh("first-load") / "warehouse.duckdb"
    return run_phases(tree, warehouse, computing=cluster.location if cluster else "threads")


def to_decode(bench: Bench, tree: Tree) -> tuple[pa.Table, dict[str, Root]]:
    """Return all images of a tree that a build has to decode, and their roots."""
    project = Project.at(bench.fresh("decode-only"), tree.mvtec_ad.parent)
    project.list_files()
    project.refresh_all()
    roots = project.roots()
    with project.warehouse.connect() as connection:
        return find_stale(connection, list(roots), Recipes()), roots


def decode_only(bench: Bench, tree: Tree, threads: int = 2) -> tuple[float, int]:
    """Decode a whole tree on threads and discard it; return CPU seconds and the number of images."""
    found, roots = to_decode(bench, tree)
    images = stale_images(found)
    spec = Recipe()
    batches = [images[start : start + 8] for start in range(0, len(images), 8)]
    started = time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda batch: decode_batch(batch, roots, spec).images, batches):
            pass
    return time.process_time() - started, len(images)


def first_load(bench: Bench) -> Ratios:
    tree = bench.tree(bench.mixed)
    with cluster_of(bench, workers=2, threads=1) as cluster:
        for _ in range(bench.pairs):
            ours, threads = (load_on(each, bench, tree) for each in (cluster, None))
            print(
                f"    tensors {ours.seconds['tensors']:.2f} and {threads.seconds['tensors']:.2f} s",
                flush=True,
            )
            yield ours.total / threads.total


def more_threads(bench: Bench) -> Ratios:
    """Measure only the building of the tensors, because the steps around it have one thread."""
    tree = bench.tree(bench.mixed)
    cpu_seconds, images = decode_only(bench, bench.tree(bench.mixed // 8), threads=1)
    sleep = (SLOWDOWN - 1) * cpu_seconds / images
    print(
        f"    {cpu_seconds / images * 1000:.1f} ms of CPU an image, {sleep * 1000:.0f} ms of sleep"
    )
    for _ in range(bench.pairs):
        spent = []
        for threads in (1, 8):
            with cluster_of(bench, 1, threads, sleep) as cluster:
                report = load_on(cluster, bench, tree)
            spent.append(report.seconds["tensors"])
            each = report.decode_seconds / tree.images * 1000
            busy = report.decode_seconds / threads / spent[-1]
            print(
                f"    {threads} threads: {spent[-1]:.1f} s, {each:.0f} ms an image, threads decode "
                f"{busy:.0%} of the time",
                flush=True,
            )
        yield spent[0] / spent[1]


def driver_cpu(bench: Bench) -> Ratios:
    """Compare the driver's cost of one more image with the cost of decoding it, without connecting."""
    few, tree = bench.tree(50), bench.tree(bench.mixed)
    with cluster_of(bench, workers=2, threads=1) as cluster:
        for _ in range(bench.pairs):
            small, large = (
                load_on(cluster, bench, each).cpu_seconds["tensors"] for each in (few, tree)
            )
            ours = (large - small) / (tree.images - few.images)
            whole, images = decode_only(bench, tree)
            print(
                f"    {ours * 1000:.2f} and {whole / images * 1000:.2f} s per 1,000 images; "
                f"the driver's {small - few.images * ours:.2f} s of importing and connecting apart",
                flush=True,
            )
            yield ours / (whole / images)


def driver_memory(bench: Bench) -> Ratios:
    """Use tiny pictures, so that workers are faster than the driver and the maximum waits in it."""
    folder = bench.fresh("tiny")
    bench = replace(bench, work=folder, pictures=_tiny_pictures(folder), _trees={})
    small, large = (bench.tree(images) for images in bench.memory)
    with cluster_of(bench, workers=2, threads=1) as cluster:
        for _ in range(bench.pairs):
            many, few = (load_on(cluster, bench, tree) for tree in (large, small))
            print(f"    peak {many.peak_megabytes:.0f} and {few.peak_megabytes:.0f} MB", flush=True)
            yield many.peak_megabytes / few.peak_megabytes


def _tiny_pictures(folder: Path) -> Pictures:
    kinds = []
    for kind, picture in enumerate((noise(1), noise(2, "L"), mask((2, 2, 9, 9)))):
        kinds.append([folder / f"{kind}.png"])
        picture.save(kinds[-1][0])
    return Pictures(kinds[0], kinds[1], kinds[2], kinds[2], False)


FIGURES = (
    Figure("first load, 2 workers / 2 threads", first_load, "<=", 1.25, True),
    Figure("1 / 8 worker threads, decoding x10", more_threads, ">=", 7, True),
    Figure("driver CPU / decode CPU", driver_cpu, "<=", 0.10, True),
    Figure("driver memory 20,000 / 2,000 images", driver_memory, "<=", 1.1, True),
)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dask", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small trees, one pair")
    parser.add_argument("--pairs", type=at_least(1), help="pairs per figure (5, quick 1)")
    parser.add_argument("--only", default="", help="parts of the names of figures, by comma")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="anomaly-bench-") as folder:
        linked = pictures(Path(folder))
        print(f"pictures: {'real excerpts' if linked.are_real else 'synthetic samples'}")
        pairs = options.pairs or (1 if options.quick else 5)
        if options.quick:
            bench = Bench(Path(folder), linked, 200, None, (200, 400), pairs)
        else:
            bench = Bench(Path(folder), linked, 1600, None, (2000, 20000), pairs)
        results = list(measured(chosen(FIGURES, options.only, quick=options.quick), bench))
        if not options.quick:
            write_table(keep(FIGURES, results, RESULTS), PAGE)


if __name__ == "__main__":
    main()
