"""Report the trials: a short summary to print, and a file without names of this machine."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anomaly_assets_tests.faults.command import PROJECT
from anomaly_assets_tests.faults.trials import Result

Report = dict[str, Any]


def report(
    results: Sequence[Result], *, form: str, complete: bool, seed: int, seconds: float
) -> Report:
    """Combine all results."""
    by_group: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        by_group[result.group][result.verdict] += 1
    verdicts = Counter(result.verdict for result in results)
    return {
        "form": form,
        "complete": complete,
        "seed": seed,
        "seconds": round(seconds),
        "inputs_tried": verdicts["passed"] + verdicts["failed"],
        "passed": verdicts["passed"],
        "failed": verdicts["failed"],
        "skipped": verdicts["skipped"],
        "by_kind": {group: dict(counted) for group, counted in by_group.items()},
        "kills_survived_by_phase": _counted(results, "kill", "phase"),
        "kills_survived_by_scenario": _counted(results, "kill", "scenario"),
        "published_at_kills": _counted(results, "kill", "published_at_the_kill"),
        "cancels_survived_by_phase": _counted(results, "cancel", "phase"),
        "readers": _total(results, "readers"),
        "reader_queries_answered": _total(results, "queries_answered"),
        "rows_read_by_readers": _total(results, "rows_read"),
        "rows_compared": _total(results, "rows_compared"),
        "failures": [asdict(result) for result in results if result.verdict == "failed"],
        "not_tried": {
            f"{result.group}: {result.name}": result.why
            for result in results
            if result.verdict == "skipped"
        },
        "trials": [
            {
                "kind": result.group,
                "name": result.name,
                "verdict": result.verdict,
                "seconds": result.seconds,
                **result.facts,
            }
            for result in results
        ],
    }


def write(found: Report, path: Path, work: Path) -> None:
    """Write the report; folders of this machine get neutral names."""
    text = json.dumps(found, indent=1, ensure_ascii=False)
    names = {
        str(work): "<work>",
        str(work.resolve()): "<work>",
        str(PROJECT): "<project>",
        sys.prefix: "<environment>",
        sys.base_prefix: "<python>",
        os.path.expanduser("~"): "<home>",
    }
    for folder in sorted(names, key=len, reverse=True):
        if folder != "/":
            text = re.sub(rf"{re.escape(folder)}(?![\w-])", names[folder], text)
    path.write_text(text + "\n", "utf-8")


def print_summary(found: Report) -> None:
    """Print failures first, and the counts last."""
    print()
    print(f"{found['seconds']} s, {found['inputs_tried']} faults")
    phases = ", ".join(
        f"{name} {count}" for name, count in found["kills_survived_by_phase"].items()
    )
    print(f"kills survived: {phases}")
    print(
        f"{found['readers']} readers had {found['reader_queries_answered']} queries answered; "
        f"{found['rows_compared']} rows compared"
    )
    for name, why in found["not_tried"].items():
        print(f"not tried: {name}: {why}")
    for failure in found["failures"]:
        print(f"\nFAILED {failure['group']}: {failure['name']}\n{failure['why']}")
        print("\n".join(f"  | {line}" for line in failure["output"].splitlines()))
    print(f"{found['passed']} passed, {found['failed']} failed")


def _counted(results: Sequence[Result], group: str, fact: str) -> dict[str, int]:
    passed = (each for each in results if each.group == group and each.verdict == "passed")
    return dict(sorted(Counter(str(result.facts[fact]) for result in passed).items()))


def _total(results: Sequence[Result], fact: str) -> int:
    return sum(int(result.facts.get(fact, 0)) for result in results)
