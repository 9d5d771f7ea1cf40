"""Assign contents to folds. This module is pure: it imports no database, and reads no file.

A content is the bytes of a file, named by their SHA-256. So all copies of a file have one fold, wherever
they are. Contents that must not be parted form a unit: near duplicates, and images of one group.

A content that is assigned keeps its fold and unit. Ties attach newcomers to units, the closest tie first:
an equal group, then near duplicates by their distance, then a file that was rewritten under its name. If a
tie would join two folds, it is not followed, and is returned as a bridge. What has no tie to an assigned
unit becomes a unit of its own, for which the hash decides, or the sizes of the folds (`Plan.is_balanced`).

A newcomer that is a near duplicate of an image of another split of the source, such as a test image, is
left out of all folds. It attracts nothing: otherwise a few test images could pull whole films out of
training.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from anomaly_assets.splitting.bridges import parted
from anomaly_assets.splitting.contents import (
    BALANCE,
    HASH,
    LEFT_OUT,
    NEAR_DUPLICATE,
    SOURCE,
    Assigned,
    Bridge,
    Image,
    Line,
    NearDuplicate,
    Stratum,
)
from anomaly_assets.splitting.held_out import nearest_of_source
from anomaly_assets.splitting.plan import Plan
from anomaly_assets.splitting.ties import Ties, closest_first


def assign(
    plan: Plan,
    images: Iterable[Image],
    lines: Mapping[str, Line] | None = None,
    near_duplicates: Iterable[NearDuplicate] = (),
    held_out: Mapping[str, Line] | None = None,
) -> Assigned:
    """Assign the contents of these images that have no line yet.

    The result does not depend on the order of the arguments.

    Args:
        plan: Options of the assignment.
        images: All images that exist now, and that the plan takes.
        lines: Lines of earlier assignments by content, including contents that no longer exist.
        near_duplicates: Pairs; those with contents of other images are ignored.
        held_out: By content that is also in a split that the plan excludes: a line with the fold of that
            split. Its copies get that fold; its near duplicates are left out.
    """
    lines, held_out = lines or {}, held_out or {}
    of_content: dict[str, list[Image]] = defaultdict(list)
    for image in sorted(images, key=lambda image: image.image_id):
        of_content[image.content].append(image)
    names = {content: found[0].image_id for content, found in of_content.items()}
    groups = {
        content: min((image.group for image in found if image.group), default="")
        for content, found in of_content.items()
    }
    made = {
        content: Line(content, held.fold, content, SOURCE, groups[content], names[content])
        for content, held in held_out.items()
        if content in of_content and content not in lines
    }
    near_duplicates = [*near_duplicates]
    newcomers = of_content.keys() - lines.keys() - made.keys()
    of_source = {
        content: line
        for content, line in {**held_out, **lines, **made}.items()
        if line.decided_by == SOURCE
    }
    left_out = nearest_of_source(newcomers, of_source, near_duplicates)
    for content in left_out:
        group, name = groups[content], names[content]
        made[content] = Line(content, LEFT_OUT, content, NEAR_DUPLICATE, group, name)
    ties = Ties({**lines, **made}, of_content.keys() - lines.keys() - made.keys())
    ties.follow(closest_first(of_content, ties, near_duplicates))
    undecided: dict[str, list[str]] = {}
    for members in ties.units():
        frozen, reason = ties.joined(members[0])
        if frozen is None:
            undecided[members[0]] = members
            continue
        for content in members:
            made[content] = Line(
                content, frozen.fold, frozen.unit, reason, groups[content], names[content]
            )
    folds = _balanced if plan.is_balanced else _hashed
    decided = folds(plan, undecided, of_content, {**lines, **made})
    for unit, members in undecided.items():
        how = BALANCE if plan.is_balanced else HASH
        for content in members:
            made[content] = Line(content, decided[unit], unit, how, groups[content], names[content])
    known = {**held_out, **lines, **made}
    bridges = {
        Bridge(
            names.get(newcomer) or known[newcomer].image_id,
            known[newcomer].fold,
            names.get(other) or known[other].image_id,
            known[other].fold,
            reason,
            newcomer,
            other,
        )
        for newcomer, other, reason in parted(made, lines, held_out, of_content, near_duplicates)
    }
    return Assigned(
        made,
        sorted(bridges),
        sorted(
            Bridge(
                names[one], LEFT_OUT, line.image_id, line.fold, NEAR_DUPLICATE, one, line.content
            )
            for one, line in left_out.items()
        ),
    )


def number_of(seed: int, unit: str) -> float:
    """Return the number from 0 to below 1 by which the hash decides about a unit."""
    digest = hashlib.sha256(f"{seed} {unit}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _hashed(
    plan: Plan,
    units: Mapping[str, list[str]],
    of_content: Mapping[str, list[Image]],
    lines: Mapping[str, Line],
) -> dict[str, str]:
    """Return the fold of each unit; it depends on the seed and on the unit only."""
    folds = [*plan.shares]
    limits, sum_of_shares = [], 0.0
    for share in plan.shares.values():
        sum_of_shares += share
        limits.append(sum_of_shares)
    limits[-1] = 1.0  # a sum of shares may be a little less
    return {
        unit: next(
            fold
            for fold, limit in zip(folds, limits, strict=True)
            if number_of(plan.seed, unit) < limit
        )
        for unit in units
    }


def _balanced(
    plan: Plan,
    units: Mapping[str, list[str]],
    of_content: Mapping[str, list[Image]],
    lines: Mapping[str, Line],
) -> dict[str, str]:
    """Return the fold of each unit: the one that lacks most images in the strata of the unit.

    All images together count as one more stratum: without it, strata of few images would all be in the
    largest fold. Large units come first, so that small ones fill what they leave; the hash orders others.
    """
    shares = plan.shares
    strata = {
        unit: Counter(key for content in members for key in _keys(of_content[content]))
        for unit, members in units.items()
    }
    lacking: dict[Stratum | None, dict[str, float]] = defaultdict(lambda: dict.fromkeys(shares, 0))
    for content, images in of_content.items():
        line = lines.get(content)
        if line is not None and line.fold not in shares:
            continue  # of another split of the source
        for key in _keys(images):
            for fold, share in shares.items():
                lacking[key][fold] += share
            if line is not None:
                lacking[key][line.fold] -= 1
    order = sorted(units, key=lambda unit: (-strata[unit][None], number_of(plan.seed, unit), unit))
    decided: dict[str, str] = {}
    for unit in (
        order * 2
    ):  # the second time, all others are known: it corrects what the last ones left
        needs = [(size, lacking[key]) for key, size in strata[unit].items()]
        if unit in decided:
            for size, lack in needs:
                lack[decided[unit]] += size
        fold = max(shares, key=lambda fold: sum(size * lack[fold] for size, lack in needs))
        for size, lack in needs:
            lack[fold] -= size
        decided[unit] = fold
    return decided


def _keys(images: Iterable[Image]) -> Iterator[Stratum | None]:
    """Yield the strata of images: that of each, and None for all images together."""
    for image in images:
        yield image.stratum
        yield None
