"""Write the table and the chart of the results in `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.figure import Figure

_Value = TypeVar("_Value", int, str)

_MET, _MISSED, _GOAL = "#2a7f62", "#c2571a", "#444444"


_TABLE_START, _TABLE_END = "<!-- written by make bench -->", "<!-- end -->"


def write_table(results: Sequence[dict[str, Any]], page: Path) -> None:
    """Replace the table of a Markdown page, and the sentence before it.

    The sentence has the date, the commit and the number of pairs of most figures; a row has its own if they
    differ.

    Args:
        results: Content of `results.json`.
        page: Page with the two comments around the table.
    """
    usual_pairs = _most_frequent([len(result["pairs"]) for result in results])
    usual_time = _most_frequent([_when(result) for result in results])
    rows = ["| figure | ratio | spread | goal | |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        pairs = result["pairs"]
        spread = f"{_shown(min(pairs))} to {_shown(max(pairs))}"
        if len(pairs) != usual_pairs:
            spread = spread + f" ({len(pairs)} pairs)" if len(pairs) > 1 else "1 pair"
        outcome = "met" if result["met"] else "**missed**"
        if _when(result) != usual_time:
            outcome += f", {_when(result)}"
        goal = _readable(result["goal"])
        cells = [result["figure"], _value(result), spread, goal, outcome]
        rows.append(f"| {' | '.join(cells)} |")
    tools = sorted({result["version"] for result in results if result.get("version")})
    sentences = []
    if usual_time:
        sentences.append(
            f"Measured {usual_time}, {usual_pairs} pairs each, unless a row has something else."
        )
    if tools:
        sentences.append(f"Compared with {', '.join(tools)}.")
    write_between(page, _TABLE_START, [*sentences, *([""] if sentences else []), *rows])


def _when(result: dict[str, Any]) -> str:
    """Return date and commit of a result as text; empty if they are not stored."""
    measured = result.get("measured")
    if not measured:
        return ""
    return measured["date"] + (f" at {measured['commit']}" if measured["commit"] else "")


def _most_frequent(values: Sequence[_Value]) -> _Value:
    """Return the most frequent value; the last of several."""
    return max(reversed(values), key=values.count)


def _value(result: dict[str, Any]) -> str:
    unit = result.get("unit")
    return _shown(result["ratio"]) + (f" {unit}" if unit else "")


def _shown(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def write_between(page: Path, start: str, lines: Sequence[str]) -> None:
    """Replace the text of a Markdown page between the comment `start` and the next `<!-- end -->`."""
    before, found, rest = page.read_text("utf-8").partition(start)
    if not found:
        raise ValueError(f"{page} has no {start}")
    after = rest.partition(_TABLE_END)[2]
    table = "\n".join([start, "", *lines, "", _TABLE_END])
    page.write_text(f"{before}{table}{after}", "utf-8")


def _readable(goal: str) -> str:
    return goal.replace("<=", "≤").replace(">=", "≥")


def draw(results: Sequence[dict[str, Any]], target: Path) -> None:
    """Draw every pair and the median, on a logarithmic axis on which all goals are at 1.

    Args:
        results: Content of `results.json`.
        target: SVG file to write.
    """
    # Ids from a salt, and no date: the same figures give the same file.
    with mpl.rc_context({"svg.hashsalt": "anomaly_assets", "font.size": 9}):
        figure = Figure(figsize=(9, 0.3 * len(results) + 1.2), layout="constrained")
        axes = figure.subplots()
        for position, result in enumerate(results):
            sign, goal, *_ = result["goal"].split()
            better = (
                (lambda ratio, g=float(goal): g / ratio)
                if sign == "<="
                else (lambda ratio, g=float(goal): ratio / g)
            )
            colour = _MET if result["met"] else _MISSED
            times = better(result["ratio"])
            axes.barh(position, times - 1, left=1, color=colour, alpha=0.35, height=0.62)
            pairs = [better(ratio) for ratio in result["pairs"]]
            axes.plot(pairs, [position] * len(pairs), "|", color=colour, markersize=9)
            axes.plot(times, position, "o", color=colour, markersize=4)
            axes.text(
                1.01,
                position,
                f"{_value(result)}  ({_readable(result['goal'])})",
                transform=axes.get_yaxis_transform(),
                verticalalignment="center",
                color=colour,
            )
        axes.axvline(1, color=_GOAL, linewidth=1)
        axes.set_yticks(range(len(results)), [result["figure"] for result in results])
        axes.set_ylim(len(results) - 0.4, -0.6)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}×")
        axes.set_xlabel("← missed     times better than the goal     met →")
        axes.spines[["top", "right", "left"]].set_visible(False)
        figure.savefig(target, metadata={"Date": None})
