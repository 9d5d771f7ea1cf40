"""Small installations: what a team has after its first run, made once and copied for each trial."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import Fault, Workspace
from anomaly_assets_tests.faults.content import opened
from anomaly_assets_tests.faults.scene import Scene, roots_below

SIDE = 16
"""Side of the tensors in pixels."""

SAMPLES = {"mvtec_ad": 34, "dagm_2007": 28}
"""Number of sample images of each source dataset, all of which are usable."""


def installed(
    scene: Scene, *, publish: bool = True, roots: Mapping[str, str] | None = None
) -> Workspace:
    """Copy an installation whose roots are copies of the samples and are named.

    Args:
        scene: Where it is made.
        publish: Whether its published database is copied too.
        roots: Environment variables of its roots; by default those of `tree_of`.
    """
    state = scene.once("installed", lambda: _first_run(scene, named=True))
    workspace = scene.workspace(Path(), SIDE, state.data if publish else None, roots={})
    if not publish:
        shutil.copyfile(state.warehouse, workspace.warehouse)
    shutil.copytree(state.folder / "roots", tree_of(workspace))
    workspace.roots = roots_below(tree_of(workspace)) if roots is None else roots
    return workspace


def quick_started(scene: Scene) -> Workspace:
    """Copy an installation in which nobody has named a root yet."""
    state = scene.once("quick start", lambda: _first_run(scene, named=False))
    return scene.workspace(Path(), SIDE, state.data, roots={})


def tree_of(workspace: Workspace) -> Path:
    """The folder of the roots of an installation."""
    return workspace.folder / "roots"


def _first_run(scene: Scene, *, named: bool) -> Workspace:
    workspace = scene.workspace(Path(), SIDE, roots={})
    if named:
        for name in SAMPLES:
            shutil.copytree(trees.SAMPLES / name, tree_of(workspace) / name)
        workspace.roots = roots_below(tree_of(workspace))
    workspace.run()
    expect_samples(workspace, SAMPLES)
    return workspace


def config(step: str, **values: bool) -> dict[str, Any]:
    """The run config that gives some values to a step."""
    return {"ops": {step: {"config": values}}}


def query(database: Path, statement: str) -> list[tuple[Any, ...]]:
    """Rows of a query on a database, which is opened read-only.

    Raises:
        Fault: It cannot be answered.
    """
    try:
        with opened(database) as connection:
            return connection.execute(statement).fetchall()
    except duckdb.Error as error:
        raise Fault(f"{database.name} does not answer {statement!r}: {error}") from error


def samples_of(database: Path) -> dict[str, int]:
    """Number of samples by source dataset."""
    counted = "SELECT source_dataset, count(*) FROM samples GROUP BY ALL ORDER BY ALL"
    return dict(query(database, counted))


def expect_samples(workspace: Workspace, expected: Mapping[str, int], printed: str = "") -> None:
    """Compare the published samples with a number for each source dataset.

    Raises:
        Fault: They are others.
    """
    found = samples_of(workspace.database)
    if found != dict(expected):
        raise Fault(f"published are {_listed(found)} instead of {_listed(expected)}", printed)


def rows_of_samples(database: Path) -> list[tuple[Any, ...]]:
    """Every sample with its pixels, without its address and the time of its load."""
    columns = "COLUMNS(* EXCLUDE (source_uri, loaded_at))"
    return query(database, f"SELECT {columns} FROM samples ORDER BY image_id")


def decoded_at(database: Path) -> dict[str, str]:
    """Image id to the moment at which its tensor was written."""
    return dict(query(database, "SELECT image_id, loaded_at::VARCHAR FROM image_tensors"))


def expect_told(printed: str, names: Sequence[str], count: int | None, states: str) -> None:
    """Look for the line about one source dataset with which every run ends.

    Args:
        printed: What the run printed.
        names: Name and title of the source dataset; one must be there.
        count: Number of its images; None for a dataset that is removed.
        states: What may be said of it, as alternatives of a regular expression.

    Raises:
        Fault: There is no such line.
    """
    named = [line for line in printed.splitlines() if any(name in line for name in names)]
    words = [states, *([str(count)] if count is not None else [])]
    if not any(all(_has(word, line) for word in words) for line in named):
        raise Fault(
            f"no line of the run says of {names[0]} that {count} images are {states}",
            printed[-3000:],
        )


def _has(word: str, line: str) -> bool:
    return re.search(rf"(?<![\w.])(?:{word})(?![\w.]*\w)", line, re.IGNORECASE) is not None


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in counts.items()) or "none"
