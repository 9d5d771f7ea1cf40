"""Run loops beside a trial, each in a separate process, until a file asks them to stop.

    python -m anomaly_assets_tests.faults.loops publish STOP GO STATES SECONDS
    python -m anomaly_assets_tests.faults.loops export STOP OUT DATABASE SECONDS
    python -m anomaly_assets_tests.faults.loops swap STOP FOLDER
    python -m anomaly_assets_tests.faults.loops open DATABASE OPENS DIGESTS

Each iteration prints a line of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from anomaly_assets_tests.faults.command import Command, Fault, Workspace

SWAP_SECONDS = 0.02

_PAUSE_SECONDS = 0.1
"""Pause after a refusal, which leaves the processor to the process that is not refused."""

_TRIES = 50


def started(workspace: Workspace, *arguments: str) -> Command:
    """Start one of the loops, with the environment of a workspace."""
    return workspace.module("anomaly_assets_tests.faults.loops", *arguments)


def ended(loop: Command, seconds: float = 120.0) -> list[dict[str, Any]]:
    """Wait until a loop has ended, and return its lines.

    Raises:
        Fault: The loop failed.
    """
    if loop.end(seconds) != 0:
        raise Fault("a process beside the trial broke down", loop.tail())
    return said(loop)


def said(loop: Command) -> list[dict[str, Any]]:
    """Read the lines of a loop so far, without warnings of libraries."""
    lines = [line for line in loop.output().splitlines() if line.startswith("{")]
    # The last line of a killed process may be incomplete.
    return [json.loads(line) for line in lines if line.endswith("}")]


def main(kind: str, *arguments: str) -> None:
    """Run one of the loops."""
    loops: dict[str, Callable[..., None]] = {
        "publish": publish,
        "export": export,
        "swap": swap,
        "open": open_by_id,
    }
    loops[kind](*arguments)


def until_stopped(stop: str) -> Iterator[None]:
    """Yield until the file exists, or the parent process has ended."""
    parent = os.getppid()
    while not os.path.exists(stop) and os.getppid() == parent:
        yield


def say(**facts: Any) -> None:
    """Print one line."""
    print(json.dumps(facts), flush=True)


def publish(stop: str, go: str, states: str, seconds: str) -> None:
    """Replace the warehouse by one of two states, and publish it when a file asks for it.

    Args:
        stop: See `until_stopped`.
        go: The file that asks; it is removed.
        states: Folder with the states, copies of the warehouse that the environment names.
        seconds: How much syncs are slowed.
    """
    slow_syncs(float(seconds))
    import dagster as dg

    from anomaly_assets.definitions import defs

    selection = dg.AssetSelection.assets("published_database").without_checks()
    job = dg.define_asset_job("publishing", selection=selection)
    publishing = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def(
        "publishing"
    )
    warehouse = os.environ["ANOMALY_WAREHOUSE"]
    turns = itertools.cycle(sorted(Path(states).iterdir()))
    for _, state in zip(until_stopped(stop), turns, strict=False):
        shutil.copyfile(state, f"{warehouse}.next")
        os.replace(f"{warehouse}.next", warehouse)
        say(ready=True)
        while not os.path.exists(go) and not os.path.exists(stop):
            time.sleep(0.005)
        Path(go).unlink(missing_ok=True)
        say(**_executed(publishing))


def _executed(job: Any) -> dict[str, Any]:
    """Run a job; returns whether it succeeded, and its errors."""
    import dagster as dg

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, run_config=quiet, raise_on_error=False)
    failed = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    errors = "; ".join(each.error_display_string[:600] for each in failed)
    return {"success": run.success, **({"error": errors} if errors else {})}


def export(stop: str, out: str, database: str, seconds: str) -> None:
    """Export with `--overwrite` and slowed syncs."""
    slow_syncs(float(seconds))
    from anomaly_assets.cli.export import main as run

    options = ("--format", "imagefolder", "--out", out, "--database", database)
    for _ in until_stopped(stop):
        printed = io.StringIO()
        with contextlib.redirect_stderr(printed):
            code = run([*options, "--overwrite", "--quiet"])
        if code == 0:
            say(success=True, files=files_of_export(Path(out)))
        else:
            say(success=False, error=printed.getvalue().strip())
            time.sleep(_PAUSE_SECONDS)


def slow_syncs(seconds: float) -> None:
    """Delay `os.fsync`, `os.sync` and libc's `syncfs`, as a network drive does.

    Args:
        seconds: Mean delay. Each one is random, so that in time every step of one process meets every
            step of another.
    """
    if not seconds:
        return
    chance = random.Random(os.getpid())

    def slowed(call: Callable[..., Any]) -> Callable[..., Any]:
        def wait_and_call(*arguments: Any) -> Any:
            time.sleep(chance.uniform(0.0, 2 * seconds))
            return call(*arguments)

        return wait_and_call

    class SlowLibrary(ctypes.CDLL):
        def __getattr__(self, name: str) -> Any:
            found: Any = super().__getattr__(name)
            if name == "syncfs":
                found = slowed(found)
                setattr(self, name, found)
            return found

    os.fsync, os.sync, ctypes.CDLL = slowed(os.fsync), slowed(os.sync), SlowLibrary  # type: ignore[misc]


def files_of_export(out: Path) -> int:
    """Count the files below a folder that other processes replace meanwhile.

    A count is valid if the folder was the same one before and after; -1 if it never was.
    """
    for _ in range(_TRIES):
        try:
            before = out.stat()
            count = sum(len(names) for _, _, names in os.walk(out))
            after = out.stat()
            if (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns):
                return count
        except FileNotFoundError:
            return 0
    return -1


def swap(stop: str, folder: str) -> None:
    """Alternate between two snapshots in a folder, by the same steps as publishing.

    `anomaly.duckdb` is one of them; the other one is kept beside it. Both come from `FOLDER/whole`.
    """
    database = Path(folder, "anomaly.duckdb")
    whole = sorted(Path(folder, "whole").iterdir())
    turns = itertools.cycle([whole, whole[::-1]])
    for count, (_, (old, new)) in enumerate(zip(until_stopped(stop), turns, strict=False)):
        for source, target in ((old, database.with_name(old.name)), (new, database)):
            unfinished = target.with_name(f".{target.name}.swapping")
            os.link(source, unfinished)
            unfinished.replace(target)
        database.with_name(new.name).unlink(missing_ok=True)
        if count % 100 == 0:
            say(swaps=count)
        time.sleep(SWAP_SECONDS)


def open_by_id(database: str, opens: str, digests: str) -> None:
    """Open snapshots by id, and the newest one every fourth time, and read all pixels.

    Args:
        database: The published database.
        opens: How often one is opened.
        digests: In JSON, snapshot id to the `digest` of its samples.
    """
    from anomaly_assets.reader import DatabaseError, list_snapshots, open_samples

    ours = (DatabaseError, LookupError, FileNotFoundError)
    expected: dict[str, str] = json.loads(digests)
    ids = itertools.cycle(expected)
    for number in range(int(opens)):
        asked = next(ids) if number % 4 != 3 else None
        try:
            with open_samples(database, snapshot=asked) as samples:
                got, pixels = samples.snapshot_id, digest(samples)
        except ours as error:
            say(asked=asked, error=f"{type(error).__name__}: {error}"[:300], ours=True)
            continue
        except Exception as error:
            say(asked=asked, error=f"{type(error).__name__}: {error}"[:300], ours=False)
            continue
        say(asked=asked, right=asked in (None, got), pixels=pixels == expected.get(str(got)))
        if number % 10 == 0:
            try:
                say(listed=len(list_snapshots(database)))
            except Exception as error:
                say(
                    listed_error=f"{type(error).__name__}: {error}"[:300],
                    ours=isinstance(error, ours),
                )


def digest(samples: Any) -> str:
    """Compute a digest of the ids, labels and pixels of some samples."""
    found = hashlib.sha256()
    for batch in samples.batches(64):
        found.update(repr(batch.image_ids).encode())
        for values in (batch.images, batch.masks, batch.label_indices):
            found.update(values.tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
