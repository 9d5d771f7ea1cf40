"""Load samples of the repository and a team's own data: never in one published database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import Fault, Workspace
from anomaly_assets_tests.faults.installed import (
    SAMPLES,
    SIDE,
    expect_logged,
    expect_samples,
    installed,
    query,
    quick_started,
    rows_of_samples,
    tree_of,
    without_roots,
)
from anomaly_assets_tests.faults.outages import must_fail
from anomaly_assets_tests.faults.scene import ROOT_VARIABLES, Scene, discard
from anomaly_assets_tests.faults.trials import Facts, Trial

_MVTEC_AD = ("mvtec_ad", "MVTec AD")
_DAGM_2007 = ("dagm_2007", "DAGM 2007")
_LEFT_OUT = {ROOT_VARIABLES["dagm_2007"]: ""}


def trials(scene: Scene, quick: bool) -> Iterator[Trial]:
    """Plan trials that name a root after the quick start, at the first run, and not any more."""
    kind = "samples and own data"
    run = partial(_own_root, scene, _LEFT_OUT, 128, SIDE)
    yield Trial(kind, "128 own images after the quick start, the other root empty", run)
    if quick:
        return
    run = partial(_own_root, scene, {}, 12, SIDE)
    yield Trial(kind, "12 own images after the quick start, the other root not set", run)
    run = partial(_own_root, scene, _LEFT_OUT, 128, SIDE + 8)
    yield Trial(kind, "128 own images after the quick start, another image size", run)
    run = partial(_root_is_gone, scene)
    yield Trial(kind, "a root that does not exist after the quick start", run)
    yield Trial(kind, "a first run without roots", partial(_quick_start, scene))
    yield Trial(kind, "a first run with one root", partial(_first_run, scene))
    yield Trial(kind, "a run without any root after one with two", partial(_no_root, scene))


def _own_root(scene: Scene, others: Mapping[str, str], count: int, side: int) -> Facts:
    workspace = quick_started(scene)
    workspace.roots = {ROOT_VARIABLES["mvtec_ad"]: str(_own_tree(workspace, count)), **others}
    workspace.image_size = side
    command = workspace.run()
    expect_samples(workspace, {"mvtec_ad": count}, command.tail())
    expect_logged(command, _MVTEC_AD, count, "refreshed")
    expect_logged(command, _DAGM_2007, None, "removed")
    expect_origin(workspace.database, {"mvtec_ad": False})
    sides = query(workspace.database, "SELECT DISTINCT height, width FROM image_tensors")
    if sides != [(side, side)]:
        raise Fault(f"tensors have the shapes {sides}", command.tail())
    discard(workspace)
    return {"images": count}


def _root_is_gone(scene: Scene) -> Facts:
    workspace = quick_started(scene)
    workspace.roots = {ROOT_VARIABLES["mvtec_ad"]: str(workspace.folder / "gone"), **_LEFT_OUT}
    facts = must_fail(workspace, "does not exist")
    discard(workspace)
    return facts


def _quick_start(scene: Scene) -> Facts:
    workspace = quick_started(scene)
    command = workspace.run()
    for names, count in ((_MVTEC_AD, 34), (_DAGM_2007, 28)):
        expect_logged(command, names, count, "refreshed")
    expect_samples(workspace, SAMPLES, command.tail())
    expect_origin(workspace.database, dict.fromkeys(SAMPLES, True))
    discard(workspace)
    return {"images": 62}


def _first_run(scene: Scene) -> Facts:
    workspace = without_roots(scene)
    workspace.roots = {ROOT_VARIABLES["mvtec_ad"]: str(_own_tree(workspace, 40))}
    command = workspace.run()
    expect_samples(workspace, {"mvtec_ad": 40}, command.tail())
    expect_origin(workspace.database, {"mvtec_ad": False})
    discard(workspace)
    return {"images": 40}


def _no_root(scene: Scene) -> Facts:
    """Run without the environment, as a misconfigured job does: samples must not replace the data."""
    workspace = installed(scene)
    # The same number of images as in the samples, but other images.
    for path in trees.images(tree_of(workspace)):
        trees.shifted(path, path, 21)
    workspace.run()
    before = rows_of_samples(workspace.database)
    workspace.roots = {}
    with workspace.start() as command:
        code = command.end()
    if rows_of_samples(workspace.database) != before:
        raise Fault(f"exit {code}, and the data was replaced by the samples", command.tail())
    expect_origin(workspace.database, dict.fromkeys(SAMPLES, False))
    discard(workspace)
    return {"exit_code": code, "rows_compared": len(before)}


def _own_tree(workspace: Workspace, count: int) -> Path:
    """Make a root of MVTec AD with this number of images, at least 12, below an installation."""
    root = tree_of(workspace) / "own" / "mvtec_ad"
    shutil.copytree(trees.SAMPLES / "mvtec_ad" / "bolt", root / "bolt")
    good = root / "bolt" / "train" / "good"
    there = len(trees.images(root))
    if there > count:
        for path in trees.images(root / "bolt" / "test" / "good") + trees.images(good):
            if there > count:
                path.unlink()
                there -= 1
    trees.add(good, count - there)
    return root


def expect_origin(database: Path, expected: Mapping[str, bool]) -> None:
    """Compare which source datasets are published, and which of them are from samples.

    Raises:
        Fault: The source datasets differ.
    """
    found = dict(query(database, "SELECT source_dataset, from_samples FROM source_datasets"))
    if found != dict(expected):
        raise Fault(f"source_datasets has {found} instead of {dict(expected)}")
