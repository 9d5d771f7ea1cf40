"""Find splits, labels and categories in file names, such as `bottle_test_broken_000.png`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from anomaly_assets.suggesting.layout import Group
from anomaly_assets.suggesting.words import Kind, is_label, is_split, kind_of

_PARTS = re.compile(r"([\s_.\-]+)")
_ENOUGH = 0.95
_MOST_DEFECTS = 20


def divided(group: Group) -> list[Group]:
    """Return the group with a pattern of names that has more fields, and one of the other images.

    The group itself is returned if names are not about splits or labels.
    """
    split = [_PARTS.split(image.stem) for image in group.images]
    texts, places = "", _places(split, is_split)
    words: set[str] = set()
    if places is not None:
        if len({place == 0 for place in places}) > 1:
            return [group]
        before, after = _separators(split, places)
        if after is None or (places[0] > 0 and before is None):
            return [group]
        texts = (f"{{category}}{before}" if places[0] else "") + f"{{split}}{after}"
        words |= {parts[place] for parts, place in zip(split, places, strict=True) if place >= 0}
        split = [
            parts[place + 2 :] for parts, place in zip(split, places, strict=True) if place >= 0
        ]
    name, more = _labelled([parts for parts in split if parts])
    if not texts and name == "{name}":
        return [group]
    found = replace(group, name=texts + name, words=words | more.words, defects=more.defects)
    if "{category}" in found.levels and texts.startswith("{category}"):
        return [group]
    found.images = [image for image, _ in found.texts()]
    rest = replace(
        group, images=[image for image in group.images if image not in set(found.images)]
    )
    return [found, rest] if rest.images else [found]


def _places(split: Sequence[Sequence[str]], fits: Callable[[Kind], bool]) -> list[int] | None:
    """Return where the first word of a kind is in each name, or -1; None if it is in too few names."""
    places = [
        next((n for n in range(0, len(parts), 2) if fits(kind_of(parts[n]))), -1) for parts in split
    ]
    if sum(place >= 0 for place in places) < _ENOUGH * len(places):
        return None
    return places if places[0] >= 0 else None


def _separators(
    split: Sequence[Sequence[str]], places: Sequence[int]
) -> tuple[str | None, str | None]:
    """Return the texts before and after the words, if they nearly always are the same."""

    def usual(step: int) -> str | None:
        found = Counter(
            parts[place + step]
            for parts, place in zip(split, places, strict=True)
            if 0 <= place + step < len(parts)
        )
        text, count = found.most_common(1)[0] if found else ("", 0)
        return text if count >= _ENOUGH * len(split) else None

    return usual(-1), usual(1)


def _labelled(split: Sequence[Sequence[str]]) -> tuple[str, Group]:
    """Return the pattern of the rest of the names, and its words."""
    more = Group([], [])
    for number, form in ((0, "{label}%s{name}"), (-1, "{name}%s{label}")):
        texts = {parts[number] for parts in split if len(parts) > 2}
        kinds = {text: kind_of(text) for text in texts}
        places = [0 if number == 0 else len(parts) - 1 for parts in split]
        separator = _separators(split, places)[1 if number == 0 else 0]
        if separator is None or "good" not in kinds.values():
            continue
        if all(is_label(kind) for kind in kinds.values()):
            more.words = texts
            return form % separator, more
        others = {text for text, kind in kinds.items() if not is_label(kind)}
        if (
            number == 0
            and "anomalous" not in kinds.values()
            and len(others) <= _MOST_DEFECTS
            and not any(text.isdigit() for text in others)
        ):
            more.words, more.defects = texts - others, others
            return f"{{defect_type}}{separator}{{name}}", more
    return "{name}", more
