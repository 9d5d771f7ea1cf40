"""Define what an assignment reads and makes: images, lines of contents, near duplicates, and bridges."""

from __future__ import annotations

from dataclasses import dataclass, field

HASH, BALANCE, SOURCE = "hash", "balance", "source"
GROUP, NEAR_DUPLICATE, SAME_FILE = "group", "near_duplicate", "same_file"
"""Values of `Line.decided_by`."""

LEFT_OUT = "left_out"
"""Fold of contents that no fold has, because a near duplicate is in a split that the plan does not take."""

Stratum = tuple[str, ...]


@dataclass(frozen=True)
class Image:
    """Image that an assignment takes.

    Attributes:
        image_id: Its id.
        content: SHA-256 of its bytes.
        stratum: Its values of `Plan.by`.
        group: Its group, with the name of its source dataset; empty for none.
    """

    image_id: str
    content: str
    stratum: Stratum = ()
    group: str = ""


@dataclass(frozen=True)
class Line:
    """Assigned content: a line of the file.

    Attributes:
        content: SHA-256 of the bytes.
        fold: Its fold, or `LEFT_OUT`.
        unit: Smallest content of the unit when the unit was made.
        decided_by: `hash`, `balance`, `group`, `near_duplicate`, `same_file` or `source`.
        group: Group of the image when it was assigned; empty for none.
        image_id: An image with this content when it was assigned.
    """

    content: str
    fold: str
    unit: str
    decided_by: str
    group: str
    image_id: str


@dataclass(frozen=True)
class NearDuplicate:
    """Pair of contents that look alike.

    Attributes:
        content: One of them.
        other: The other one.
        distance: Their distance; smaller is more alike.
    """

    content: str
    other: str
    distance: float


@dataclass(frozen=True, order=True)
class Bridge:
    """Tie between two folds that was not followed: assigned images and those of the source never move.

    Attributes:
        image_id: Newcomer.
        fold: Its fold, or `LEFT_OUT`.
        other_id: Image that it belongs to as well.
        other_fold: Fold of that image.
        reason: `group` or `near_duplicate`.
        content: Content of the newcomer.
        other_content: Content of the other image.
    """

    image_id: str
    fold: str
    other_id: str
    other_fold: str
    reason: str
    content: str
    other_content: str


@dataclass(frozen=True)
class Assigned:
    """Result of `assign`.

    Attributes:
        lines: Lines of the newcomers, by content; those given are not repeated.
        bridges: Ties between two folds, sorted.
        left_out: Newcomers that are in no fold, each with the nearest image of another split, sorted.
    """

    lines: dict[str, Line]
    bridges: list[Bridge]
    left_out: list[Bridge] = field(default_factory=list)
