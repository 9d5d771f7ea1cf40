"""Test assignments with histories of newcomers, near duplicates, relabels, renames and removals."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_assets.splitting.assign import assign, number_of
from anomaly_assets.splitting.contents import Assigned, Bridge, Image, Line, NearDuplicate
from anomaly_assets.splitting.plan import Plan

PLANS = (
    Plan(val=0.2),
    Plan(seed=7, val=0.2, test=0.1, folds=3),
    Plan(seed=1, folds=5, group="serial"),
    Plan(seed=2, val=0.25, by=("category", "label")),
    Plan(seed=3, val=0.3, folds=2, group="serial", by=("label",)),
)
LABELS = ("good", "anomalous")


def content_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def image(number: int, stratum: tuple[str, ...] = ("good",), group: str = "") -> Image:
    return Image(f"parts/{number:05}.png", content_of(number), stratum, group)


def folds(assigned: Assigned | Mapping[str, Line]) -> dict[str, str]:
    lines = assigned.lines if isinstance(assigned, Assigned) else assigned
    return {content: line.fold for content, line in lines.items()}


@dataclass
class World:
    """Images of a history, and their lines.

    Attributes:
        plan: Options of the assignment.
        images: Existing images by id.
        held_out: Lines of test images, which the plan does not take, by id.
        pairs: Near duplicates that were ever added.
        lines: Lines so far.
    """

    plan: Plan
    images: dict[str, Image] = field(default_factory=dict)
    held_out: dict[str, Line] = field(default_factory=dict)
    pairs: set[NearDuplicate] = field(default_factory=set)
    lines: dict[str, Line] = field(default_factory=dict)

    def near_duplicates(self) -> list[NearDuplicate]:
        existing = {each.content for each in self.images.values()}
        existing |= {line.content for line in self.held_out.values()}
        return [pair for pair in self.pairs if {pair.content, pair.other} <= existing]

    def run(self, shuffled: random.Random) -> Assigned:
        images, pairs = [*self.images.values()], self.near_duplicates()
        held_out = [*self.held_out.values()]
        assigned = assign(self.plan, images, self.lines, pairs, by_content(held_out))
        shuffled.shuffle(images)
        shuffled.shuffle(pairs)
        shuffled.shuffle(held_out)
        turned = [NearDuplicate(pair.other, pair.content, pair.distance) for pair in pairs]
        assert assign(self.plan, images, self.lines, turned, by_content(held_out)) == assigned
        return assigned


def by_content(lines: Iterable[Line]) -> dict[str, Line]:
    return {line.content: line for line in sorted(lines, key=lambda line: line.image_id)[::-1]}


def held_out(number: int, content: str | None = None, group: str = "") -> Line:
    content = content or content_of(number)
    return Line(content, "test", content, "source", group, f"parts/test/{number:05}.png")


def change(world: World, kind: str, random_: random.Random, number: int) -> None:
    """Change the images of a world in one way."""
    existing = sorted(world.images)
    chosen = world.images[random_.choice(existing)] if existing else None
    group = random_.choice(("", f"g{random_.randrange(4)}")) if world.plan.group else ""
    stratum = tuple(random_.choice(LABELS) for _ in world.plan.by)
    newcomer = image(number, stratum, group)
    if kind == "newcomer" or chosen is None:
        world.images[newcomer.image_id] = newcomer
    elif kind in ("near_duplicate", "test_image"):
        tested = sorted(world.held_out)
        if kind == "test_image":
            line = held_out(number, random_.choice((None, None, chosen.content)), group)
            world.held_out[line.image_id] = line
            newcomer = replace(newcomer, content=line.content)
        else:
            world.images[newcomer.image_id] = newcomer
            existing += tested
        for other in random_.sample(existing, min(len(existing), random_.choice((1, 1, 2)))):
            near: Image | Line = world.images.get(other) or world.held_out[other]
            content = near.content
            world.pairs.add(NearDuplicate(newcomer.content, content, random_.random() / 20))
    elif kind == "copy":
        copied = replace(newcomer, content=chosen.content)
        world.images[copied.image_id] = copied
    elif kind == "relabel":
        world.images[chosen.image_id] = replace(chosen, stratum=stratum)
    elif kind == "rewrite":
        world.images[chosen.image_id] = replace(chosen, content=newcomer.content)
    elif kind == "test_removal" and world.held_out:
        del world.held_out[random_.choice(sorted(world.held_out))]
    elif kind == "rename":
        del world.images[chosen.image_id]
        world.images[newcomer.image_id] = replace(chosen, image_id=newcomer.image_id)
    else:
        del world.images[chosen.image_id]


KINDS = (
    *("newcomer", "near_duplicate", "copy", "relabel", "rewrite", "rename", "removal"),
    *("test_image", "test_removal"),
)
STEPS = st.lists(
    st.lists(st.sampled_from((*KINDS, "newcomer", "near_duplicate")), min_size=1, max_size=12),
    min_size=1,
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(plan=st.sampled_from(PLANS), steps=STEPS, seed=st.integers(0, 2**32))
def test_nothing_moves_and_only_reported_bridges_part_what_belongs_together(
    plan: Plan, steps: list[list[str]], seed: int
) -> None:
    world, random_ = World(plan), random.Random(seed)
    number = 0
    for step in steps:
        for kind in step:
            number += 1
            change(world, kind, random_, number)
        before = dict(world.lines)
        assigned = world.run(random_)
        assert not assigned.lines.keys() & before.keys()
        world.lines = {**before, **assigned.lines}
        assert {each.content for each in world.images.values()} <= world.lines.keys()
        for line in world.lines.values():
            assert line.fold in (*plan.shares, "left_out") or line.decided_by == "source"
        assert world.run(random_) == Assigned({}, [])
        refuse_parted(world, assigned)
        refuse_trained(world, assigned)


def refuse_trained(world: World, assigned: Assigned) -> None:
    """Raise an error if a newcomer is in a fold although it is a near duplicate of a test image."""
    tested = {line.content for line in world.held_out.values()} - world.lines.keys()
    tested |= {line.content for line in world.lines.values() if line.decided_by == "source"}
    near = {
        one
        for pair in world.near_duplicates()
        for one, other in ((pair.content, pair.other), (pair.other, pair.content))
        if other in tested
    }
    for content, line in assigned.lines.items():
        if line.decided_by != "source":
            assert (line.fold == "left_out") == (content in near)
    assert {each.content for each in assigned.left_out} == {
        content for content, line in assigned.lines.items() if line.fold == "left_out"
    }


def refuse_parted(world: World, assigned: Assigned) -> None:
    """Raise an error if newcomers are parted from what they belong to, and no bridge is reported."""
    lines = {**by_content(world.held_out.values()), **world.lines}
    fold = {content: line.fold for content, line in lines.items()}
    left_out = {content for content, name in fold.items() if name == "left_out"}
    reported = {
        (*sorted((bridge.content, bridge.other_content)), bridge.reason)
        for bridge in assigned.bridges
    }
    for bridge in assigned.bridges:
        assert (
            fold[bridge.content] == bridge.fold != bridge.other_fold == fold[bridge.other_content]
        )
        assert bridge.content in assigned.lines
    for pair in world.near_duplicates():
        one, other = sorted((pair.content, pair.other))
        if {one, other} & left_out or not {one, other} & assigned.lines.keys():
            continue
        if fold[one] != fold[other]:
            assert (one, other, "near_duplicate") in reported
    groups: dict[str, set[str]] = defaultdict(set)
    for each in world.images.values():
        groups[each.group].add(each.content)
    for line in (*by_content(world.held_out.values()).values(), *world.lines.values()):
        groups[line.group].add(line.content)
    groups.pop("", None)
    for every in groups.values():
        members = every - left_out
        if members & assigned.lines.keys() and len({fold[content] for content in members}) > 1:
            assert any({one, other} <= members for one, other, _ in reported)


@pytest.mark.slow
@given(st.permutations(range(30)), st.integers(0, 5))
def test_without_groups_a_fold_follows_from_the_seed_and_the_content_alone(
    order: list[int], seed: int
) -> None:
    plan = Plan(seed=seed, val=0.2, test=0.1)
    together = folds(assign(plan, map(image, order)))
    for number in order:
        assert folds(assign(plan, [image(number)])) == {
            content_of(number): together[content_of(number)]
        }


@pytest.mark.slow
def test_the_shares_are_those_of_the_plan() -> None:
    plan = Plan(val=0.2, test=0.1, folds=5)
    found = Counter(folds(assign(plan, map(image, range(20_000)))).values())
    assert found.keys() == plan.shares.keys()
    for fold, share in plan.shares.items():
        assert found[fold] / 20_000 == pytest.approx(share, abs=0.01)


def test_a_larger_share_keeps_the_images_of_a_smaller_one() -> None:
    images = [image(number) for number in range(500)]
    small, large = (folds(assign(Plan(val=share), images)) for share in (0.1, 0.3))
    assert all(large[content] == "val" for content, fold in small.items() if fold == "val")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 450), min_size=1, max_size=12),
    val=st.sampled_from((0.1, 0.2, 0.33)),
    folds_=st.sampled_from((0, 2, 5)),
    seed=st.integers(0, 1000),
)
def test_by_gives_each_fold_its_share_of_each_stratum(
    sizes: list[int], val: float, folds_: int, seed: int
) -> None:
    plan = Plan(seed=seed, val=val, folds=folds_, by=("category",))
    strata = [str(stratum) for stratum, size in enumerate(sizes) for _ in range(size)]
    images = [image(number, (stratum,)) for number, stratum in enumerate(strata)]
    refuse_unbalanced(plan, images, assign(plan, images).lines)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), units=st.integers(1, 6))
def test_by_balances_groups_and_newcomers_after_relabels(seed: int, units: int) -> None:
    """Relabelled images do not move, so the newcomers make up for them."""
    plan, random_ = Plan(seed=seed, val=0.2, group="serial", by=("category", "label")), None
    random_ = random.Random(seed)

    def made(numbers: Iterable[int]) -> list[Image]:
        return [
            image(number, (str(number // units % 4), random_.choice(LABELS)), f"s{number // units}")
            for number in numbers
        ]

    images = made(range(2000))
    lines = assign(plan, images).lines
    refuse_unbalanced(plan, images, lines)
    relabelled = [
        replace(each, stratum=(each.stratum[0], random_.choice(LABELS)))
        if random_.random() < 0.02
        else each
        for each in images
    ]
    later = [*relabelled, *made(range(2400, 2700))]
    refuse_unbalanced(plan, later, {**lines, **assign(plan, later, lines).lines})


def refuse_unbalanced(plan: Plan, images: list[Image], lines: Mapping[str, Line]) -> None:
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for each in images:
        found[each.stratum][lines[each.content].fold] += 1
    for stratum, counts in found.items():
        if counts.total() >= 200:
            for fold, share in plan.shares.items():
                assert counts[fold] / counts.total() == pytest.approx(share, abs=0.03), stratum


def test_small_strata_are_not_all_in_the_largest_fold() -> None:
    plan = Plan(val=0.2, by=("category",))
    found = Counter(
        folds(assign(plan, [image(number, (str(number),)) for number in range(500)])).values()
    )
    assert found == {"train": 400, "val": 100}


def test_a_newcomer_joins_its_nearest_unit_and_a_bridge_is_reported() -> None:
    numbers: dict[str, list[int]] = {"train": [], "val": []}
    plan = Plan(val=0.5)
    for number in range(20):
        fold = "val" if number_of(0, content_of(number)) < 0.5 else "train"
        numbers[fold].append(number)
    (train, *_), (val, *_) = numbers["train"], numbers["val"]
    lines = assign(plan, map(image, (train, val))).lines
    newcomer = image(100)
    pairs = [
        NearDuplicate(newcomer.content, content_of(val), 0.01),
        NearDuplicate(content_of(train), newcomer.content, 0.02),
    ]
    assigned = assign(plan, [image(train), image(val), newcomer], lines, pairs)
    line = assigned.lines[newcomer.content]
    assert (line.fold, line.unit, line.decided_by) == ("val", content_of(val), "near_duplicate")
    assert assigned.bridges == [
        Bridge(
            newcomer.image_id,
            "val",
            image(train).image_id,
            "train",
            "near_duplicate",
            newcomer.content,
            content_of(train),
        )
    ]


def test_a_group_whose_images_are_gone_is_still_known() -> None:
    plan = Plan(val=0.5, group="serial")
    lines = assign(plan, [image(number, group=f"s{number}") for number in range(20)]).lines
    later = assign(plan, [image(100 + number, group=f"s{number}") for number in range(20)], lines)
    for number in range(20):
        found = later.lines[content_of(100 + number)]
        assert (found.fold, found.decided_by) == (lines[content_of(number)].fold, "group")


def test_a_file_that_is_rewritten_under_its_name_stays_in_its_fold() -> None:
    plan = Plan(val=0.5)
    lines = assign(plan, map(image, range(50))).lines
    rewritten = [replace(image(number), content=content_of(1000 + number)) for number in range(50)]
    later = assign(plan, rewritten, lines).lines
    for number in range(50):
        found = later[content_of(1000 + number)]
        assert (found.fold, found.decided_by) == (lines[content_of(number)].fold, "same_file")


def test_a_copy_of_a_test_image_is_a_test_image_and_its_near_duplicates_are_left_out() -> None:
    plan = Plan(val=0.5)
    pairs = [
        NearDuplicate(content_of(0), content_of(1), 0.2),
        NearDuplicate(content_of(1), content_of(9), 0.1),
        NearDuplicate(content_of(1), content_of(2), 0.001),
    ]
    tested = by_content((held_out(8, content_of(0)), held_out(9)))
    assigned = assign(plan, map(image, (0, 1, 2)), {}, pairs, tested)
    first, second, third = (assigned.lines[content_of(number)] for number in range(3))
    assert (first.fold, first.decided_by) == ("test", "source")
    assert (second.fold, second.decided_by) == ("left_out", "near_duplicate")
    assert third.fold in ("train", "val")  # not pulled out by what is left out
    assert assigned.bridges == []
    assert [(each.image_id, each.other_id, each.other_fold) for each in assigned.left_out] == [
        ("parts/00001.png", "parts/test/00009.png", "test")
    ]


def test_what_is_assigned_stays_when_its_near_duplicate_arrives_among_the_test_images() -> None:
    plan = Plan(val=0.5)
    lines = assign(plan, [image(0)]).lines
    pair = NearDuplicate(content_of(0), content_of(1), 0.01)
    assert assign(plan, [image(0)], lines, [pair], by_content([held_out(1)])) == Assigned({}, [])
    left_out = assign(plan, [image(0)], {}, [pair], by_content([held_out(1)])).lines
    assert assign(plan, [image(0)], left_out) == Assigned({}, [])


def test_a_group_that_has_test_images_is_reported() -> None:
    """One camera can have taken all images, so these are not left out."""
    plan = Plan(val=0.5, group="serial")
    images = [image(number, group=f"s{number % 2}") for number in range(4)]
    assigned = assign(plan, images, {}, [], by_content([held_out(9, group="s1")]))
    [bridge] = assigned.bridges
    assert (bridge.reason, bridge.other_id) == ("group", "parts/test/00009.png")
    assert bridge.content in {content_of(1), content_of(3)}
