"""Find patterns of images: what each folder above them means.

Images with the same kinds of words at the same places share a pattern. Folders beside one that means good
name defects. Folders above a split or a label are categories, those below are of no meaning.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from os.path import commonprefix

from anomaly_assets.datasets.pattern_text import parsed
from anomaly_assets.datasets.patterns import Matcher, Texts, Vocabulary
from anomaly_assets.suggesting.tree import File
from anomaly_assets.suggesting.words import begins_with_ok, is_label, is_split, kind_of

_FEWEST_PER_CATEGORY = 3
_MOST_SERIAL = 6


@dataclass
class Group:
    """Images of one pattern.

    Attributes:
        levels: Pattern of each folder.
        images: The images.
        category: Category, if it has several placeholders.
        name: Pattern of the name.
        words: Words for splits and labels in its paths.
        defects: Folders taken for defect types.
        suffix: Suffix, if masks differ from images in nothing else.
    """

    levels: list[str]
    images: list[File]
    category: str | None = None
    name: str = "{name}"
    words: set[str] = field(default_factory=set)
    defects: set[str] = field(default_factory=set)
    suffix: str = ""

    @property
    def pattern(self) -> str:
        """Return the pattern."""
        return "/".join([*self.levels, self.name]) + self.suffix

    @property
    def is_labelled(self) -> bool:
        """Return whether paths have a label."""
        return "{label}" in self.pattern or "{defect_type}" in self.pattern

    @property
    def has_split(self) -> bool:
        """Return whether paths have a split."""
        return "{split}" in self.pattern

    def matcher(self) -> Matcher:
        """Return the compiled pattern."""
        pattern, errors = parsed(self.pattern)
        assert pattern is not None, errors
        splits = [word for word in self.words if is_split(kind_of(word))]
        labels = [word.lower() for word in self.words if is_label(kind_of(word))]
        return Matcher(pattern, Vocabulary({"split": splits}, {"label": labels}))

    def texts(self) -> list[tuple[File, Texts]]:
        """Return the images with the texts of the placeholders."""
        matcher = self.matcher()
        found = ((image, matcher.match(image.parts)) for image in self.images)
        return [(image, texts) for image, texts in found if texts is not None]


_SPLIT, _LABEL, _DEFECT, _OTHER = "{split}", "{label}", "{defect_type}", "?"


def groups_of(images: Sequence[File], *, explicit: bool = False) -> list[Group]:
    """Return groups of all images, the more exact patterns first.

    Args:
        images: Images.
        explicit: Whether folders without a meaning get a placeholder, because masks need it.
    """
    classes = _classes(images)
    by_shape: dict[tuple[tuple[str, ...], int], list[File]] = defaultdict(list)
    for image, kinds in zip(images, classes, strict=True):
        last = max((n for n, kind in enumerate(kinds) if kind not in ("?",)), default=-1)
        head, tail = kinds[: last + 1], len(kinds) - last - 1
        by_shape[head, tail if _meaning(head) < 2 or explicit else -1].append(image)
    groups = [_group(head, found, explicit) for (head, _), found in by_shape.items()]
    return sorted(groups, key=_order)


def _meaning(head: Iterable[str]) -> int:
    """Return 2 if a head has a label, 1 if it has a split, else 0."""
    text = "/".join(head)
    return 2 if _LABEL in text or _DEFECT in text else 1 if _SPLIT in text else 0


def _classes(images: Sequence[File]) -> list[tuple[str, ...]]:
    """Return the meaning of each folder of each image: a placeholder, `?`, or itself as a fixed text."""
    depth = max((len(image.folders) for image in images), default=0)
    found: list[tuple[str, ...]] = [() for _ in images]
    for level in range(depth):
        values: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for image, kinds in zip(images, found, strict=True):
            if len(image.folders) > level:
                values[kinds].add(image.folders[level])
        decided = {kinds: _level(kinds, texts) for kinds, texts in values.items()}
        found = [
            (*kinds, decided[kinds][image.folders[level]]) if len(image.folders) > level else kinds
            for image, kinds in zip(images, found, strict=True)
        ]
    return found


def _level(above: tuple[str, ...], values: Collection[str]) -> dict[str, str]:
    """Return the meaning of each folder below the same kinds of folders."""
    kinds = {value: kind_of(value) for value in values}
    has_label = _meaning(above) == 2
    good = [value for value, kind in kinds.items() if kind == "good"]
    if all(map(begins_with_ok, good)) and not has_label:
        before, after = _common(values)
        inner = {value: value[len(before) : len(value) - len(after)] for value in values}
        if (before or after) and "good" in map(kind_of, inner.values()):
            decided = _level(above, inner.values())
            return {value: before + decided[text] + after for value, text in inner.items()}
    means_good = "good" in kinds.values() and not has_label
    means_bad = "anomalous" in kinds.values() and not has_label
    found = {}
    for value, kind in kinds.items():
        if is_split(kind) and _SPLIT not in above:
            found[value] = _SPLIT
        elif is_label(kind) and not has_label:
            others = any(other in ("", "masks") for other in kinds.values())
            found[value] = _DEFECT if others and not means_bad else _LABEL
        elif kind in ("images", "unlabelled"):
            found[value] = fixed(value)
        elif means_good:
            found[value] = fixed(value) if means_bad else _DEFECT
        else:
            found[value] = fixed(value) if kind == "masks" else _OTHER
    return found


def _common(values: Collection[str]) -> tuple[str, str]:
    """Return what all folders begin and end with, such as `_front` of `ok_front` and `def_front`."""
    before = commonprefix(list(values))  # noqa: RUF071  # compares letters, not folders
    after = commonprefix([value[::-1] for value in values])[::-1]  # noqa: RUF071
    before, after = re.sub(r"[^\s_.\-]*$", "", before), re.sub(r"^[^\s_.\-]*", "", after)
    if len(before) + len(after) >= min(map(len, values)) or set(before + after) & set("{}*\\:"):
        return "", ""
    return before, after


def fixed(text: str) -> str:
    """Return text of a pattern; a star for signs that have a meaning in it or begin an absolute path."""
    return re.sub(r"[{}*\\:]+", "*", text)


def _group(head: tuple[str, ...], images: list[File], explicit: bool) -> Group:
    levels = list(head)
    depths = {len(image.folders) - len(head) for image in images}
    tail = max(depths)
    if _meaning(head) == 2:
        levels += ["*"] * tail if len(depths) == 1 else ["**"]
    elif len(depths) == 1:
        for level in range(len(head), len(head) + tail):
            values = Counter(image.folders[level] for image in images)
            levels.append("*" if _is_serial(values) else _OTHER)
    else:
        levels.append("**")
    named = [n for n, level in enumerate(levels) if level == _OTHER]
    category = None
    if len(named) == 1:
        levels[named[0]] = "{category}"
    elif named:
        for number, place in enumerate(named, 1):
            levels[place] = f"{{folder_{number}}}"
        category = "/".join(levels[place] for place in named)
    if explicit:
        stars = [n for n, level in enumerate(levels) if level == "*"]
        for number, place in enumerate(stars, 1):
            levels[place] = f"{{below_{number}}}"
    group = Group(levels, images, category)
    for level, kind in enumerate(levels):
        meant = next((each for each in (_SPLIT, _LABEL, _DEFECT) if each in kind), None)
        if meant is None:
            continue
        before, after = kind.split(meant)
        texts = {
            image.folders[level][len(before) : len(image.folders[level]) - len(after)]
            for image in images
        }
        if meant == _DEFECT:
            group.defects |= {text for text in texts if not is_label(kind_of(text))}
        group.words |= texts - group.defects
    return group


def _is_serial(values: Counter[str]) -> bool:
    """Return whether folders are numbered, such as `kos01`, `kos02`, or days: they name no category."""
    shapes = {re.sub(r"\d+", "0", value) for value in values}
    is_numbered = len(values) >= _MOST_SERIAL and len(shapes) == 1 and "0" in next(iter(shapes))
    return is_numbered or values.total() < _FEWEST_PER_CATEGORY * len(values)


def _order(group: Group) -> tuple[int, ...]:
    """Return a key that sorts exact patterns before open patterns."""
    texts = sum(not set(level) & set("{*") for level in group.levels)
    pattern = group.pattern
    return (
        "**" in group.levels,
        _DEFECT in pattern,
        -(_SPLIT in pattern) - (_LABEL in pattern),
        -texts,
        -len(group.images),
    )


def without_single_category(groups: Sequence[Group]) -> None:
    """Replace a category that is the same for all images of some groups, while others have none."""
    with_category = [group for group in groups if "{category}" in group.levels]
    names = {texts["category"] for group in with_category for _, texts in group.texts()}
    if len(names) == 1 and len(with_category) < len(groups):
        for group in with_category:
            group.levels[group.levels.index("{category}")] = fixed(names.copy().pop())
