"""Find splits, labels and categories in file names, such as `bottle_test_broken_000.png`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from anomaly_assets.suggesting.layout import Group, fixed
from anomaly_assets.suggesting.words import Kind, is_label, is_split, kind_of

_PARTS = re.compile(r"([\s_.\-]+)")
_ENOUGH = 0.95
_MOST_DEFECTS = 20
_MOST_STARTS = 3

Parts = list[str]
"""Words of a name at even places, and the text between them."""


def divided(group: Group) -> list[Group]:
    """Divide a group by splits and labels in file names; the last one has the images that match no pattern.

    The group itself is returned if names are not about splits or labels.
    """
    names = [_PARTS.split(image.stem) for image in group.images]
    start, words = "", set[str]()
    if not group.has_split and (found := _by_split(names, "{category}" not in group.pattern)):
        start, words, names = found
    patterns = list(_by_label(names))
    if start and not patterns:
        patterns = [("{name}", set(), set())]
    groups = []
    left = group
    for name, labels, defects in patterns:
        part = replace(left, name=start + name, words=group.words | words | labels, defects=defects)
        part.images = [image for image, _ in part.texts()]
        if part.images:
            taken = set(part.images)
            left = replace(left, images=[image for image in left.images if image not in taken])
            groups.append(part)
    return [*groups, left] if left.images else groups


def _by_split(
    names: Sequence[Parts], may_have_category: bool
) -> tuple[str, set[str], list[Parts]] | None:
    """Return the start of the names with their split, its words, and the rest of each name."""
    places = _places(names, is_split)
    if places is None or len({place == 0 for place in places}) > 1:
        return None
    before, after = _usual(names, places, -1), _usual(names, places, 1)
    if after is None or (places[0] and (before is None or not may_have_category)):
        return None
    both = list(zip(names, places, strict=True))
    start = (f"{{category}}{before}" if places[0] else "") + f"{{split}}{after}"
    return (
        start,
        {parts[place] for parts, place in both},
        [parts[place + 2 :] for parts, place in both],
    )


def _by_label(names: Sequence[Parts]) -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield patterns of names with a label or a defect type, their words and the defect types."""
    places = _places(names, is_label)
    if places is None:
        yield from _by_defect(names)
        return
    both = [(parts, place) for parts, place in zip(names, places, strict=True)]
    words = {parts[place] for parts, place in both}
    if "good" not in map(kind_of, words):
        return
    if all(place and place == len(parts) - 1 for parts, place in both):
        if (before := _usual(names, places, -1)) is not None:
            yield f"{{name}}{before}{{label}}", words, set()
        return
    after = _usual(names, places, 1)
    if after is None:
        return
    starts = {"".join(parts[:place]) for parts, place in both}
    if len(starts) <= _MOST_STARTS:
        for start in sorted(starts, key=len, reverse=True):
            yield f"{fixed(start)}{{label}}{after}{{name}}", words, set()
    elif (before := _usual(names, places, -1)) is not None:
        yield f"*{before}{{label}}{after}{{name}}", words, set()


def _by_defect(names: Sequence[Parts]) -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield the pattern of names that begin with a defect type, or with a word for the label `good`."""
    after = _usual(names, [0] * len(names), 1)
    first = {parts[0] for parts in names if len(parts) > 2}
    defects = {text for text in first if kind_of(text) != "good"}
    is_usual = 0 < len(defects) <= _MOST_DEFECTS and not any(map(str.isdigit, defects))
    if after is not None and is_usual and len(defects) < len(first):
        yield f"{{defect_type}}{after}{{name}}", first - defects, defects


def _places(names: Sequence[Parts], fits: Callable[[Kind], bool]) -> list[int] | None:
    """Return the position of the first word of a kind in each name; None if some name has no such word."""
    places = [
        next((n for n in range(0, len(parts), 2) if fits(kind_of(parts[n]))), -1) for parts in names
    ]
    return None if -1 in places or not places else places


def _usual(names: Sequence[Parts], places: Sequence[int], step: int) -> str | None:
    """Return the text beside the words, if it nearly always is the same."""
    found = Counter(
        parts[place + step]
        for parts, place in zip(names, places, strict=True)
        if 0 <= place + step < len(parts)
    )
    text, count = found.most_common(1)[0] if found else ("", 0)
    return text if count >= _ENOUGH * len(names) else None
