"""The figures: each runs its two sides in turn and yields one ratio per pair."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from anomaly_assets.reader import open_samples
from anomaly_assets.tensors import decoder
from anomaly_assets.tensors.transform import TensorSpec
from anomaly_assets.warehouse.database import Warehouse
from anomaly_assets.warehouse.publish import publish
from benchmarks import straightforward
from benchmarks.phases import WORKERS, refresh_everything
from benchmarks.trees import PROJECT, Pictures, Tree, build_tree, listed

SIDE = 256


@dataclass
class Bench:
    """What the figures share: a folder, pictures, and the sizes of this form.

    Attributes:
        work: Scratch folder.
        pictures: What trees link to.
        mixed: Number of images of a first load.
        many: Number of images of a refresh; None is the full official shape.
        memory: Numbers of images of the two memory runs.
        pairs: How often both sides run.
    """

    work: Path
    pictures: Pictures
    mixed: int
    many: int | None
    memory: tuple[int, int]
    pairs: int
    _trees: dict[object, Tree] = field(default_factory=dict)

    def tree(self, images: int | None) -> Tree:
        """The tree with so many images, made once."""
        if images not in self._trees:
            self._trees[images] = build_tree(self.work, f"tree-{images}", self.pictures, images)
        return self._trees[images]

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def loaded(self, images: int | None) -> tuple[Tree, Path]:
        """A tree, and the folder of its loaded warehouse and published database; made once."""
        tree, folder = self.tree(images), self.work / f"loaded-{images}"
        if not folder.exists():
            folder.mkdir()
            refresh_everything(tree, folder / "warehouse.duckdb", folder / "anomaly.duckdb")
        return tree, folder


Ratios = Iterator[float]


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def decode(path: Path) -> None:
    """Read, decode and resize one file with Pillow, and throw the result away."""
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def bare_loop(files: list[Path]) -> None:
    """The limit of any Pillow pipeline: decode and resize on all threads, nothing else."""
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(decode, files):
            pass


@contextmanager
def pillow_only() -> Iterator[None]:
    """Without the `fast` extra."""
    with mock.patch.object(decoder, "wuffs", return_value=None):
        yield


def _first_load(bench: Bench, tree: Tree) -> float:
    folder = bench.fresh("first-load")
    return seconds(lambda: refresh_everything(tree, folder / "warehouse.duckdb"))


def first_load(bench: Bench) -> Ratios:
    tree = bench.tree(bench.mixed)
    files = tree.image_files()
    bare_loop(files)
    for _ in range(bench.pairs):
        with pillow_only():
            ours = _first_load(bench, tree)
        yield ours / seconds(lambda: bare_loop(files))


def first_load_fast(bench: Bench) -> Ratios:
    tree = bench.tree(bench.mixed)
    files = tree.image_files()
    for _ in range(bench.pairs):
        ours = _first_load(bench, tree)
        yield ours / seconds(lambda: bare_loop(files))


def against_straightforward(bench: Bench) -> Ratios:
    tree = bench.tree(max(100, bench.mixed // 4))
    for _ in range(bench.pairs):
        ours = _first_load(bench, tree)
        folder = bench.fresh("straightforward")
        yield seconds(partial(straightforward.load, tree, folder)) / ours


def refresh_unchanged(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.many)
    for _ in range(bench.pairs):
        ours = _refresh(tree, folder)
        print(f"    refresh {ours:.2f} s", flush=True)
        listing = seconds(lambda: [list(listed(root)) for root in (tree.mvtec_ad, tree.dagm_2007)])
        yield ours / listing


def _refresh(tree: Tree, folder: Path) -> float:
    return sum(
        refresh_everything(tree, folder / "warehouse.duckdb", folder / "anomaly.duckdb").values()
    )


def refresh_one_changed(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.many)
    target = tree.image_files()[-1]
    for turn in range(bench.pairs):
        _replace(target, turn)
        changed = _refresh(tree, folder)
        yield changed / _refresh(tree, folder)


def _replace(path: Path, turn: int) -> None:
    """Give a file other bytes and another time, without touching what it was linked to."""
    image = Image.open(path)
    image.load()
    image.putpixel((0, 0), turn % 256 if image.mode == "L" else (turn % 256, 0, 0))
    path.unlink()
    image.save(path)


def refresh_by_command(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.many)
    environment = {
        **os.environ,
        **tree.environment,
        "ANOMALY_WAREHOUSE": str(folder / "warehouse.duckdb"),
        "ANOMALY_DATABASE": str(folder / "anomaly.duckdb"),
        "DAGSTER_HOME": str(bench.fresh("dagster-home")),
    }
    command = ["-m", "dagster", "asset", "materialize", "--select", "*"]
    command += ["-m", "anomaly_assets.definitions"]
    for _ in range(bench.pairs):
        ours = seconds(lambda: _python(command, environment))
        yield ours / seconds(lambda: _python(["-c", "import dagster, dlt, duckdb, pyarrow"]))


def code_location(bench: Bench) -> Ratios:
    for _ in range(bench.pairs):
        ours = seconds(lambda: _python(["-c", "import anomaly_assets.definitions"]))
        yield ours / seconds(lambda: _python(["-c", "import dagster, dlt"]))


def _python(arguments: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def peak_memory(bench: Bench) -> Ratios:
    small, large = (bench.tree(images) for images in bench.memory)
    for _ in range(bench.pairs):
        large_megabytes, small_megabytes = (_peak(bench, tree) for tree in (large, small))
        print(f"    peak {large_megabytes:.0f} MB and {small_megabytes:.0f} MB", flush=True)
        yield large_megabytes / small_megabytes


def _peak(bench: Bench, tree: Tree) -> float:
    folder = bench.fresh("memory")
    code = (
        "import resource, sys; from pathlib import Path; import anomaly_assets.definitions;"
        "from benchmarks.phases import refresh_everything; from benchmarks.trees import Tree;"
        "refresh_everything(Tree(Path(sys.argv[1]), Path(sys.argv[2]), 0), Path(sys.argv[3]));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    roots = [str(tree.mvtec_ad), str(tree.dagm_2007), str(folder / "warehouse.duckdb")]
    return float(_python(["-c", code, *roots]).split()[-1])


def _tensor_bytes(database: Path) -> int:
    with Warehouse(database).connect() as connection:
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
        refresh_everything(tree, warehouse)
        yield warehouse.stat().st_size / _tensor_bytes(warehouse)


def size_after_ten_refreshes(bench: Bench) -> Ratios:
    for pair in range(min(bench.pairs, 2)):
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
    warehouse, target = Warehouse(folder / "warehouse.duckdb"), folder / "again.duckdb"
    for _ in range(bench.pairs):
        target.unlink(missing_ok=True)
        ours = seconds(lambda: publish(warehouse, target, TensorSpec()))
        copy = folder / "copy"
        copy.unlink(missing_ok=True)
        command = ["cp", str(target), str(copy)]
        yield ours / seconds(partial(subprocess.run, command, check=True))


def epoch_against_files(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.mixed)
    files = tree.image_files()
    for _ in range(bench.pairs):
        ours = _epoch(folder)
        yield seconds(lambda: bare_loop(files)) / ours


def _epoch(folder: Path) -> float:
    samples = open_samples(folder / "anomaly.duckdb")
    try:
        return seconds(lambda: [batch.images.shape for batch in samples.batches(64)])
    finally:
        samples.close()


def epoch_against_memmap(bench: Bench) -> Ratios:
    _, folder = bench.loaded(bench.mixed)
    samples = open_samples(folder / "anomaly.duckdb")
    path = folder / "tensors.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.uint8, (len(samples), *samples.shape))
    start = 0
    for batch in samples.batches(64):
        mapped[start : start + len(batch)] = batch.images
        start += len(batch)
    mapped.flush()
    samples.close()

    def read() -> None:
        array = np.load(path, mmap_mode="r")
        for first in range(0, len(array), 64):
            np.array(array[first : first + 64])

    read()
    for _ in range(bench.pairs):
        ours = _epoch(folder)
        yield seconds(read) / ours


def random_samples(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.mixed)
    files = tree.image_files()
    samples = open_samples(folder / "anomaly.duckdb")
    ids = [image_id for batch in samples.batches(64) for image_id in batch.image_ids]
    for pair in range(bench.pairs):
        chance = random.Random(pair)
        chosen, paths = chance.sample(ids, 64), chance.sample(files, 64)
        ours = seconds(partial(samples.take, chosen))
        yield seconds(partial(bare_loop, paths)) / ours
    samples.close()
