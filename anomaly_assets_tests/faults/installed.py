"""Build small installations after a first run; each trial gets a copy of one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import Command, Fault, Workspace
from anomaly_assets_tests.faults.content import opened
from anomaly_assets_tests.faults.scene import Scene, roots_below

SIDE = 16
"""Side of the tensors in pixels."""

SAMPLES = {"mvtec_ad": 34, "dagm_2007": 28}
"""Number of sample images of each source dataset, all of which are usable."""


def without_roots(scene: Scene, side: int = SIDE, state: Path | None = None) -> Workspace:
    """Make a workspace in whose environment no root is named."""
    return scene.workspace(Path(), side, state, roots={})


def installed(scene: Scene, *, publish: bool = True) -> Workspace:
    """Copy an installation whose roots are named, and are copies of the samples.

    Args:
        scene: Where it is made.
        publish: Whether its published database is copied too.
    """
    state = scene.once("installed", lambda: _first_run(scene, named=True))
    workspace = without_roots(scene, state=state.data if publish else None)
    if not publish:
        shutil.copyfile(state.warehouse, workspace.warehouse)
    shutil.copytree(tree_of(state), tree_of(workspace))
    workspace.roots = roots_below(tree_of(workspace))
    return workspace


def quick_started(scene: Scene) -> Workspace:
    """Copy an installation after its first run, for which no root was named."""
    state = scene.once("quick start", lambda: _first_run(scene, named=False))
    return without_roots(scene, state=state.data)


def tree_of(workspace: Workspace) -> Path:
    """Name the folder of the roots of an installation."""
    return workspace.folder / "roots"


def _first_run(scene: Scene, *, named: bool) -> Workspace:
    workspace = without_roots(scene)
    if named:
        for name in SAMPLES:
            shutil.copytree(trees.SAMPLES / name, tree_of(workspace) / name)
        workspace.roots = roots_below(tree_of(workspace))
    workspace.run()
    expect_samples(workspace, SAMPLES)
    return workspace


def config(step: str, **values: bool) -> dict[str, Any]:
    """Build the run config that gives some values to a step."""
    return {"ops": {step: {"config": values}}}


def query(database: Path, statement: str) -> list[tuple[Any, ...]]:
    """Query a database, opened read-only.

    Raises:
        Fault: The query fails.
    """
    try:
        with opened(database) as connection:
            return connection.execute(statement).fetchall()
    except duckdb.Error as error:
        raise Fault(f"{database.name} does not answer {statement!r}: {error}") from error


def samples_of(database: Path) -> dict[str, int]:
    """Count the samples by source dataset."""
    counted = "SELECT source_dataset, count(*) FROM samples GROUP BY ALL ORDER BY ALL"
    return dict(query(database, counted))


def expect_samples(workspace: Workspace, expected: Mapping[str, int], printed: str = "") -> None:
    """Compare the published samples with a number for each source dataset.

    Raises:
        Fault: The numbers differ.
    """
    found = samples_of(workspace.database)
    if found != dict(expected):
        raise Fault(f"published are {_listed(found)} instead of {_listed(expected)}", printed)


def rows_of_samples(database: Path) -> list[tuple[Any, ...]]:
    """Read every sample with its pixels, without its URL and the time of its load."""
    columns = "COLUMNS(* EXCLUDE (source_uri, loaded_at))"
    return query(database, f"SELECT {columns} FROM samples ORDER BY image_id")


def decoded_at(database: Path) -> dict[str, str]:
    """Read when the tensor of each image was written."""
    return dict(query(database, "SELECT image_id, loaded_at::VARCHAR FROM image_tensors"))


def expect_logged(command: Command, names: Sequence[str], count: int | None, states: str) -> None:
    """Look for the line about one source dataset with which every run ends.

    Args:
        command: The run.
        names: Name and title of the source dataset; one of them must be in the line.
        count: Number of its images, also in the line; None for a dataset that was removed.
        states: Expected words of the line, as alternatives of a regular expression.

    Raises:
        Fault: The line is missing.
    """
    words = [states, *([str(count)] if count is not None else [])]
    lines = [line for line in command.output().splitlines() if any(name in line for name in names)]
    if not any(all(_has(word, line) for word in words) for line in lines):
        wanted = ", ".join([names[0], *words])
        raise Fault(f"no line of the log has all of: {wanted}", command.tail(40))


def _has(word: str, line: str) -> bool:
    return re.search(rf"(?<![\w.])(?:{word})(?![\w.]*\w)", line, re.IGNORECASE) is not None


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in counts.items()) or "none"
