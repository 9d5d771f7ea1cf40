"""Figures: definition, goal, measurement, output and storage."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.bench import Bench, NotInstalledError, Ratios


class Figure(NamedTuple):
    """A row of the table: a measurement and its goal."""

    name: str
    measure: Callable[[Bench], Ratios]
    sign: str
    goal: float
    quick: bool

    def met(self, ratio: float) -> bool:
        """Return whether a ratio reaches the goal."""
        return ratio <= self.goal if self.sign == "<=" else ratio >= self.goal


def chosen(figures: Sequence[Figure], only: str, *, quick: bool) -> list[Figure]:
    """Return the figures of this form whose name contains one of the comma-separated parts."""
    return [
        figure
        for figure in figures
        if any(part in figure.name for part in only.split(",")) and (figure.quick or not quick)
    ]


def measured(figures: Sequence[Figure], bench: Bench) -> list[dict[str, Any]]:
    """Measure and print figures; return the values to store."""
    results = []
    for figure in figures:
        try:
            ratios = list(figure.measure(bench))
        except NotInstalledError as missing:
            print(f"{figure.name:44} {missing}: pip install -e '.[bench]'")
            continue
        ratio = statistics.median(ratios)
        met = figure.met(ratio)
        results.append(
            {
                "figure": figure.name,
                "ratio": round(ratio, 3),
                "goal": f"{figure.sign} {figure.goal:g}",
                "met": met,
                "pairs": [round(value, 3) for value in ratios],
            }
        )
        print(
            f"{figure.name:44} {ratio:8.2f}  ({min(ratios):.2f} to {max(ratios):.2f}, "
            f"{len(ratios)} pairs)  goal {figure.sign} {figure.goal:g}  "
            f"{'met' if met else 'MISSED'}",
            flush=True,
        )
    return results


def keep(
    figures: Sequence[Figure], results: Sequence[dict[str, Any]], file: Path
) -> list[dict[str, Any]]:
    """Replace these results in a file; return all stored results in the order of the figures."""
    kept = json.loads(file.read_text("utf-8")) if file.exists() else []
    by_name = {result["figure"]: result for result in [*kept, *results]}
    ordered = [by_name[figure.name] for figure in figures if figure.name in by_name]
    file.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    return ordered
