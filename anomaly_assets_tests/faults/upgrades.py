"""Upgrade databases of the first release: they are opened, refreshed and published by this one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import duckdb

from anomaly_assets.reader import list_snapshots, open_samples
from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import PROJECT, Command, Fault, Workspace
from anomaly_assets_tests.faults.content import kept_paths
from anomaly_assets_tests.faults.installed import (
    SAMPLES,
    decoded_at,
    expect_logged,
    expect_samples,
    rows_of_samples,
    tree_of,
    without_roots,
)
from anomaly_assets_tests.faults.named_roots import expect_origin
from anomaly_assets_tests.faults.scene import ROOT_VARIABLES, Scene, discard, roots_below
from anomaly_assets_tests.faults.trials import Facts, Trial
from anomaly_assets_tests.releases import SAMPLES_MODIFIED_AT, copy_samples, unpack_release

SIDE = 8
"""Side of the tensors with which the databases were made."""


def trials(scene: Scene, quick: bool) -> Iterator[Trial]:
    """Plan trials with named roots, and with samples."""
    if quick:
        return
    kind = "first release"
    yield Trial(kind, "its databases, whose roots are named", partial(_named_roots, scene))
    yield Trial(kind, "its databases, of the samples", partial(_samples, scene))
    run = partial(_samples_and_own_root, scene)
    yield Trial(kind, "its databases, of the samples, and a root that is named", run)


def _named_roots(scene: Scene) -> Facts:
    workspace = _of_release(scene, "first_named_roots")
    workspace.roots = roots_below(tree_of(workspace))
    before, decoded = rows_of_samples(workspace.database), decoded_at(workspace.warehouse)
    snapshots = _openable(workspace)
    command = workspace.run()
    _expect_the_same(workspace, before, decoded, command)
    expect_origin(workspace.database, dict.fromkeys(SAMPLES, False))
    _expect_openable(workspace, snapshots[:1], command)

    trees.add(tree_of(workspace) / "mvtec_ad" / "bolt" / "train" / "good", 1)
    command = workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": 35}, command.tail())
    again = decoded_at(workspace.warehouse)
    if len(again.items() - decoded.items()) != 1:
        raise Fault("more than the added picture was decoded", command.tail())
    numbers = [snapshot.tensors for snapshot in list_snapshots(workspace.database)]
    if numbers[:2] != [63, 62]:
        raise Fault(f"snapshots that can be opened have {numbers} samples", command.tail())
    discard(workspace)
    return {"rows_compared": len(before), "snapshots_before": len(snapshots)}


def _samples(scene: Scene) -> Facts:
    workspace = _of_release(scene, "first_sample_roots")
    before, decoded = rows_of_samples(workspace.database), decoded_at(workspace.warehouse)
    command = workspace.run()
    _expect_the_same(workspace, before, decoded, command)
    expect_origin(workspace.database, dict.fromkeys(SAMPLES, True))
    discard(workspace)
    return {"rows_compared": len(before)}


def _samples_and_own_root(scene: Scene) -> Facts:
    workspace = _of_release(scene, "first_sample_roots")
    own = tree_of(workspace) / "own" / "mvtec_ad"
    shutil.copytree(trees.SAMPLES / "mvtec_ad" / "woven", own / "woven")
    count = len(trees.images(own))
    workspace.roots = {ROOT_VARIABLES["mvtec_ad"]: str(own), ROOT_VARIABLES["dagm_2007"]: ""}
    command = workspace.run()
    expect_samples(workspace, {"mvtec_ad": count}, command.tail())
    expect_logged(command, ("dagm_2007", "DAGM 2007"), None, "removed")
    expect_origin(workspace.database, {"mvtec_ad": False})
    discard(workspace)
    return {"images": count}


def _of_release(scene: Scene, name: str) -> Workspace:
    """Unpack an installation of the first release; files have the times that it loaded."""
    workspace = without_roots(scene, SIDE)
    unpack_release(name, workspace.data)
    if name == "first_named_roots":
        # Unpacking sets the time of both files; the kept snapshot has to be the older one.
        for kept in kept_paths(workspace.database):
            os.utime(kept, (SAMPLES_MODIFIED_AT, SAMPLES_MODIFIED_AT))
        copy_samples(tree_of(workspace))
        return workspace
    # A checkout that was updated in place: its samples are still at the path from which they were loaded.
    workspace.project = workspace.folder / "checkout"
    shutil.copytree(PROJECT / "anomaly_assets", workspace.project / "anomaly_assets")
    (workspace.project / "data").mkdir()
    samples = copy_samples(workspace.project / "data" / "samples")
    for database in (workspace.warehouse, workspace.database):
        _note_where_samples_are(database, samples)
    return workspace


def _note_where_samples_are(database: Path, samples: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        for name in SAMPLES:
            [(old,)] = connection.execute(
                f"SELECT DISTINCT root_uri FROM {name}.load_changes"
            ).fetchall()
            addresses = {"old": old, "new": (samples / name).as_uri()}
            for table, column in (
                ("images", "source_uri"),
                ("images", "mask_source_uri"),
                ("load_changes", "root_uri"),
            ):
                connection.execute(
                    f"UPDATE {name}.{table} SET {column} = replace({column}, $old, $new)", addresses
                )
            connection.execute(
                "UPDATE snapshots SET roots = MAP(map_keys(roots), "
                "list_transform(map_values(roots), lambda uri: replace(uri, $old, $new)))",
                addresses,
            )


def _expect_the_same(
    workspace: Workspace, rows: list[tuple[object, ...]], decoded: dict[str, str], command: Command
) -> None:
    if rows_of_samples(workspace.database) != rows:
        raise Fault("the samples differ from those of the first release", command.tail())
    if decoded_at(workspace.warehouse) != decoded:
        raise Fault("images were decoded again", command.tail())


def _openable(workspace: Workspace) -> list[tuple[str, int]]:
    return [(each.snapshot_id, each.tensors) for each in list_snapshots(workspace.database)]


def _expect_openable(
    workspace: Workspace, snapshots: Sequence[tuple[str, int]], command: Command
) -> None:
    for snapshot_id, tensors in snapshots:
        with open_samples(workspace.database, snapshot=snapshot_id) as samples:
            if len(samples) != tensors or samples.snapshot_id != snapshot_id:
                raise Fault(f"the snapshot of {tensors} samples has {len(samples)}", command.tail())
