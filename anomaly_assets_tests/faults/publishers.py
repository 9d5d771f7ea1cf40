"""Publish from two warehouses that own one target, and publish a selection without the summaries."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import Command, Fault, Workspace
from anomaly_assets_tests.faults.concurrency import readers, served
from anomaly_assets_tests.faults.content import LOCK, kept_paths, read_content
from anomaly_assets_tests.faults.installed import (
    SAMPLES,
    config,
    expect_samples,
    installed,
    query,
    tree_of,
    without_roots,
)
from anomaly_assets_tests.faults.loops import ended, said, started
from anomaly_assets_tests.faults.refusals import ADOPT, files_beside
from anomaly_assets_tests.faults.scene import Scene, discard, roots_below
from anomaly_assets_tests.faults.trials import Facts, Trial

SLOWED_BY_SECONDS = 0.1
"""Mean delay of each call that writes a file to the disk."""

_READERS = 2
_LONGEST_WAIT_SECONDS = 120.0
_SUMMARIES = ("dataset_summary", "pixel_statistics", "defect_summary", "duplicate_images")
_CATALOGUE = "mvtec_ad/images,mvtec_ad/stray_files"
_WITHOUT_SUMMARIES = "image_tensors,samples,published_database"


def trials(scene: Scene, quick: bool, seed: int) -> Iterator[Trial]:
    """Plan both trials. That of two publishers runs alone, because it is timed."""
    if quick:
        return
    run = partial(_two_publishers, scene, 60.0, seed)
    yield Trial("publishers", "two warehouses that both own the target", run, alone=True)
    run = partial(_partial_selection, scene)
    yield Trial("publishers", "a selection without the summaries, after a change", run)


def _two_publishers(scene: Scene, seconds: float, seed: int) -> Facts:
    one, other = installed(scene, publish=False), without_roots(scene)
    shutil.copytree(tree_of(one), tree_of(other))
    other.roots = roots_below(tree_of(other))
    trees.add(tree_of(other) / "mvtec_ad" / "woven" / "train" / "good", 5)
    share = one.folder / "share"
    share.mkdir()
    one.target = other.target = share / "anomaly.duckdb"
    allowed = []
    for turn in range(2):
        for workspace in (one, other):
            _publish_or_adopt(workspace)
            allowed.append(read_content(share / "anomaly.duckdb"))
            _states(workspace).mkdir(exist_ok=True)
            shutil.copyfile(workspace.warehouse, _states(workspace) / f"{turn}.duckdb")
            trees.images(tree_of(workspace) / "mvtec_ad" / "bolt")[0].unlink()
    for workspace in (one, other):
        _record_both_publications(workspace)

    with readers(one, _READERS) as read:
        facts, failures = _publish_at_once([one, other], seconds, random.Random(seed))
    try:
        facts |= served(read, allowed)
    except Fault as fault:
        failures = [str(fault), *failures]
    if failures:
        counted = f"{facts['publications']} publications, {len(failures)} kinds of failures"
        raise Fault(f"{counted}: {'; '.join(failures)}"[:3000], "\n".join(failures))
    # The next publication removes the files of killed publications.
    for workspace in (one, other):
        workspace.run()
    if left_behind := _leftovers(one.target):
        raise Fault(f"left beside the target: {', '.join(left_behind)}")
    discard(one)
    discard(other)
    return {**facts, "readers": _READERS}


def _states(workspace: Workspace) -> Path:
    """Name the folder with copies of the warehouse before and after an image was removed."""
    return workspace.folder / "states"


def _record_both_publications(workspace: Workspace) -> None:
    """Let both states record both publications: one that does not would be a restored backup."""
    first, second = sorted(_states(workspace).iterdir())
    with duckdb.connect(str(first)) as connection:
        connection.execute(f"ATTACH '{second}' AS second (READ_ONLY)")
        connection.execute(
            "INSERT INTO snapshots BY NAME FROM second.snapshots "
            "WHERE snapshot_id NOT IN (SELECT snapshot_id FROM snapshots)"
        )


def _publish_at_once(
    workspaces: Sequence[Workspace], seconds: float, chance: random.Random
) -> tuple[Facts, list[str]]:
    """Publish from several warehouses at the same moments; one of them is killed every eighth time.

    Returns:
        How often something was published, and the errors of publications that failed.
    """
    stop = workspaces[0].folder / "stop publishing"
    loops = [_publishing(workspace, stop) for workspace in workspaces]
    finished: list[dict[str, Any]] = []
    rounds, kills = [0] * len(loops), 0
    until = time.monotonic() + _LONGEST_WAIT_SECONDS
    for number in itertools.count():
        for at, loop in enumerate(loops):
            _wait_until_ready(loop, rounds[at] + 1)
            rounds[at] += 1
        if number == 0:
            until = time.monotonic() + seconds
        if time.monotonic() > until:
            break
        for workspace in workspaces:
            _go(workspace).touch()
        if number % 8 == 7:
            time.sleep(chance.uniform(0.0, 1.0))
            at = chance.randrange(len(loops))
            kills += loops[at].kill()
            finished += said(loops[at])
            _go(workspaces[at]).unlink(missing_ok=True)
            loops[at], rounds[at] = _publishing(workspaces[at], stop), 0
    stop.touch()
    for loop in loops:
        finished += ended(loop)
    publications = [line for line in finished if "ready" not in line]
    failed = Counter(_last_line(line["error"]) for line in publications if not line["success"])
    failures = [f"{count} publications failed: {error}" for error, count in failed.most_common()]
    return {"publications": len(publications), "kills": kills}, failures


def _last_line(error: str) -> str:
    """Return the line with the cause of an error of Dagster."""
    lines = [line for line in error.splitlines() if re.match(r"\w[\w.]*(Error|Exception)", line)]
    return re.sub(r"\(PID \d+\)", "(PID)", lines[-1] if lines else error)[:300]


def _publishing(workspace: Workspace, stop: Path) -> Command:
    files = map(str, (stop, _go(workspace), _states(workspace)))
    return started(workspace, "publish", *files, str(SLOWED_BY_SECONDS))


def _go(workspace: Workspace) -> Path:
    return workspace.folder / "go"


def _wait_until_ready(loop: Command, times: int) -> None:
    deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
    while sum("ready" in line for line in said(loop)) < times:
        if time.monotonic() > deadline or loop.process.poll() is not None:
            raise Fault("a publisher hangs or ended", loop.tail())
        time.sleep(0.01)


def _publish_or_adopt(workspace: Workspace) -> None:
    """Publish, and adopt the target if a refusal asks for it."""
    with workspace.start() as command:
        if command.end() == 0:
            return
    if re.search(ADOPT, command.output()) is None:
        raise Fault("a run fails, and does not ask to adopt the target", command.tail(60))
    workspace.run(config=config("published_database", adopt=True))


def _leftovers(target: Path) -> list[str]:
    ours = {target.name, "contact_sheets", "gallery", *(path.name for path in kept_paths(target))}
    return sorted(
        path.name
        for path in target.parent.iterdir()
        if path.name not in ours and not LOCK.fullmatch(path.name)
    )


def _partial_selection(scene: Scene) -> Facts:
    workspace = installed(scene)
    bolt = trees.images(tree_of(workspace) / "mvtec_ad" / "bolt")
    for path in bolt[:3]:
        path.write_bytes(b"\x89PNG, and nothing of one")
    for path in bolt[3:5]:
        path.unlink()
    workspace.run(_CATALOGUE)
    before = files_beside(workspace.database)
    with workspace.start(_WITHOUT_SUMMARIES) as command:
        code = command.end()
    partly = _summaries(workspace)
    refused = code != 0
    if refused and files_beside(workspace.database) != before:
        raise Fault("the run failed, and something was published", command.tail(40))
    if not refused:
        _expect_agreement(workspace, command)

    command = workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": 29}, command.tail())
    _expect_agreement(workspace, command)
    if not refused and _summaries(workspace) != partly:
        raise Fault("the summaries differed from those of a whole run", command.tail())
    discard(workspace)
    return {"refused": refused}


def _expect_agreement(workspace: Workspace, command: Command) -> None:
    [summed] = query(
        workspace.database,
        "SELECT sum(images), sum(tensors), sum(rejected) FROM dataset_summary",
    )
    [counted] = query(
        workspace.database,
        "SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM samples), "
        "(SELECT count(*) FROM rejected_images)",
    )
    if summed != counted:
        raise Fault(
            f"exit 0, and dataset_summary has (images, samples, rejected) {summed}, which are {counted}",
            command.tail(),
        )


def _summaries(workspace: Workspace) -> dict[str, list[tuple[object, ...]]]:
    return {name: query(workspace.database, f"FROM {name} ORDER BY ALL") for name in _SUMMARIES}
