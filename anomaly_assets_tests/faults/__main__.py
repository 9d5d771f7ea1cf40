"""Disturb the real command in every known way, and check that nothing is lost: `make faults`."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from anomaly_assets.arguments import at_least
from anomaly_assets_tests.faults import (
    cancel,
    concurrency,
    exporters,
    kills,
    losses,
    machines,
    named_roots,
    outages,
    ownership,
    publishers,
    snapshots,
    stores,
    upgrades,
)
from anomaly_assets_tests.faults.command import Fault, end_all
from anomaly_assets_tests.faults.report import print_summary, report, write
from anomaly_assets_tests.faults.scene import Scenario, Scene
from anomaly_assets_tests.faults.trials import Trial, Trials

REPORT = Path(__file__).with_name("report.json")


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m anomaly_assets_tests.faults")
    parser.add_argument("--quick", action="store_true", help="fewer of each; below three minutes")
    parser.add_argument("--kills", type=at_least(1), help="number of kills (60, quick 6)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    parser.add_argument("--lanes", type=at_least(1), default=3, help="trials at once")
    parser.add_argument("--only", default="", help="trials whose name contains this")
    parser.add_argument("--report", type=Path, help="where to write the report, in JSON")
    options = parser.parse_args()
    # If a shell runs this in the background, Ctrl-C is ignored, and child processes inherit this.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="anomaly-faults-") as folder:
        return _run(Path(folder).resolve(), options)


def _run(work: Path, options: argparse.Namespace) -> int:
    started = time.monotonic()
    scene = Scene(work, *((128, 0) if options.quick else (512, 0)))
    try:
        scenarios = scene.prepare()
    except Fault as fault:
        print(f"{fault.output}\nAn undisturbed run fails: {fault}\n0 passed, 1 failed")
        return 1
    finally:
        end_all()
    print(f"{time.monotonic() - started:.0f} s for the undisturbed runs", flush=True)
    trials = Trials(_trials(scene, scenarios, options), options.lanes)
    try:
        trials.run()
    finally:
        # If the command is stopped, the report contains the finished trials.
        found = report(
            trials.results,
            form="quick" if options.quick else "full",
            complete=trials.complete,
            seed=options.seed,
            seconds=time.monotonic() - started,
        )
        target = options.report or (None if options.quick or options.only else REPORT)
        if target:
            write(found, target, work)
        print_summary(found)
    return 1 if found["failed"] else 0


def _trials(
    scene: Scene, scenarios: dict[str, Scenario], options: argparse.Namespace
) -> list[Trial]:
    count = options.kills or (6 if options.quick else 60)
    planned = [
        *concurrency.trials(scene, scenarios, options.quick),
        *outages.trials(scene, scenarios, options.quick),
        *stores.trials(scene, scenarios, options.quick),
        *cancel.trials(scene, scenarios, options.quick, options.seed),
        *kills.trials(scene, scenarios, count, options.seed),
        *ownership.trials(scene, options.quick),
        *losses.trials(scene, options.quick),
        *machines.trials(scene, options.quick),
        *named_roots.trials(scene, options.quick),
        *upgrades.trials(scene, options.quick),
        *publishers.trials(scene, options.quick, options.seed),
        *exporters.trials(scene, options.quick),
        *snapshots.trials(scene, options.quick),
    ]
    chosen = [trial for trial in planned if options.only in f"{trial.group}: {trial.name}"]
    random.Random(options.seed).shuffle(chosen)
    return chosen


if __name__ == "__main__":
    sys.exit(main())
