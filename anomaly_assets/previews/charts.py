"""Draw two charts: number of images per category, and area of the defects per type."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import duckdb
from PIL import Image, ImageDraw

from anomaly_assets.drawing import (
    ANOMALOUS,
    FAINT_INK,
    GOOD,
    INK,
    LINE,
    MARGIN,
    WIDTH,
    Colour,
    blank,
    fitted,
    write,
)

_LABELS = 150
_VALUES = 84
_LEFT = MARGIN + _LABELS + 8
_RIGHT = WIDTH - MARGIN - _VALUES
_BAR = 13
_TITLE = 26
_AXIS = 22
_LEGEND = 24
_MOST_TICKS = 8
_MORE = 18
_MOST_CATEGORIES = 60
_MOST_DEFECT_TYPES = 120
"""Limit for all panels together; further rows are counted below their panel. WebP ends at 16,383 pixels."""

_RANGE = (190, 196, 206)


def image_counts(connection: duckdb.DuckDBPyConnection) -> Image.Image | None:
    """Draw bars: images per category, one bar per split, good and anomalous in two colours.

    Args:
        connection: A database with `images`.

    Returns:
        An RGB picture; None if there are no images.
    """
    rows = connection.execute(_COUNTS).fetchall()
    if not rows:
        return None
    panels = _panels(rows, _MOST_CATEGORIES, lambda row: row[1])
    bars = sum(len(panel.rows) for panel in panels)
    categories = len({row[:2] for panel in panels for row in panel.rows})
    height = sum(map(_around, panels)) + bars * (_BAR + 3) + categories * 8 + _LEGEND + MARGIN
    chart = blank(height)
    _legend(chart, [("good", GOOD), ("anomalous", ANOMALOUS)])
    top = float(_LEGEND)
    for panel in panels:
        members = panel.rows
        most = max(good + anomalous for *_, good, anomalous in members)
        scale = _Linear(most)
        bottom = top + _TITLE + len(members) * (_BAR + 3) + len({row[1] for row in members}) * 8
        _frame(chart, f"{panel.name}: images", top, bottom, scale.ticks())
        top += _TITLE
        last = None
        for _, category, split, good, anomalous in members:
            if category != last:
                top += 8 if last is not None else 4
                width = _LABELS - 36
                write(chart, (MARGIN, top), fitted(category, width, 12), size=12)
            last = category
            write(chart, (_LEFT - 6, top + 1), split, ink=FAINT_INK, anchor="ra")
            middle, end = scale.place(good), scale.place(good + anomalous)
            _box(chart, _LEFT, top, middle, _BAR, GOOD)
            _box(chart, middle, top, end, _BAR, ANOMALOUS)
            text = f"{good:,} + {anomalous:,}" if anomalous and good else f"{good + anomalous:,}"
            write(chart, (end + 5, top + 1), text)
            top += _BAR + 3
        top = _more(chart, panel, "category", "categories", bottom + _AXIS)
    return chart


def defect_areas(connection: duckdb.DuckDBPyConnection) -> Image.Image | None:
    """Draw ranges on a logarithmic axis: the area of the defects of each type, in percent of the image.

    Args:
        connection: A database with `images` and `image_tensors`.

    Returns:
        An RGB picture; None if no mask has a defect.
    """
    rows = connection.execute(_AREAS).fetchall()
    if not rows:
        return None
    panels = _panels(rows, _MOST_DEFECT_TYPES, lambda row: row[1:3])
    rows = [row for panel in panels for row in panel.rows]
    step = _BAR + 6
    categories = len({row[:2] for row in rows})
    height = sum(map(_around, panels)) + (len(rows) + categories) * step + _LEGEND + MARGIN
    chart = blank(height)
    _legend(chart, [("smallest to largest", _RANGE), ("middle half", ANOMALOUS), ("median", INK)])
    scale = _Logarithmic(min(row[4] for row in rows), max(row[8] for row in rows))
    draw, top = ImageDraw.Draw(chart), float(_LEGEND)
    for panel in panels:
        members = panel.rows
        categories = len({row[1] for row in members})
        bottom = top + _TITLE + (len(members) + categories) * step
        _frame(chart, f"{panel.name}: defect area, % of the image", top, bottom, scale.ticks())
        top += _TITLE
        last = None
        for _, category, defect_type, images, least, low, median, high, largest in members:
            if category != last:
                write(chart, (MARGIN, top), fitted(category, _LABELS, 12), size=12)
                top += step
            last = category
            middle = top + _BAR / 2
            label = fitted(defect_type, _LABELS - 10, 11)
            write(chart, (_LEFT - 6, top), label, ink=FAINT_INK, anchor="ra")
            ends = (scale.place(least), middle, scale.place(largest), middle)
            draw.line(ends, fill=_RANGE, width=3)
            left, right = scale.place(low), scale.place(high)
            _box(chart, left, middle - 4, max(right, left + 2), 8, ANOMALOUS)
            place = scale.place(median)
            draw.ellipse((place - 4, middle - 4, place + 4, middle + 4), fill=INK)
            write(chart, (_RIGHT + 50, top), _percent(median), anchor="ra")
            write(chart, (_RIGHT + 56, top), f"n={images:,}", ink=FAINT_INK)
            top += step
        top = _more(chart, panel, "defect type", "defect types", bottom + _AXIS)
    return chart


class _Panel(NamedTuple):
    """Part of a chart that shows one source dataset.

    Attributes:
        name: Name of the source dataset.
        rows: Its rows that are drawn.
        left_out: Number of its units that are not drawn.
    """

    name: str
    rows: list[tuple[Any, ...]]
    left_out: int


def _panels(
    rows: Sequence[tuple[Any, ...]], most: int, unit: Callable[[tuple[Any, ...]], object]
) -> list[_Panel]:
    """Divide a number of units, such as categories, among source datasets: small ones are drawn whole.

    Args:
        rows: Rows of the chart, ordered, with the source dataset first.
        most: Number of units to draw in total; each source dataset gets at least one.
        unit: Returns the unit of a row.
    """
    members = {name: list(of) for name, of in groupby(rows, key=lambda row: row[0])}
    units = {name: list(dict.fromkeys(map(unit, of))) for name, of in members.items()}
    left, shares = most, {}
    for place, name in enumerate(sorted(units, key=lambda name: len(units[name]))):
        shares[name] = min(len(units[name]), max(1, left // (len(units) - place)))
        left -= shares[name]
    panels = []
    for name, of in members.items():
        drawn = set(units[name][: shares[name]])
        kept = [row for row in of if unit(row) in drawn]
        panels.append(_Panel(name, kept, len(units[name]) - len(drawn)))
    return panels


def _around(panel: _Panel) -> int:
    """Return the height of title, axis and margins around the rows of a panel."""
    return _TITLE + _AXIS + (_MORE if panel.left_out else 0)


def _more(chart: Image.Image, panel: _Panel, one: str, several: str, top: float) -> float:
    """Write how many units of a panel are not drawn, and return the top of the next panel."""
    if not panel.left_out:
        return top
    what = f"and {panel.left_out:,} more {one if panel.left_out == 1 else several}"
    write(chart, (MARGIN, top), what, size=12, ink=FAINT_INK)
    return top + _MORE


class _Linear:
    """Linear axis that begins at 0."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)

    def place(self, value: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * value / self._most

    def ticks(self) -> list[tuple[float, str]]:
        power = 10 ** math.floor(math.log10(self._most))
        step = next(s for s in (power / 2, power, 2 * power, 5 * power) if self._most / s <= 6)
        step = max(1, round(step))
        return [(self.place(value), f"{value:,}") for value in range(0, self._most + 1, step)]


class _Logarithmic:
    """Logarithmic axis that begins and ends at 1, 2 or 5 times a power of ten."""

    def __init__(self, least: float, most: float) -> None:
        steps = [
            digit * 10.0**power
            for power in range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 1)
            for digit in (1, 2, 5)
        ]
        self._first = max(step for step in steps if step <= least)
        self._last = min(step for step in steps if step >= most and step > self._first)
        steps = [step for step in steps if self._first <= step <= self._last]
        powers = [step for step in steps if math.log10(step) % 1 == 0]
        self._ticks = steps if len(steps) <= _MOST_TICKS else powers

    def place(self, value: float) -> float:
        share = math.log(value / self._first) / math.log(self._last / self._first)
        return _LEFT + (_RIGHT - _LEFT) * share

    def ticks(self) -> list[tuple[float, str]]:
        return [(self.place(value), _percent(value)) for value in self._ticks]


def _percent(value: float) -> str:
    return f"{value:.2g} %" if value < 1 else f"{value:.3g} %"


def _frame(
    chart: Image.Image, title: str, top: float, bottom: float, ticks: Iterable[tuple[float, str]]
) -> None:
    """Draw title, grid and axis of one panel."""
    write(chart, (MARGIN, top + 4), title, size=13)
    draw = ImageDraw.Draw(chart)
    for place, text in ticks:
        draw.line((place, top + _TITLE - 2, place, bottom), fill=LINE)
        write(chart, (place, bottom + 3), text, ink=FAINT_INK, anchor="ma")
    draw.line((_LEFT, bottom, _RIGHT, bottom), fill=FAINT_INK)


def _legend(chart: Image.Image, entries: Sequence[tuple[str, Colour]]) -> None:
    left: float = _LEFT
    draw = ImageDraw.Draw(chart)
    for text, colour in entries:
        draw.rectangle((left, 8, left + 11, 17), fill=colour)
        write(chart, (left + 16, 6), text)
        left += 16 + draw.textlength(text, font_size=11) + 18


def _box(
    chart: Image.Image, left: float, top: float, right: float, height: float, colour: Any
) -> None:
    if right > left:
        ImageDraw.Draw(chart).rectangle((left, top, right, top + height - 1), fill=colour)


_COUNTS = """
SELECT
    source_dataset,
    category,
    split,
    count(*) FILTER (label = 'good') AS good,
    count(*) FILTER (label = 'anomalous') AS anomalous
FROM effective_images AS images
GROUP BY ALL
ORDER BY source_dataset, category, split DESC
"""

_AREAS = """
SELECT
    images.source_dataset,
    images.category,
    images.defect_type,
    count(*) AS images,
    100 * min(tensors.mask_area_fraction) AS least,
    100 * quantile_cont(tensors.mask_area_fraction, 0.25) AS low,
    100 * median(tensors.mask_area_fraction) AS median,
    100 * quantile_cont(tensors.mask_area_fraction, 0.75) AS high,
    100 * max(tensors.mask_area_fraction) AS largest
FROM effective_images AS images
JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
WHERE images.label = 'anomalous' AND tensors.mask_area_fraction > 0
GROUP BY ALL
ORDER BY images.source_dataset, images.category, images.defect_type
"""
