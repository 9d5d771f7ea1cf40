"""Provide the common parts of all figures: trees, loaded databases, clocks, processes, the bare loop."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.trees import PROJECT, Pictures, Tree, build_declared, build_tree
from benchmarks.writers import bare_loop as bare_loop

COMMON: Mapping[str, str] = {"ANOMALY_SIZES": "256"}
"""Variables for the common recipe alone, in place of the recipes of the declarations."""

_KEPT_FOLDERS = ("pictures-", "tree-", "declared-", "loaded-")
_OURS = re.compile("ANOMALY_.*|.*_(ROOT|DEPTH|LINKS)|DAGSTER_HOME")
_OURS_IN_TESTS = "ANOMALY_TEST_"


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
        kept: What a figure measured and another one reports too, by the name of the first.
        failed: Names of figures whose processes failed.
    """

    work: Path
    pictures: Pictures
    mixed: int
    many: int | None
    memory: tuple[int, int]
    pairs: int
    kept: dict[str, list[Any]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    _trees: dict[object, Tree] = field(default_factory=dict)

    def tree(self, images: int | None) -> Tree:
        """Return the tree with this number of images; it is built once."""
        if images not in self._trees:
            self._trees[images] = build_tree(self.work, f"tree-{images}", self.pictures, images)
        return self._trees[images]

    def declared(self, suffix: str) -> Tree:
        """Return a tree of a declared dataset with files of this suffix; it is built once."""
        if suffix not in self._trees:
            self._trees[suffix] = build_declared(
                self.work, suffix, self.pictures, max(8, self.mixed // 2)
            )
        return self._trees[suffix]

    def fresh(self, name: str) -> Path:
        """Return an empty folder."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def tidy(self) -> None:
        """Delete everything but pictures, trees and loaded databases, which later figures use."""
        for folder in self.work.iterdir():
            if not folder.name.startswith(_KEPT_FOLDERS):
                shutil.rmtree(folder, ignore_errors=True)

    def loaded(self, images: int | None) -> tuple[Tree, Path]:
        """Return a tree, and the folder of its loaded warehouse and published database; built once."""
        tree, folder = self.tree(images), self.work / f"loaded-{images}"
        if not folder.exists():
            folder.mkdir()
            run_phases(tree, folder / "warehouse.duckdb", folder / "anomaly.duckdb")
        return tree, folder


Ratios = Iterator[float]


class NotMeasuredError(Exception):
    """A figure cannot be measured here and is left out; the message names what helps."""


def installed(module: str, package: str | None = None) -> ModuleType:
    """Import a module that only benchmarks need.

    Raises:
        NotMeasuredError: The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotMeasuredError(
            f"{package or module} is not installed: pip install -e '.[bench]'"
        ) from error


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare_seconds(tree: Tree) -> float:
    """Run the bare loop over images and masks of a tree in a separate process; return its wall time."""
    files = [str(path) for path in tree.image_files() + tree.mask_files()]
    return written_seconds("bare", "pillow", [(path, path, 0) for path in files])


def written_seconds(
    tool: str,
    decoder: str,
    images: Sequence[tuple[str, str, int]],
    folder: Path | None = None,
    python_of_tool: Path | None = None,
) -> float:
    """Run `benchmarks.writers` in a separate process; return its wall time without its imports.

    Args:
        tool: A tool of `benchmarks.writers`.
        decoder: A decoder of `benchmarks.writers`.
        images: Id, path and label of every image.
        folder: Empty folder to write to.
        python_of_tool: Interpreter of another environment.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as listed:
        json.dump(images, listed)
        listed.flush()
        arguments = ["-m", "benchmarks.writers", tool, decoder, listed.name]
        output = python([*arguments, str(folder or "-")], executable=python_of_tool).output
    return float(output.splitlines()[-1])


@dataclass(frozen=True)
class PhasesReport:
    """Times of a process that ran all asset bodies (see `phases.Spent`), and its peak memory."""

    seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    decode_seconds: float
    peak_megabytes: float

    @property
    def total(self) -> float:
        """Return the seconds of all phases."""
        return sum(self.seconds.values())


def run_phases(
    tree: Tree,
    warehouse: Path,
    published: Path | None = None,
    *,
    computing: str = "threads",
    variables: Mapping[str, str] = COMMON,
) -> PhasesReport:
    """Run all asset bodies in a separate process, as Dagster does."""
    arguments = [str(warehouse), *(f"{name}={root}" for name, root in tree.roots.items())]
    arguments += ["--compute", computing]
    if published is not None:
        arguments += ["--publish", str(published)]
    done = python(["-m", "benchmarks.phases", *arguments], {**tree.environment, **variables})
    return PhasesReport(**json.loads(done.output.splitlines()[-1]))


@dataclass(frozen=True)
class Done:
    """A process that has ended.

    Attributes:
        output: What it printed.
        seconds: Wall time, from its start to its end.
        peak_megabytes: Peak memory; 0 on systems without /proc.
    """

    output: str
    seconds: float
    peak_megabytes: float


class FailedError(Exception):
    """A process of a benchmark failed; the message has the last lines that it printed."""


def python(
    arguments: Sequence[str],
    variables: Mapping[str, str] | None = None,
    *,
    executable: Path | None = None,
) -> Done:
    """Run Python in a separate process.

    Args:
        arguments: Arguments of the interpreter.
        variables: Environment variables of the project; it sees none of those of this process.
        executable: Another interpreter than the one of this process.

    Raises:
        FailedError: The process did not return 0.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [str(executable or sys.executable), *arguments],
            cwd=PROJECT,
            env={**_environment(), **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        peak = _Peak(process.pid)
        output, _ = process.communicate()
        spent = time.perf_counter() - started
        peak.stop()
        if process.returncode:
            errors.seek(0)
            last = "\n".join([*output.splitlines(), *errors.read().splitlines()][-20:])
            raise FailedError(f"{' '.join(arguments)[:200]} failed:\n{last}")
    return Done(output, spent, peak.megabytes)


def _environment() -> dict[str, str]:
    """Return the environment without the settings of the project, and without telemetry and downloads."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not _OURS.fullmatch(name) or name.startswith(_OURS_IN_TESTS)
    }
    return {
        **kept,
        "DAFT_PROGRESS_BAR": "0",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


class _Peak:
    """Peak memory of a process, by its status, which Linux keeps until it ends.

    `getrusage` of an ended process includes the memory of the process that started it.
    """

    def __init__(self, process_id: int) -> None:
        self.megabytes = 0.0
        self._status = Path(f"/proc/{process_id}/status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            try:
                found = re.search(r"VmHWM:\s+(\d+) kB", self._status.read_text("ascii"))
            except OSError:
                return
            if found:
                self.megabytes = int(found[1]) / 1024

    def stop(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()
