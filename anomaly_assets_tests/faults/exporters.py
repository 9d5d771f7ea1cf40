"""Run exporters with `--overwrite` on one target: each success is complete under its name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import Fault, Workspace
from anomaly_assets_tests.faults.installed import installed, tree_of
from anomaly_assets_tests.faults.loops import ended, files_of_export, started
from anomaly_assets_tests.faults.scene import Scene, discard
from anomaly_assets_tests.faults.trials import Facts, Trial

EXPORTERS = 8
SLOWED_BY_SECONDS = 0.3
"""Mean delay of each call that writes files to the disk."""

_FURTHER_IMAGES = 900
"""With this number of images, an export takes about as long as a delayed call."""

_REFUSED = "Another export is writing"


def trials(scene: Scene, quick: bool) -> Iterator[Trial]:
    """Plan a trial with delayed calls, as on a network drive, and one without."""
    if quick:
        return
    for name, seconds, slowed_by in (
        ("sync slowed", 60.0, SLOWED_BY_SECONDS),
        ("as it is", 20.0, 0.0),
    ):
        run = partial(_exporters, scene, seconds, slowed_by)
        yield Trial("exporters", f"eight with --overwrite, {name}", run, alone=True)


def _exporters(scene: Scene, seconds: float, slowed_by: float) -> Facts:
    workspace = installed(scene)
    trees.add(tree_of(workspace) / "mvtec_ad" / "bolt" / "train" / "good", _FURTHER_IMAGES)
    workspace.run()
    out = workspace.folder / "exports" / "bolts"
    out.parent.mkdir()
    whole = _files_of_one(workspace)
    stop = workspace.folder / "stop exporting"
    arguments = (str(stop), str(out), str(workspace.database), str(slowed_by))
    loops = [started(workspace, "export", *arguments) for _ in range(EXPORTERS)]
    time.sleep(seconds)
    stop.touch()
    lines = [line for loop in loops for line in ended(loop)]
    done = [line["files"] for line in lines if line["success"]]
    broken = [files for files in done if files not in (whole, -1)]
    failed = [line["error"] for line in lines if not line["success"]]
    others = [error for error in failed if _REFUSED not in error]
    if broken or others or not done:
        raise Fault(
            f"{len(broken)} of {len(done)} exports reported success with another number of files than "
            f"{whole} ({sorted({*broken})}), {len(others)} of {len(lines)} failed otherwise than by a "
            f"refusal{': ' + others[0] if others else ''}"
        )
    left = sorted(path.name for path in out.parent.iterdir() if path != out)
    if left or files_of_export(out) != whole:
        raise Fault(f"in the end there are {files_of_export(out)} of {whole} files, and {left}")
    discard(workspace)
    return {
        "successes": len(done),
        "files_of_each": whole,
        "refused": len(failed),
        "replaced_while_counted": done.count(-1),
    }


def _files_of_one(workspace: Workspace) -> int:
    """Count the files of an undisturbed export."""
    out = workspace.folder / "alone"
    with workspace.module(
        "anomaly_assets.export",
        *("--format", "imagefolder", "--out", str(out), "--database", str(workspace.database)),
    ) as command:
        command.succeed()
    return files_of_export(out)
