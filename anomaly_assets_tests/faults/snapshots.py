"""Open snapshots by id while others are published, and list them after publications that failed."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial

from anomaly_assets.reader import list_snapshots, open_samples
from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import Fault
from anomaly_assets_tests.faults.content import publications
from anomaly_assets_tests.faults.installed import SAMPLES, expect_samples, installed, tree_of
from anomaly_assets_tests.faults.loops import digest, ended, started
from anomaly_assets_tests.faults.outages import FULL, must_fail, small_disk
from anomaly_assets_tests.faults.scene import Scene, discard
from anomaly_assets_tests.faults.trials import Facts, Trial

_READERS = 2
_SECONDS = 900.0
_ROOM_BYTES = 512 * 1024


def trials(scene: Scene, quick: bool) -> Iterator[Trial]:
    """Plan the opens under swaps, and the full disks."""
    opens = 200 if quick else 2000
    run = partial(_opens, scene, opens)
    yield Trial("snapshots", f"{opens} opens by id under a swap every 20 ms", run)
    if not quick:
        run = partial(_full_disks, scene)
        yield Trial("snapshots", "the target's disk is full three times", run)


def _opens(scene: Scene, opens: int) -> Facts:
    workspace = installed(scene)
    for path in trees.images(tree_of(workspace)):
        trees.shifted(path, path, 25)  # the same images, and none with the same pixels
    workspace.run()
    known = list_snapshots(workspace.database)
    share = workspace.folder / "share"
    whole = share / "whole"
    whole.mkdir(parents=True)
    expected = {}
    for snapshot in known:
        with open_samples(workspace.database, snapshot=snapshot.snapshot_id) as samples:
            expected[snapshot.snapshot_id] = digest(samples)
        shutil.copyfile(snapshot.path, whole / f"anomaly.{snapshot.snapshot_id[:12]}.duckdb")
    if len({*expected.values()}) != 2:
        raise Fault(f"there are {len(known)} snapshots, and not two with different pixels")
    database = share / "anomaly.duckdb"
    shutil.copyfile(workspace.database, database)

    stop = workspace.folder / "stop swapping"
    swapping = started(workspace, "swap", str(stop), str(share))
    # Three of four readers open a snapshot by id.
    each = str(opens * 4 // 3 // _READERS + 1)
    loops = [
        started(workspace, "open", str(database), each, json.dumps(expected))
        for _ in range(_READERS)
    ]
    lines = [line for loop in loops for line in ended(loop, _SECONDS)]
    stop.touch()
    swaps = ended(swapping)[-1]["swaps"]
    discard(workspace)
    return {**_counted(lines), "swaps": swaps}


def _full_disks(scene: Scene) -> Facts:
    """Fail to publish three different contents: `snapshots` must list none of them."""
    workspace = installed(scene)
    before = publications(workspace.database)
    share = workspace.folder / "share"
    share.mkdir()
    published = workspace.database
    workspace.target = share / "anomaly.duckdb"
    size = published.stat().st_size
    # Less space than any copy takes; the size of later copies depends on dead blocks.
    with small_disk(share, size + _ROOM_BYTES) as grow:
        shutil.copyfile(published, workspace.target)
        for number in range(3):
            trees.add(tree_of(workspace) / "mvtec_ad" / "bolt" / "train" / "good", number + 1)
            facts = must_fail(workspace, FULL)
        grow()
        command = workspace.run()
        expect_samples(workspace, {**SAMPLES, "mvtec_ad": 37}, command.tail())
        listed = {path.name: publications(path) for path in (workspace.warehouse, workspace.target)}
    if {*listed.values()} != {before + 1}:
        raise Fault(
            f"publications listed: {before} before, {listed} after one and three that failed"
        )
    discard(workspace)
    return {**facts, "publications": before + 1}


def _counted(lines: list[dict[str, object]]) -> Facts:
    asked = [line for line in lines if line.get("asked")]
    opened = [line for line in lines if "right" in line]
    counts = {
        "wrong snapshot": sum(not line["right"] for line in opened),
        "pixels of another snapshot": sum(not line["pixels"] for line in opened),
        "error that is none of ours": sum(line.get("ours") is False for line in lines),
        "empty list of snapshots": sum(line.get("listed") == 0 for line in lines),
    }
    right = sum("right" in line for line in asked)
    if any(counts.values()) or right * 4 < len(asked):
        errors = Counter(str(line.get("error") or line.get("listed_error")) for line in lines)
        del errors["None"]
        raise Fault(
            f"of {len(asked)} opens by id and {len(lines) - len(asked)} others: {counts}; {right} were "
            "right",
            "\n".join(f"{count} times {error}" for error, count in errors.most_common(8)),
        )
    return {"opens_by_id": len(asked), "right": right, "refused": len(asked) - right}
