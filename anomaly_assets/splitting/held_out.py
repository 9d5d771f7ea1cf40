"""Find newcomers that belong together with images of a split that an assignment does not take."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping

from anomaly_assets.splitting.contents import (
    GROUP,
    LEFT_OUT,
    NEAR_DUPLICATE,
    SOURCE,
    Line,
    NearDuplicate,
)

Tie = tuple[str, str, str]
"""Newcomer, the content that it belongs together with, and the reason."""


def nearest_of_source(
    newcomers: Collection[str],
    of_source: Mapping[str, Line],
    near_duplicates: Iterable[NearDuplicate],
) -> dict[str, Line]:
    """Return the newcomers that are near duplicates of contents of other splits, each with the nearest.

    Args:
        newcomers: Contents without a line.
        of_source: Lines of contents whose fold is their split in the source.
        near_duplicates: All pairs.
    """
    found: dict[str, tuple[float, str]] = {}
    for pair in near_duplicates:
        for one, other in ((pair.content, pair.other), (pair.other, pair.content)):
            if one in newcomers and other in of_source:
                found[one] = min(found.get(one, (math.inf, "")), (pair.distance, other))
    return {one: of_source[other] for one, (_, other) in found.items()}


def copies_near(
    made: Mapping[str, Line], lines: Mapping[str, Line], near_duplicates: Iterable[NearDuplicate]
) -> Iterator[Tie]:
    """Yield new copies of images of other splits that are near duplicates of assigned contents.

    Args:
        made: Lines of newcomers.
        lines: Lines of contents that were assigned before.
        near_duplicates: All pairs.
    """
    for pair in near_duplicates:
        for one, other in ((pair.content, pair.other), (pair.other, pair.content)):
            is_copy = one in made and made[one].decided_by == SOURCE
            if is_copy and other in lines and lines[other].fold != LEFT_OUT:
                yield one, other, NEAR_DUPLICATE


def groups_of_source(
    newcomers: Iterable[str],
    groups: Mapping[str, str],
    held_out: Mapping[str, Line],
    lines: Mapping[str, Line],
) -> Iterator[Tie]:
    """Yield a newcomer of each group that has images in a split that the assignment does not take.

    Args:
        newcomers: Contents that were assigned now.
        groups: Group of each content; empty for none.
        held_out: Contents with an image in such a split, each with a line that has the fold of the split.
        lines: Lines of contents that were assigned before.
    """
    first: dict[str, str] = {}
    for content in sorted(newcomers):
        first.setdefault(groups[content], content)
    first.pop("", None)
    seen = set()
    for content, held in sorted(held_out.items()):
        if held.group in first and content not in lines and (held.group, held.fold) not in seen:
            seen.add((held.group, held.fold))
            yield first[held.group], content, GROUP
