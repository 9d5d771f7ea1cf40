"""Run several runs on one warehouse, with readers of the published database all the time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from anomaly_assets_tests.faults.command import PROJECT, Fault, Workspace
from anomaly_assets_tests.faults.content import Content, leftovers, read_content
from anomaly_assets_tests.faults.scene import ROOT_VARIABLES, Scenario, Scene, discard
from anomaly_assets_tests.faults.trials import Facts, Trial

ONLY_MVTEC_AD = {ROOT_VARIABLES["dagm_2007"]: ""}
ONLY_DAGM_2007 = {ROOT_VARIABLES["mvtec_ad"]: ""}
EVERYTHING: dict[str, str] = {}


def trials(scene: Scene, scenarios: dict[str, Scenario], quick: bool) -> Iterator[Trial]:
    """Yield two and four runs at once, of the same datasets and of different ones."""
    each = [ONLY_MVTEC_AD, ONLY_DAGM_2007]
    plans: list[tuple[str, str, Sequence[Mapping[str, str]]]] = [
        ("2 of everything", "refresh", [EVERYTHING] * 2),
        ("1 of each dataset", "first load", each),
    ]
    if not quick:
        plans += [
            ("2 of everything", "first load", [EVERYTHING] * 2),
            ("4 of everything", "first load", [EVERYTHING] * 4),
            ("2 of each dataset", "refresh", each * 2),
        ]
    for name, scenario, runs in plans:
        run = partial(_at_once, scene, scenarios[scenario], runs, 1 if quick else 2)
        yield Trial("at once", f"{scenario}, {name}", run, alone=not quick)


def _at_once(
    scene: Scene, scenario: Scenario, runs: Sequence[Mapping[str, str]], reader_count: int
) -> Facts:
    allowed = [scenario.after, *([scenario.before] if scenario.before else [])]
    # The first run may publish its own part before the rows of the other run are loaded.
    if ONLY_MVTEC_AD in runs:
        allowed.append(scene.content_without(scenario, "dagm_2007"))
    if ONLY_DAGM_2007 in runs:
        allowed.append(scene.content_without(scenario, "mvtec_ad"))
    workspace = scene.workspace_for(scenario)
    with readers(workspace, reader_count) as read, ExitStack() as stack:
        commands = [stack.enter_context(workspace.start("*", None, **run)) for run in runs]
        for command in commands:
            command.succeed()
    facts = served(read, allowed)
    found = read_content(workspace.database)
    if differences := found.differences(scenario.after):
        raise Fault(f"not what one undisturbed run makes: {differences}", commands[-1].tail())
    if left := leftovers(workspace):
        raise Fault(f"left behind: {left}", commands[-1].tail())
    discard(workspace)
    return {**facts, "runs": len(runs), "readers": reader_count, "rows_compared": found.rows}


@contextmanager
def readers(workspace: Workspace, count: int) -> Iterator[list[Path]]:
    """Run processes that read the published database meanwhile; yield their output files."""
    stop = workspace.folder / "stop"
    module = "anomaly_assets_tests.faults.reading"
    printed = [workspace.folder / "printed" / f"reader-{number}.txt" for number in range(count)]
    processes = []
    try:
        for path in printed:
            with path.open("wb") as output:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", module, str(workspace.database), str(stop)],
                        cwd=PROJECT,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )
        yield printed
    finally:
        stop.touch()
        for process in processes:
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def served(printed: Sequence[Path], allowed: Sequence[Content]) -> Facts:
    """Count the contents that readers got; each must be one of the allowed ones."""
    digests = {content.digest: content for content in allowed}
    reads = queries = rows = 0
    failures = []
    for path in printed:
        text = path.read_text("utf-8")
        for line in text.splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                raise Fault("a reader broke down", text[-3000:]) from None
            reads += 1
            if "error" in said:
                failures.append(f"a reader met an error: {said['error']}")
            elif said["digest"] not in digests:
                failures.append(f"a reader got {said['rows']} rows that no run publishes")
            else:
                queries += said["queries"]
                rows += 2 * said["rows"]
    if failures:
        raise Fault(f"{len(failures)} of {reads} reads failed; {failures[0]}", "\n".join(failures))
    return {"reads": reads, "queries_answered": queries, "rows_read": rows}
