"""Test ownership: foreign files at the target, datasets unknown to this version, symbolic links."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import duckdb

from anomaly_assets.reader import list_snapshots, open_samples
from anomaly_assets_tests.examples.test_third_dataset import EXAMPLE, write_btad
from anomaly_assets_tests.examples.test_third_dataset import IMAGES as IMAGES_OF_BTAD
from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import Fault, Workspace
from anomaly_assets_tests.faults.content import LOCK
from anomaly_assets_tests.faults.installed import (
    SAMPLES,
    config,
    decoded_at,
    expect_logged,
    expect_samples,
    installed,
    query,
    samples_of,
    tree_of,
    without_roots,
)
from anomaly_assets_tests.faults.refusals import ADOPT, consent, files_beside, refused
from anomaly_assets_tests.faults.scene import Scene, discard
from anomaly_assets_tests.faults.trials import Facts, Trial
from anomaly_assets_tests.releases import unpack_release

_ADOPTED = config("published_database", adopt=True)
_ADOPTED_AND_SHRUNK = config("published_database", adopt=True, allow_shrink=True)
_BTAD = ("own_btad", "BTAD")


def trials(scene: Scene, quick: bool) -> Iterator[Trial]:
    """Plan trials of what a run may replace or remove."""
    run = partial(_fresh_checkout, scene, quick)
    yield Trial("ownership", "a fresh checkout publishes to the team's file", run)
    run = partial(_unknown_dataset, scene, quick)
    yield Trial("ownership", "a refresh without the declaration of a third dataset", run)
    if quick:
        return
    for kind, make in _FOREIGN.items():
        yield Trial("ownership", f"{kind} is at the target", partial(_foreign, scene, make))
    for kind in ("file", "file that is missing", "folder"):
        run = partial(_link, scene, kind)
        yield Trial("ownership", f"the target is a link to a {kind}", run)


def _fresh_checkout(scene: Scene, quick: bool) -> Facts:
    team = installed(scene)
    share = team.folder / "share"
    share.mkdir()
    shutil.move(team.database, share)
    team.target = share / "anomaly.duckdb"
    trees.add(tree_of(team) / "mvtec_ad" / "bolt" / "train" / "good", 8)
    trees.add(tree_of(team) / "dagm_2007" / "Class2" / "Train", 6)
    team.run()  # 76 samples; the snapshot of 62 is kept beside them
    expect_samples(team, {"mvtec_ad": 42, "dagm_2007": 34})
    fresh = without_roots(scene)
    fresh.target = team.target
    message = [ADOPT, r"\b76\b", r"anomaly\.duckdb"]
    refused(fresh, *message)
    if not quick:
        refused(fresh, *message)
        # Adopting the file is not enough: replacing data by samples of the repository needs consent too.
        refused(fresh, consent("published_database"), r"only the samples", config=_ADOPTED)
        fresh.run(config=_ADOPTED_AND_SHRUNK)
        expect_samples(fresh, SAMPLES)
        # Both warehouses own the file now, so the team does not need to adopt the file again.
        team.run()
        expect_samples(team, {"mvtec_ad": 42, "dagm_2007": 34})
        refused(fresh, r"only the samples")
    kept = [name for name in files_beside(team.target) if name != "anomaly.duckdb"]
    discard(fresh)
    discard(team)
    return {"kept_beside": kept}


def _foreign(scene: Scene, make: Callable[[Path], None]) -> Facts:
    workspace = installed(scene, publish=False)
    share = workspace.folder / "share"
    share.mkdir()
    workspace.target = share / "anomaly.duckdb"
    make(workspace.target)
    there = sorted(files_beside(workspace.target))
    refused(workspace, ADOPT, r"anomaly\.duckdb")
    workspace.run(config=_ADOPTED)
    expect_samples(workspace, SAMPLES)
    trees.add(tree_of(workspace) / "mvtec_ad" / "bolt" / "train" / "good", 1)
    command = workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": 35}, command.tail())
    if workspace.target.with_name("anomaly.duckdb.wal").exists():
        raise Fault("the log of the replaced file was not removed", command.tail())
    discard(workspace)
    return {"files_before": there}


def _database_with_log(path: Path) -> None:
    connection = duckdb.connect(str(path))
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    connection.execute(
        "CREATE TABLE measured AS SELECT range AS hour, 21.5 AS degrees FROM range(9)"
    )
    connection.execute("CHECKPOINT")
    connection.execute("INSERT INTO measured SELECT 9 + range, 22.5 FROM range(9)")
    connection.close()
    assert path.with_name(f"{path.name}.wal").stat().st_size


def _document(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<document>minutes of the meeting</document>")


def _text(path: Path) -> None:
    path.write_text("notes\n" * 100, "utf-8")


def _of_the_first_release(path: Path) -> None:
    """Unpack a published database of another warehouse, which lists no owner, and its kept snapshot."""
    unpacked = unpack_release("first_named_roots", path.parent / "unpacked")
    for file in unpacked.glob("anomaly*.duckdb"):
        file.rename(path.parent / file.name)
    shutil.rmtree(unpacked)


_FOREIGN: dict[str, Callable[[Path], None]] = {
    "a DuckDB of another project with a log beside it": _database_with_log,
    "an office document": _document,
    "a text file": _text,
    "a published database of the first release": _of_the_first_release,
}


def _unknown_dataset(scene: Scene, quick: bool) -> Facts:
    workspace = installed(scene)
    root = tree_of(workspace) / "own_btad"
    write_btad(root)
    count = len(IMAGES_OF_BTAD)
    workspace.run(ANOMALY_DATASETS=str(EXAMPLE), OWN_BTAD_ROOT=str(root))
    expect_samples(workspace, {**SAMPLES, "own_btad": count})
    decoded = _tensors_of_btad(workspace)

    good = tree_of(workspace) / "mvtec_ad" / "bolt" / "train" / "good"
    facts: Facts = {}
    # First a refresh that publishes another content, then one that changes nothing.
    for changed in (1,) if quick else (1, 0):
        trees.add(good, changed)
        command = workspace.run()
        expect_samples(workspace, {**SAMPLES, "mvtec_ad": 35, "own_btad": count}, command.tail())
        if _tensors_of_btad(workspace) != decoded:
            raise Fault("the tensors of own_btad were changed", command.tail())
        expect_logged(command, _BTAD, count, "kept")
        facts["source_datasets"] = _row_of_btad(workspace.database)
    [(rows,)] = query(workspace.database, "SELECT count(*) FROM own_btad.images")
    if rows != count:
        raise Fault(f"the published catalogue of own_btad has {rows} rows", command.tail())
    if not quick:
        _forget(workspace)
    discard(workspace)
    return facts


def _forget(workspace: Workspace) -> None:
    with workspace.module("anomaly_assets.forget", "own_btad") as forget:
        if forget.end() != 0:
            raise Fault("anomaly_assets.forget failed", forget.tail())
    command = workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": 35}, command.tail())
    if query(workspace.database, "FROM source_datasets WHERE source_dataset = 'own_btad'"):
        raise Fault("source_datasets lists own_btad after it was forgotten", command.tail())


def _tensors_of_btad(workspace: Workspace) -> dict[str, str]:
    decoded = decoded_at(workspace.warehouse)
    return {name: moment for name, moment in decoded.items() if name.startswith("own_btad/")}


def _row_of_btad(database: Path) -> str:
    found = query(
        database,
        "SELECT title, licence, definition_digest IS NOT NULL, root_uri, from_samples "
        "FROM source_datasets WHERE source_dataset = 'own_btad'",
    )
    if not found or found[0][:3] != ("BTAD", "CC BY-NC-SA 4.0", True) or found[0][4]:
        raise Fault(f"the row of own_btad in source_datasets is {found}")
    if not str(found[0][3]).endswith("own_btad"):
        raise Fault(f"the root of own_btad in source_datasets is {found[0][3]!r}")
    return f"{found[0][0]}, {found[0][1]}"


def _link(scene: Scene, kind: str) -> Facts:
    workspace = installed(scene)
    share = workspace.folder / "share"
    share.mkdir()
    real, link = share / "anomaly.duckdb", workspace.database
    if kind == "folder":
        real, link = share / "team.duckdb", workspace.folder / "current"
        workspace.target = link / "team.duckdb"
    if kind == "file that is missing":
        workspace.data.joinpath("anomaly.duckdb").unlink()
    else:
        shutil.move(workspace.data / "anomaly.duckdb", real)
    points_to = os.path.relpath(share if kind == "folder" else real, link.parent)
    link.symlink_to(points_to)
    expected = dict(SAMPLES)
    for number in range(2):  # the second run keeps the snapshot of the first one
        trees.add(tree_of(workspace) / "mvtec_ad" / "bolt" / "train" / "good", 1 + number)
        command = workspace.run()
        expected["mvtec_ad"] = 35 + number
        if not link.is_symlink() or os.readlink(link) != points_to:
            raise Fault(f"the link to a {kind} was replaced by a file", command.tail())
        if (found := samples_of(real)) != expected:
            raise Fault(f"the file that the link points to holds {found}", command.tail())
        expect_samples(workspace, expected, command.tail())
    kept = list_snapshots(workspace.database)
    numbers = [snapshot.tensors for snapshot in kept]
    if numbers != [64, 63]:
        raise Fault(f"snapshots that can be opened have {numbers} samples", command.tail())
    with open_samples(workspace.database, snapshot=kept[1].snapshot_id) as samples:
        if len(samples) != 63:
            raise Fault(f"the kept snapshot has {len(samples)} samples", command.tail())
    links = [path for folder in (share, workspace.data) for path in folder.iterdir()]
    others = sorted(path.name for path in links if path.is_symlink() and path != link)
    unfinished = sorted(path.name for path in links if path.name.startswith("."))
    if left := others + [name for name in unfinished if not LOCK.fullmatch(name)]:
        raise Fault(f"left behind are links or unfinished files: {left}", command.tail())
    discard(workspace)
    return {"samples_of_snapshots": numbers}
