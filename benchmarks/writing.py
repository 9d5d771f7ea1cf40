"""Measure writing: other tools write the same tensors, decoded by Pillow or by our decoder.

Their side has no masks, no catalogue, no digests, no checks, and does not wait for the disk.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path

from benchmarks.bench import Bench, NotMeasuredError, Ratios, run_phases, written_seconds
from benchmarks.trees import Tree

TOOLS = {"Lance": "lance", "webdataset": "webdataset", "Daft": "daft", "Hugging Face": "datasets"}
PACKAGES = {"lance": "pylance"}
"""Name of the package, if it is not the name of the module."""

_OWN_ENVIRONMENT = Path(sys.prefix) / "daft"
"""Environment that `make bench-writers` makes: Daft needs another pyarrow than the project has."""


def against(tool: str, decoder: str) -> Callable[[Bench], Ratios]:
    """Return the measurement of a tool: its time over the time of a first load.

    Args:
        tool: A tool of `benchmarks.writers`.
        decoder: A decoder of `benchmarks.writers`.
    """

    def measure(bench: Bench) -> Ratios:
        interpreter = interpreter_of(tool)
        tree = bench.tree(bench.mixed)
        images = listed(tree)
        for _ in range(bench.pairs):
            ours = run_phases(tree, bench.fresh("first-load") / "warehouse.duckdb").total
            theirs = written_seconds(tool, decoder, images, bench.fresh("written"), interpreter)
            print(f"    {tool} {theirs:.2f} s, first load {ours:.2f} s", flush=True)
            yield theirs / ours

    return measure


def listed(tree: Tree) -> list[tuple[str, str, int]]:
    """Return id, path and label of every image of a tree."""
    return [
        ("/".join(path.parts[-4:]), str(path), int("good" not in path.parts))
        for path in tree.image_files()
    ]


def interpreter_of(tool: str) -> Path:
    """Return the interpreter that can import a tool.

    Raises:
        NotMeasuredError: No interpreter can; the message has the command that installs the tool.
    """
    if util.find_spec(tool):
        return Path(sys.executable)
    own = _OWN_ENVIRONMENT / "bin" / "python"
    if version_of(tool) and own.exists():
        return own
    raise NotMeasuredError(
        f"{tool} is not installed: "
        + ("make bench-writers" if tool == "daft" else "pip install -e '.[bench]'")
    )


def version_of(tool: str) -> str | None:
    """Return the version of a tool, in this environment or its own; None if it is not installed."""
    package = PACKAGES.get(tool, tool)
    folders = [*sys.path, *map(str, _OWN_ENVIRONMENT.glob("lib/python*/site-packages"))]
    found = list(metadata.distributions(name=package, path=folders))
    return found[0].version if found else None
