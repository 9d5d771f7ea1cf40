"""Decide what each image of a category is used for: this is the protocol of the evaluation.

The functions see labels, splits and contents, and no pixels, so that nobody's scores can influence what is
measured. `docs/evaluation.md` explains the rules.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

VERSION = 2
"""Version of the rules and of the detector; results of another one are out of date."""
FOLDS = 5
"""Folds of the images of the bank, for scores out of fold."""

BANK = "bank"
TEST = "test"
VALIDATION = "validation"
SCORED = "scored"
LEFT_OUT = "left_out"
ROLES = (BANK, TEST, VALIDATION, SCORED, LEFT_OUT)

REASONS: Mapping[str, str] = {
    "unknown_label": "the label is unknown: the image is scored, and never measured",
    "no_split": "the image has no split, and no assignment has it",
    "anomalous_in_training": "an anomalous image of the training split is in neither set",
    "anomalous_in_validation": "the threshold is made from good validation images alone",
    "copy_of_test": "the file has the bytes of a test image",
    "near_copy_of_test": "the image is a near duplicate of a test image",
    "repeated_content": "the file has the bytes of another image of the same role",
    "copy_of_bank": "the file has the bytes of an image of the bank, or is a near duplicate of one",
}
"""Reasons for the roles `scored` and `left_out`, and their meaning."""

_GOOD, _UNKNOWN = 0, -1
_SPLIT_OF_FOLD = {"test": "test", "val": "validation", "train": "train"}


@dataclass(frozen=True)
class ImageRow:
    """Facts about one image with a tensor, as the view `samples` has them.

    Attributes:
        image_id: Its id.
        content: SHA-256 of its file.
        split: `train`, `test`, `validation` or `unassigned`.
        label_index: 0 good, 1 anomalous, -1 unknown.
        defect_type: Kind of defect; the empty string if there is none.
    """

    image_id: str
    content: str
    split: str
    label_index: int
    defect_type: str = ""


@dataclass(frozen=True)
class Use:
    """Use of one image.

    Attributes:
        image: The image.
        role: `bank`, `test`, `validation`, `scored` or `left_out`.
        reason: Key of `REASONS` for the last two roles, else the empty string.
        fold: Fold of an image of the bank, 0 to 4; -1 for other roles.
    """

    image: ImageRow
    role: str
    reason: str = ""
    fold: int = -1


@dataclass(frozen=True)
class Roles:
    """Uses of all images of a category, ordered by `image_id`.

    Attributes:
        uses: One for each image.
        no_number: Sentence if nothing can be measured; None otherwise.
    """

    uses: tuple[Use, ...]
    no_number: str | None

    def of(self, *roles: str) -> list[Use]:
        """Return the uses with one of these roles, ordered by `image_id`."""
        return [use for use in self.uses if use.role in roles]

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of images by role, zeros included, and by reason, such as `copy_of_test`."""
        by_role = Counter(use.role for use in self.uses)
        by_reason = Counter(use.reason for use in self.uses if use.reason)
        return {role: by_role[role] for role in ROLES} | dict(sorted(by_reason.items()))


def roles_of(
    images: Iterable[ImageRow],
    near_duplicates: Iterable[tuple[str, str]] = (),
    assigned: Mapping[str, str] | None = None,
) -> Roles:
    """Return what each image of a category is used for.

    Args:
        images: All images of the category that have a tensor, those of unknown label included.
        near_duplicates: Pairs of ids of images that look like copies of each other.
        assigned: Fold by content of a named assignment: `train` or a number, `val`, or `test`. It decides
            about images whose split is `unassigned`. None for no assignment.
    """
    rows = sorted(images, key=lambda image: image.image_id)
    near_duplicates = list(near_duplicates)
    split_of = {row.image_id: _split(row, assigned or {}) for row in rows}
    test = [row for row in rows if split_of[row.image_id] == "test"]
    copies = _Copies(near_duplicates)
    copies.add(test)
    uses: dict[str, Use] = {}
    bank: list[ImageRow] = []
    validation: list[ImageRow] = []
    for row in rows:
        role, reason = _first_use(row, split_of[row.image_id], copies)
        if role == BANK:
            bank.append(row)
        elif role == VALIDATION:
            validation.append(row)
        uses[row.image_id] = Use(row, role, reason)
    bank = _once(bank, uses)
    of_bank = _Copies(near_duplicates)
    of_bank.add(bank)
    for row in validation:
        if of_bank.same(row) or of_bank.near(row):
            uses[row.image_id] = Use(row, LEFT_OUT, "copy_of_bank")
    _once([row for row in validation if uses[row.image_id].role == VALIDATION], uses)
    fold_of = _folds_of(bank, rows, near_duplicates)
    for row in bank:
        uses[row.image_id] = Use(row, BANK, "", fold_of[row.content])
    found = tuple(uses[row.image_id] for row in rows)
    return Roles(found, _no_number(found))


def bank_digest(roles: Roles, backbone_digest: str, pixels: str) -> str:
    """Return the SHA-256 of what a bank is made from.

    Args:
        roles: The bank's images are those with the role `bank`.
        backbone_digest: Digest of the network's weights.
        pixels: Text that names how the pixels were made from the files, such as recipe and transform.
    """
    contents = sorted(f"{use.image.content} {use.fold}" for use in roles.of(BANK))
    text = "\n".join([str(VERSION), backbone_digest, pixels, *contents])
    return hashlib.sha256(text.encode()).hexdigest()


def _folds_of(
    bank: Sequence[ImageRow],
    rows: Sequence[ImageRow],
    near_duplicates: Iterable[tuple[str, str]],
) -> dict[str, int]:
    """Return the fold of each content of the bank.

    Near duplicates are in one fold: in another one, an image would be compared with its own copy, and its
    score would be too low. Only if a group has more than a fifth of the bank, its contents are dealt out
    singly: without them, too little of the bank would be left to compare them with.
    """
    parents = {row.content: row.content for row in bank}

    def first_of(content: str) -> str:
        while parents[content] != content:
            parents[content] = content = parents[parents[content]]
        return content

    content_of = {row.image_id: row.content for row in rows if row.content in parents}
    for pair in near_duplicates:
        if all(image_id in content_of for image_id in pair):
            one, other = sorted(first_of(content_of[image_id]) for image_id in pair)
            parents[other] = one
    groups: dict[str, list[str]] = {}
    for content in sorted(parents):
        groups.setdefault(first_of(content), []).append(content)
    most = -(-len(bank) // FOLDS)
    # The largest group first, each into the smallest fold; by content, so that names do not count.
    parts: list[list[str]] = []
    for group in groups.values():
        parts += [group] if len(group) <= most else [[content] for content in group]
    sizes, fold_of = [0] * FOLDS, {}
    for part in sorted(parts, key=lambda part: (-len(part), part)):
        fold = sizes.index(min(sizes))
        sizes[fold] += len(part)
        fold_of.update(dict.fromkeys(part, fold))
    return fold_of


class _Copies:
    """Contents and ids of some images, to find copies of them."""

    def __init__(self, near_duplicates: Iterable[tuple[str, str]]) -> None:
        self._pairs = list(near_duplicates)
        self._contents: set[str] = set()
        self._near: set[str] = set()

    def add(self, images: Sequence[ImageRow]) -> None:
        ids = {image.image_id for image in images}
        self._contents.update(image.content for image in images)
        for one, other in self._pairs:
            if one in ids:
                self._near.add(other)
            if other in ids:
                self._near.add(one)

    def same(self, image: ImageRow) -> bool:
        return image.content in self._contents

    def near(self, image: ImageRow) -> bool:
        return image.image_id in self._near


def _split(image: ImageRow, assigned: Mapping[str, str]) -> str:
    """Return the split of the source; without one, that of the assignment."""
    if image.split != "unassigned":
        return image.split
    fold = assigned.get(image.content)
    if fold is None:
        return "unassigned"
    return "train" if fold.isdecimal() else _SPLIT_OF_FOLD[fold]


def _first_use(image: ImageRow, split: str, of_test: _Copies) -> tuple[str, str]:
    """Return role and reason, before images of the bank and of validation are compared."""
    if image.label_index == _UNKNOWN:
        return SCORED, "unknown_label"
    if split == "unassigned":
        return LEFT_OUT, "no_split"
    if split == "test":
        return TEST, ""
    if image.label_index != _GOOD:
        return LEFT_OUT, f"anomalous_in_{'validation' if split == 'validation' else 'training'}"
    if of_test.same(image):
        return LEFT_OUT, "copy_of_test"
    if of_test.near(image):
        return LEFT_OUT, "near_copy_of_test"
    return (VALIDATION if split == "validation" else BANK), ""


def _once(images: Sequence[ImageRow], uses: dict[str, Use]) -> list[ImageRow]:
    """Return the first image of each content; the others are left out."""
    first: dict[str, ImageRow] = {}
    for image in images:
        if first.setdefault(image.content, image) is not image:
            uses[image.image_id] = Use(image, LEFT_OUT, "repeated_content")
    return list(first.values())


def _no_number(uses: Sequence[Use]) -> str | None:
    roles = {use.role for use in uses}
    if BANK not in roles:
        if any(use.reason == "no_split" for use in uses):
            return (
                "The images have no split. Make a split assignment with `anomaly-assets split`; if there "
                "are several, name one in ANOMALY_EVALUATE_ASSIGNMENT."
            )
        return "There is no good training image, so a detector has nothing to learn from."
    if TEST not in roles:
        return "There is no test image with a known label, so nothing can be measured."
    return None
