"""Define what a figure is: definition, goal, measurement, output and storage."""

from __future__ import annotations

import datetime
import json
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.bench import Bench, FailedError, NotMeasuredError, Ratios
from benchmarks.trees import PROJECT
from benchmarks.writing import PACKAGES, version_of


class Figure(NamedTuple):
    """A row of the table: a measurement and its goal.

    Attributes:
        name: Name in the table.
        measure: Function that yields one value per pair.
        sign: `<=` or `>=`.
        goal: Value to reach.
        quick: Whether the short form measures it.
        pairs: Maximum number of pairs; None for that of the bench.
        tool: Module that is compared, whose version is stored.
        unit: Unit of the value; empty for a ratio.
    """

    name: str
    measure: Callable[[Bench], Ratios]
    sign: str
    goal: float
    quick: bool
    pairs: int | None = None
    tool: str | None = None
    unit: str = ""

    def met(self, ratio: float) -> bool:
        """Return whether a ratio reaches the goal."""
        return ratio <= self.goal if self.sign == "<=" else ratio >= self.goal

    @property
    def target(self) -> str:
        """Return the goal as text."""
        return f"{self.sign} {self.goal:g}{self.unit and f' {self.unit}'}"


def chosen(figures: Sequence[Figure], only: str, *, quick: bool) -> list[Figure]:
    """Return the figures of this form, or those that `only` names.

    Args:
        figures: All figures.
        only: Names or parts of names, separated by commas. A full name means no other figure. Empty for
            the figures of this form.
        quick: Whether this is the short form. Figures that are named are measured in either form.

    Raises:
        LookupError: A part is in no name.
    """
    if not only:
        return [figure for figure in figures if figure.quick or not quick]
    names = [figure.name for figure in figures]
    found: set[str] = set()
    for part in [only] if only in names else only.split(","):
        part = part.strip()
        matching = {name for name in names if part.lower() in name.lower()}
        if not part or not matching:
            raise LookupError(f"No figure is called {part!r}. There are: {'; '.join(names)}.")
        found |= {part} if part in names else matching
    return [figure for figure in figures if figure.name in found]


def measured(figures: Sequence[Figure], bench: Bench) -> Iterator[dict[str, Any]]:
    """Measure and print figures; yield the values to store, each as soon as it is measured.

    A figure that cannot be measured here, or whose process fails, is printed and left out.
    """
    when = {"date": datetime.date.today().isoformat(), "commit": _commit()}
    for figure in figures:
        pairs = min(bench.pairs, figure.pairs or bench.pairs)
        try:
            ratios = list(figure.measure(replace(bench, pairs=pairs)))
        except NotMeasuredError as missing:
            print(f"{figure.name:48} not measured: {missing}", flush=True)
            continue
        except FailedError as error:
            print(f"{figure.name:48} FAILED: {error}", flush=True)
            bench.failed.append(figure.name)
            continue
        finally:
            bench.tidy()
        ratio = statistics.median(ratios)
        result = {
            "figure": figure.name,
            "ratio": round(ratio, 3),
            "pairs": [round(value, 3) for value in ratios],
            "measured": when,
        }
        if figure.tool:
            package = PACKAGES.get(figure.tool, figure.tool)
            result["version"] = f"{package} {version_of(figure.tool)}"
        print(
            f"{figure.name:48} {ratio:8.2f}  ({min(ratios):.2f} to {max(ratios):.2f}, "
            f"{len(ratios)} pairs)  goal {figure.target}  "
            f"{'met' if figure.met(ratio) else 'MISSED'}",
            flush=True,
        )
        yield result


def _commit() -> str | None:
    """Return the abbreviated commit, with a plus sign if files have changed since; None without Git."""
    command = ["git", "-C", str(PROJECT)]
    try:
        commit, changed = (
            subprocess.run([*command, *rest], capture_output=True, text=True, check=True).stdout
            for rest in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    names = [line[3:] for line in changed.splitlines()]
    is_changed = any(not name.startswith(_WRITTEN_HERE) for name in names)
    return commit.strip() + ("+" if is_changed else "")


_WRITTEN_HERE = ("benchmarks/results", "docs/benchmarks.")


def keep(
    figures: Sequence[Figure], results: Sequence[dict[str, Any]], file: Path
) -> list[dict[str, Any]]:
    """Replace these results in a file; return all stored results in the order of the figures.

    Goals are those of today, for older results too. Results of figures that no longer exist are dropped.
    """
    kept = json.loads(file.read_text("utf-8")) if file.exists() else []
    by_name = {result["figure"]: result for result in [*kept, *results]}
    ordered = [
        {
            **by_name[figure.name],
            "goal": figure.target,
            "met": figure.met(by_name[figure.name]["ratio"]),
            "unit": figure.unit,
        }
        for figure in figures
        if figure.name in by_name
    ]
    file.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    return ordered
