"""Common parts of all figures: trees and loaded databases, clocks, and the bare loop."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from PIL import Image

from benchmarks.phases import WORKERS
from benchmarks.trees import PROJECT, Pictures, Tree, build_tree

SIDE = 256


@dataclass
class Bench:
    """Scratch folder, pictures, and sizes of this form; trees and databases are built once.

    Attributes:
        work: Scratch folder.
        pictures: Files that trees link to.
        mixed: Number of images of a first load.
        many: Number of images of a refresh; None is the full official size.
        memory: Numbers of images of the two memory runs.
        pairs: Number of pairs of measurements.
    """

    work: Path
    pictures: Pictures
    mixed: int
    many: int | None
    memory: tuple[int, int]
    pairs: int
    _trees: dict[object, Tree] = field(default_factory=dict)

    def tree(self, images: int | None) -> Tree:
        """Return the tree with this number of images; it is built once."""
        if images not in self._trees:
            self._trees[images] = build_tree(self.work, f"tree-{images}", self.pictures, images)
        return self._trees[images]

    def fresh(self, name: str) -> Path:
        """Return an empty folder."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def loaded(self, images: int | None) -> tuple[Tree, Path]:
        """Return a tree, and the folder of its loaded warehouse and published database; built once."""
        tree, folder = self.tree(images), self.work / f"loaded-{images}"
        if not folder.exists():
            folder.mkdir()
            run_phases(tree, folder / "warehouse.duckdb", folder / "anomaly.duckdb")
        return tree, folder


Ratios = Iterator[float]


class NotInstalledError(Exception):
    """A package to compare with is not installed; the figure is left out."""


def installed(module: str, package: str | None = None) -> ModuleType:
    """Import a module that only benchmarks need.

    Raises:
        NotInstalledError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotInstalledError(f"{package or module} is not installed") from error


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def decode(path: Path) -> None:
    """Read, decode and resize one file with Pillow, and discard the result."""
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def bare_loop(files: list[Path]) -> None:
    """Decode and resize on all threads and nothing else: the limit of any Pillow pipeline."""
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(decode, files):
            pass


@dataclass(frozen=True)
class PhasesReport:
    """Times of a process that ran all asset bodies (see `phases.Spent`), and its peak memory."""

    seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    decode_seconds: float
    peak_megabytes: float

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())


def run_phases(
    tree: Tree,
    warehouse: Path,
    published: Path | None = None,
    *,
    pillow_only: bool = False,
    computing: str = "threads",
) -> PhasesReport:
    """Run all asset bodies in a separate process, as Dagster does."""
    arguments = [str(tree.mvtec_ad), str(tree.dagm_2007), str(warehouse)]
    arguments += ["--compute", computing]
    if published is not None:
        arguments += ["--publish", str(published)]
    if pillow_only:
        arguments += ["--pillow-only"]
    printed = python(["-m", "benchmarks.phases", *arguments])
    return PhasesReport(**json.loads(printed.splitlines()[-1]))


def python(arguments: list[str], environment: dict[str, str] | None = None) -> str:
    """Run Python in a separate process and return its output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
