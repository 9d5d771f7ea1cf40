"""Test what each image is used for: one test for each rule of `docs/evaluation.md`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.evaluation import protocol
from anomaly_assets.evaluation.protocol import ImageRow, Roles, bank_digest, roles_of
from anomaly_assets_tests.evaluation.generated import row


def uses(found: Roles) -> dict[str, str]:
    return {use.image.image_id: use.reason or use.role for use in found.uses}


def test_the_bank_has_good_training_images_and_anomalous_ones_are_in_neither_set() -> None:
    rows = [row("a"), row("b", label=1), row("c", "test"), row("d", "test", 1)]
    found = roles_of(rows)
    expected = {"a": "bank", "b": "anomalous_in_training", "c": "test", "d": "test"}
    assert uses(found) == expected
    assert found.no_number is None
    assert found.counts == {
        **{"bank": 1, "test": 2, "validation": 0, "scored": 0, "left_out": 1},
        "anomalous_in_training": 1,
    }


def test_copies_and_near_duplicates_of_test_images_leave_the_bank_and_test_images_stay() -> None:
    rows = [
        *(row("copy", content="same"), row("near"), row("near_too"), row("kept")),
        *(
            row("test", "test", content="same"),
            row("anomalous", "test", 1),
            row("twin", "test", 0, "same"),
        ),
    ]
    found = roles_of(rows, [("near", "test"), ("anomalous", "near_too"), ("kept", "near")])
    assert uses(found) == {
        **{"copy": "copy_of_test", "near": "near_copy_of_test", "near_too": "near_copy_of_test"},
        **{"kept": "bank", "test": "test", "anomalous": "test", "twin": "test"},
    }


def test_each_content_is_in_the_bank_once() -> None:
    rows = [row("b", content="x"), row("a", content="x"), row("c", content="x"), row("t", "test")]
    assert uses(roles_of(rows)) == {
        **{"a": "bank", "b": "repeated_content", "c": "repeated_content", "t": "test"}
    }


def test_unknown_labels_are_scored_in_every_split() -> None:
    splits = ("train", "test", "validation", "unassigned")
    rows = [row("good"), *(row(split, split, -1) for split in splits)]
    found = uses(roles_of(rows))
    assert {found[split] for split in splits} == {"unknown_label"}
    assert {use.role for use in roles_of(rows).uses} == {"bank", "scored"}


def test_a_copy_of_an_unmeasured_test_image_leaves_the_bank_too() -> None:
    rows = [row("a", content="x"), row("b"), row("t", "test", -1, "x")]
    assert uses(roles_of(rows))["a"] == "copy_of_test"


def test_validation_images_are_good_and_no_copies() -> None:
    rows = [
        *(row("bank", content="x"), row("test", "test", content="y"), row("v", "validation")),
        *(row("v1", "validation", 1), row("v2", "validation", 0, "x")),
        *(row("v3", "validation", 0, "y"), row("v4", "validation"), row("v5", "validation")),
        *(row("w", "validation", 0, "z"), row("w2", "validation", 0, "z")),
    ]
    found = uses(roles_of(rows, [("v4", "bank"), ("test", "v5")]))
    assert {name: found[name] for name in sorted(found) if name[0] in "vw"} == {
        **{"v": "validation", "v1": "anomalous_in_validation", "v2": "copy_of_bank"},
        **{"v3": "copy_of_test", "v4": "copy_of_bank", "v5": "near_copy_of_test"},
        **{"w": "validation", "w2": "repeated_content"},
    }


def test_an_assignment_decides_about_images_without_a_split_only() -> None:
    rows = [row(name, "unassigned", content=name) for name in "abcd"]
    rows += [row("train", "train", content="train"), row("e", "unassigned", 1, content="e")]
    folds = {"a": "train", "b": "3", "c": "val", "train": "test", "e": "test"}
    expected = {
        **{
            "a": "bank",
            "b": "bank",
            "c": "validation",
            "d": "no_split",
            "train": "bank",
            "e": "test",
        }
    }
    assert uses(roles_of(rows, assigned=folds)) == expected


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([row("a", "unassigned"), row("b", "unassigned", 1)], "no split. Make a split assignment"),
        ([row("a", "train", 1), row("b", "test")], "no good training image"),
        ([row("a"), row("b", "test", -1)], "no test image with a known label"),
        ([], "no good training image"),
    ],
)
def test_a_category_that_cannot_be_measured_has_a_reason(rows: list[ImageRow], part: str) -> None:
    assert part in (roles_of(rows).no_number or "")


def test_folds_have_equal_size_and_depend_on_contents_alone() -> None:
    rows = [row(f"{number:02}") for number in range(23)]
    found = roles_of(rows)
    assert sorted(Counter(use.fold for use in found.uses).values()) == [4, 4, 5, 5, 5]
    renamed = [ImageRow(f"other/{99 - n}", each.content, "train", 0) for n, each in enumerate(rows)]
    fold_of = {use.image.content: use.fold for use in found.uses}
    assert {use.image.content: use.fold for use in roles_of(renamed).uses} == fold_of
    assert {use.fold for use in roles_of([row("t", "test")]).uses} == {-1}


def test_near_duplicates_of_the_bank_are_in_one_fold_and_folds_stay_balanced() -> None:
    rows = [row(f"{number:02}") for number in range(40)]
    near = [(f"{number:02}", f"{number + 20:02}") for number in range(20)]
    near += [("00", "01"), ("21", "02")]
    found = roles_of(rows, near)
    fold_of = {use.image.image_id: use.fold for use in found.uses}
    assert all(fold_of[one] == fold_of[other] for one, other in near)
    assert sorted(Counter(fold_of.values()).values()) == [8, 8, 8, 8, 8]
    renamed = [replace(each, image_id=f"z{99 - n}") for n, each in enumerate(rows)]
    moved = [(f"z{99 - int(other)}", f"z{99 - int(one)}") for one, other in near[::-1]]
    by_content = {use.image.content: use.fold for use in found.uses}
    assert {use.image.content: use.fold for use in roles_of(renamed, moved).uses} == by_content
    assert bank_digest(found, "n", "p") != bank_digest(roles_of(rows), "n", "p")


def test_a_copy_that_is_left_out_connects_near_duplicates() -> None:
    rows = [*(row(f"{number:02}") for number in range(20)), row("copy", content=row("00").content)]
    fold_of = {use.image.image_id: use.fold for use in roles_of(rows, [("copy", "01")]).uses}
    assert fold_of["00"] == fold_of["01"]


def test_a_group_of_more_than_a_fifth_of_the_bank_is_in_all_folds() -> None:
    rows = [row(f"{number:02}") for number in range(20)]
    film = [(f"{number:02}", f"{number + 1:02}") for number in range(14)]
    found = roles_of(rows, [*film, ("18", "19")])
    fold_of = {use.image.image_id: use.fold for use in found.uses}
    assert fold_of["18"] == fold_of["19"]
    assert {fold_of[f"{number:02}"] for number in range(15)} == set(range(5))
    assert sorted(Counter(fold_of.values()).values()) == [4, 4, 4, 4, 4]


def test_the_digest_of_a_bank_changes_with_its_contents_network_and_pixels() -> None:
    rows = [row("a"), row("b"), row("t", "test")]
    digest = bank_digest(roles_of(rows), "n", "p")
    renamed = [ImageRow("new", rows[0].content, "train", 0), rows[1], row("t2", "test", 1)]
    assert bank_digest(roles_of(renamed), "n", "p") == digest
    others = {
        bank_digest(roles_of(rows), "m", "p"),
        bank_digest(roles_of(rows), "n", "q"),
        bank_digest(roles_of(rows[1:]), "n", "p"),
        bank_digest(roles_of([*rows, row("c")]), "n", "p"),
    }
    assert len(others - {digest}) == 4


images = st.lists(
    st.builds(
        ImageRow,
        st.sampled_from([f"{number:02}" for number in range(30)]),
        st.sampled_from("uvwxyz"),
        st.sampled_from(["train", "test", "validation", "unassigned"]),
        st.sampled_from([0, 1, -1]),
    ),
    max_size=25,
    unique_by=lambda image: image.image_id,
)
pairs = st.lists(
    st.tuples(*[st.sampled_from([f"{number:02}" for number in range(30)])] * 2), max_size=8
)
folds = st.none() | st.dictionaries(
    st.sampled_from("uvwxyz"), st.sampled_from(["train", "val", "test", "0"])
)


@pytest.mark.slow
@given(images, pairs, folds, st.randoms(use_true_random=False))
def test_nothing_leaks_into_the_bank_whatever_the_images(
    rows: list[ImageRow],
    near: list[tuple[str, str]],
    assigned: dict[str, str] | None,
    random: object,
) -> None:
    found = roles_of(rows, near, assigned)
    assert [use.image.image_id for use in found.uses] == sorted(each.image_id for each in rows)
    assert sum(found.counts[role] for role in protocol.ROLES) == len(rows)
    assert {use.reason for use in found.uses} - {""} <= set(protocol.REASONS)
    assert all((use.reason == "") == (use.role not in ("scored", "left_out")) for use in found.uses)
    bank, test, validation = (found.of(role) for role in ("bank", "test", "validation"))
    assert all(use.image.label_index == 0 for use in (*bank, *validation))
    assert all(use.image.label_index in (0, 1) for use in test)
    contents = [use.image.content for use in (*bank, *validation)]
    assert len(set(contents)) == len(contents)
    assert not set(contents) & {use.image.content for use in test}
    partners = {frozenset(pair) for pair in near}
    for use in bank:
        for other in (*test, *validation):
            assert frozenset((use.image.image_id, other.image.image_id)) not in partners
    assert roles_of(reversed(rows), reversed(near), assigned) == found
