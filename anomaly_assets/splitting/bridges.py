"""Find what belongs together and is in two folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from anomaly_assets.splitting.contents import (
    GROUP,
    LEFT_OUT,
    NEAR_DUPLICATE,
    Image,
    Line,
    NearDuplicate,
)

Parted = tuple[str, str, str]
"""Newcomer, the content of another fold that it belongs together with, and the reason."""


def parted(
    made: Mapping[str, Line],
    lines: Mapping[str, Line],
    held_out: Mapping[str, Line],
    of_content: Mapping[str, list[Image]],
    near_duplicates: Iterable[NearDuplicate],
) -> Iterator[Parted]:
    """Yield newcomers that are in another fold than what they belong together with.

    Contents that no fold has are no part of this. Of a group, each fold that has newcomers is named once
    with each other fold.

    Args:
        made: Lines of newcomers.
        lines: Lines of contents that were assigned before.
        held_out: Lines of contents of splits that the assignment does not take.
        of_content: All images of each content; copies may have different groups.
        near_duplicates: All pairs.
    """
    folds = {content: line.fold for content, line in {**held_out, **lines, **made}.items()}
    folds = {content: fold for content, fold in folds.items() if fold != LEFT_OUT}
    for pair in near_duplicates:
        ordered = sorted((pair.content, pair.other), key=lambda each: (each not in made, each))
        one, other = ordered
        if one in made and {one, other} <= folds.keys() and folds[one] != folds[other]:
            yield one, other, NEAR_DUPLICATE
    for members in _groups({**lines, **made}, held_out, of_content).values():
        first: dict[
            str, str
        ] = {}  # of each fold, a content that was assigned before, if there is one
        for content in sorted(members & folds.keys(), key=lambda each: (each in made, each)):
            first.setdefault(folds[content], content)
        newest = {
            folds[content]: content for content in sorted(members & made.keys() & folds.keys())
        }
        for fold, newcomer in newest.items():
            for other_fold, other in first.items():
                if fold != other_fold and (other not in made or fold < other_fold):
                    yield newcomer, other, GROUP


def _groups(
    lines: Mapping[str, Line], held_out: Mapping[str, Line], of_content: Mapping[str, list[Image]]
) -> dict[str, set[str]]:
    """Return the contents of each group, of lines, of images, and of other splits."""
    members: dict[str, set[str]] = defaultdict(set)
    for line in (*lines.values(), *held_out.values()):
        members[line.group].add(line.content)
    for content, images in of_content.items():
        for image in images:
            members[image.group].add(content)
    members.pop("", None)
    return members
