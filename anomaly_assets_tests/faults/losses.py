"""Lose samples: a deleted warehouse, a checkout without Git LFS, a root that shrinks day by day."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import Fault, Workspace
from anomaly_assets_tests.faults.installed import (
    SAMPLES,
    config,
    decoded_at,
    expect_logged,
    expect_samples,
    installed,
    query,
    rows_of_samples,
    tree_of,
)
from anomaly_assets_tests.faults.refusals import ADOPT, consent, refused
from anomaly_assets_tests.faults.scene import ROOT_VARIABLES, Scene, discard, roots_below
from anomaly_assets_tests.faults.trials import Facts, Trial

LEFT_EACH_DAY = (28, 23, 19, 16, 13, 11, 9, 8)
"""Images left in a root of 34 that loses 18 % a day."""

_MVTEC_AD = ("mvtec_ad", "MVTec AD")
_NAMED = "|".join(_MVTEC_AD)
_CATALOGUE = "mvtec_ad/images,mvtec_ad/stray_files"


def trials(scene: Scene, quick: bool) -> Iterator[Trial]:
    """Plan trials that lose samples, repair the cause, or consent."""
    run = partial(_pointers, scene, quick)
    yield Trial("samples lost", "every picture of a root is a pointer of Git LFS", run)
    if quick:
        return
    run = partial(_lost_warehouse, scene)
    yield Trial("samples lost", "the warehouse is deleted, and one image is in the root", run)
    run = partial(_ratchet, scene)
    yield Trial("samples lost", "a root loses 18 % of its images a day", run)


def _pointers(scene: Scene, quick: bool) -> Facts:
    workspace = installed(scene)
    before, decoded = rows_of_samples(workspace.database), decoded_at(workspace.warehouse)
    root, away = tree_of(workspace) / "mvtec_ad", tree_of(workspace) / "away"
    shutil.copytree(root, away)
    trees.replace_by_pointers(root)
    command = refused(workspace, consent("published_database"), _NAMED)
    _expect_decoded(workspace, decoded, command.tail(40))

    _put_back(away, root)
    command = workspace.run()
    _expect_decoded(workspace, decoded, command.tail())
    if rows_of_samples(workspace.database) != before:
        raise Fault("the samples differ from those before the damage", command.tail())
    if not quick:
        shutil.copytree(root, away)
        trees.replace_by_pointers(root)
        command = workspace.run(config=config("published_database", allow_shrink=True))
        expect_samples(workspace, {"dagm_2007": 28}, command.tail())
        _put_back(away, root)
        workspace.run()
        if rows_of_samples(workspace.database) != before:
            raise Fault("the samples are not back after the repair", command.tail())
    discard(workspace)
    return {"rows_compared": len(before)}


def _put_back(away: Path, root: Path) -> None:
    shutil.rmtree(root)
    shutil.move(away, root)


def _expect_decoded(workspace: Workspace, expected: dict[str, str], printed: str) -> None:
    found = decoded_at(workspace.warehouse)
    if lost := expected.keys() - found.keys():
        raise Fault(f"{len(lost)} of {len(expected)} good tensors are gone", printed)
    again = sum(found[name] != moment for name, moment in expected.items())
    if again:
        raise Fault(f"{again} of {len(expected)} images were decoded again", printed)


def _lost_warehouse(scene: Scene) -> Facts:
    workspace = installed(scene)
    before = rows_of_samples(workspace.database)
    whole, damaged = tree_of(workspace), workspace.folder / "damaged"
    shutil.copytree(whole / "mvtec_ad", damaged / "mvtec_ad")
    trees.keep_images(damaged / "mvtec_ad", 1)
    workspace.roots = roots_below(damaged, "dagm_2007")
    for path in workspace.data.glob("warehouse.duckdb*"):
        path.unlink()
    # The next run creates another warehouse. Adopting a file is no consent to lose its samples.
    refused(workspace, rf"{ADOPT}|{consent('published_database')}")
    adopt = config("published_database", adopt=True)
    refused(workspace, consent("published_database"), _NAMED, config=adopt)

    workspace.roots = roots_below(whole)
    command = workspace.run(config=adopt)
    if rows_of_samples(workspace.database) != before:
        raise Fault("the samples differ from those before", command.tail())
    discard(workspace)
    return {"rows_compared": len(before)}


def _ratchet(scene: Scene) -> Facts:
    workspace = installed(scene)
    root = tree_of(workspace) / "mvtec_ad"
    first, *others = LEFT_EACH_DAY
    trees.keep_images(root, first)
    command = workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": first}, command.tail())
    for left in others:
        trees.keep_images(root, left)
        refused(workspace, consent("mvtec_ad"), _NAMED)

    # Consent is given for the listing, and is also valid for the later run that publishes the change.
    workspace.run(_CATALOGUE, config("mvtec_ad", allow_shrink=True))
    command = workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": left}, command.tail())
    expect_logged(command, _MVTEC_AD, left, "refreshed")
    [(rejected,)] = query(workspace.database, "SELECT count(*) FROM rejected_images")
    # From now on the limit is 80 % of the number to which the user consented.
    for fewer, enough in ((left - 1, True), (left - 2, False)):
        trees.keep_images(root, fewer)
        if enough:
            workspace.run()
            expect_samples(workspace, {**SAMPLES, "mvtec_ad": fewer})
        else:
            refused(workspace, consent("mvtec_ad"), _NAMED)
    discard(workspace)
    return {"days_refused": len(others), "rejected": rejected, "root": ROOT_VARIABLES["mvtec_ad"]}
