"""Provoke full disks, missing roots, unreadable files: a clear error, and nothing is published."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from anomaly_assets_tests.faults.command import Command, Fault, Skip, Workspace
from anomaly_assets_tests.faults.content import healed
from anomaly_assets_tests.faults.scene import ROOT_VARIABLES, Scenario, Scene, discard, roots_below
from anomaly_assets_tests.faults.trials import Facts, Trial

LONGEST_FAILURE_SECONDS = 120.0
"""Maximum time until a run gives up, in seconds."""

_MEGABYTE = 1024 * 1024
FULL = (
    r"No space left|[Nn]ot enough space|disk.{0,20}full|Disk quota|File too large|Could not write"
)
"""Matches the errors of a full disk."""

_GONE = r"does not exist|no longer exists|cannot be (listed|read)|No such file"
_DENIED = r"[Pp]ermission denied|cannot be (listed|read)"


def trials(scene: Scene, scenarios: dict[str, Scenario], quick: bool) -> Iterator[Trial]:
    """Yield all outages that are not about a store."""
    load, remake = scenarios["first load"], scenarios["remake"]
    yield Trial("disk full", "refresh", partial(_full_disk, scene, remake, "refresh"))
    for scenario in [load] if quick else [load, scenarios["refresh"], remake]:
        for step in ["image_tensors"] if quick else ["images", "image_tensors"]:
            run = partial(_root_goes, scene, scenario, step)
            yield Trial("root removed", f"{scenario.name}, during {step}", run)
    run = partial(_no_permission, scene, load, "image_tensors", "mvtec_ad")
    yield Trial("no permission", "first load, whole root while decoding", run)
    if quick:
        return
    yield Trial("disk full", "first load, tensors", partial(_full_disk, scene, load, "tensors"))
    yield Trial("disk full", "first load, publish", partial(_full_disk, scene, load, "publish"))
    run = partial(_no_permission, scene, remake, "image_tensors", "mvtec_ad")
    yield Trial("no permission", "remake, whole root while decoding", run)
    run = partial(_no_permission, scene, scenarios["refresh"], "", "mvtec_ad/bolt")
    yield Trial("no permission", "refresh, one category from the start", run)


def must_fail(
    workspace: Workspace,
    message: str,
    during: Callable[[Command], None] = lambda command: None,
    seconds: float = LONGEST_FAILURE_SECONDS,
    **variables: str,
) -> Facts:
    """Run during a fault: the run must end in time with a message, and publish nothing."""
    before = fingerprint(workspace.database)
    with workspace.start("*", None, **variables) as command:
        during(command)
        code = command.end(seconds)
    if code == 0:
        raise Fault("the run reports success", command.tail())
    said = re.search(rf"[^\n]*({message})[^\n]*", command.output())
    if said is None:
        raise Fault(f"no clear error: nothing like {message!r} was printed", command.tail(60))
    if fingerprint(workspace.database) != before:
        raise Fault("the published database was changed", command.tail())
    return {"error": said.group(0).strip()[:300], "seconds_to_fail": round(command.seconds, 1)}


def fingerprint(path: Path) -> str | None:
    """Return the digest of a file's bytes; None if it does not exist."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        digest = hashlib.md5(usedforsecurity=False)
        while chunk := file.read(_MEGABYTE):
            digest.update(chunk)
    return digest.hexdigest()


def _full_disk(scene: Scene, scenario: Scenario, when: str) -> Facts:
    size = scenario.made.warehouse.stat().st_size
    before = (
        sum(file.stat().st_size for file in scenario.state.iterdir() if file.is_file())
        if (scenario.state)
        else 0
    )
    room = before + {"tensors": size // 2, "publish": size + size // 2, "refresh": size // 3}[when]
    try:
        return _on_small_disk(scene, scenario, room)
    except Skip as reason:
        if when == "publish":
            raise
        facts = _with_small_files(scene, scenario, size // 2 if when == "tensors" else size)
        return {**facts, "instead_of_a_small_disk": str(reason)}


def _on_small_disk(scene: Scene, scenario: Scenario, room: int) -> Facts:
    workspace = scene.workspace_for(scenario)
    with small_disk(workspace.data, room) as grow:
        if scenario.state:
            for path in (workspace.warehouse, workspace.database):
                shutil.copyfile(scenario.state / path.name, path)
        facts = must_fail(workspace, FULL)
        grow()
        rows = healed(workspace, scenario.after)
    discard(workspace)
    return {**facts, "how": "a small tmpfs", "rows_compared": rows}


def _with_small_files(scene: Scene, scenario: Scenario, largest: int) -> Facts:
    limited = f'ulimit -f {largest // 1024}; exec "$@"'
    workspace = scene.workspace_for(scenario, wrapper=("bash", "-c", limited, "bash"))
    facts = must_fail(workspace, FULL)
    workspace.wrapper = ()
    rows = healed(workspace, scenario.after)
    discard(workspace)
    return {**facts, "how": "a limit on the size of files", "rows_compared": rows}


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Callable[[], None]]:
    """Mount a tmpfs over a folder; yield a function that enlarges it.

    Raises:
        Skip: The tmpfs cannot be mounted.
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        raise Skip("no file system can be mounted here")
    try:
        yield lambda: _remount(folder, size_bytes * 8)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def _remount(folder: Path, size_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", str(folder)], check=True)


def _root_goes(scene: Scene, scenario: Scenario, step: str) -> Facts:
    tree = scene.own_tree(scenario)
    root, away = tree / "mvtec_ad", tree / "away"
    workspace = scene.workspace_for(scenario, roots=roots_below(tree))

    def remove(command: Command) -> None:
        command.wait_for(step, 0.2 * scenario.steps[step] if step == "image_tensors" else 0.0)
        root.rename(away)

    facts = must_fail(workspace, _GONE, remove)
    away.rename(root)
    rows = healed(workspace, scenario.after)
    shutil.rmtree(tree)
    discard(workspace)
    return {**facts, "rows_compared": rows}


def _no_permission(scene: Scene, scenario: Scenario, step: str, folder: str) -> Facts:
    tree = scene.own_tree(scenario)
    workspace = scene.workspace_for(
        scenario, roots=roots_below(tree), wrapper=without_override(scene.work)
    )

    def revoke(command: Command) -> None:
        if step:
            command.wait_for(step)
        (tree / folder).chmod(0)

    if not step:
        (tree / folder).chmod(0)
    try:
        facts = must_fail(workspace, _DENIED, revoke)
    finally:
        (tree / folder).chmod(0o755)
    rows = healed(workspace, scenario.after)
    shutil.rmtree(tree)
    discard(workspace)
    variable = ROOT_VARIABLES[folder.split("/")[0]]
    return {**facts, "root": variable, "rows_compared": rows}


def without_override(work: Path) -> tuple[str, ...]:
    """Return the start of a command line that makes permissions hold for root as well.

    Raises:
        Skip: Root cannot give up its privilege here.
    """
    if os.geteuid() != 0:
        return ()
    wrapper = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    locked = work / "locked"
    locked.mkdir(mode=0, exist_ok=True)
    if shutil.which("setpriv") is None:
        raise Skip("root reads everything, and there is no setpriv")
    if not subprocess.run([*wrapper, "ls", str(locked)], capture_output=True).returncode:
        raise Skip("root reads everything, and setpriv does not change it")
    return wrapper
