"""Compose a declaration of what was found: lists of patterns, words, and comments about guesses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from anomaly_assets.datasets.names import counted
from anomaly_assets.datasets.pattern_text import PLACEHOLDERS, template
from anomaly_assets.suggesting.layout import Group, fixed
from anomaly_assets.suggesting.mask_content import Defect, contents_of, defect_of
from anomaly_assets.suggesting.mask_patterns import pattern_of
from anomaly_assets.suggesting.masks import FoundMasks, MaskGroup
from anomaly_assets.suggesting.shape_names import names_of
from anomaly_assets.suggesting.tables import Table
from anomaly_assets.suggesting.tree import File, Reader
from anomaly_assets.suggesting.words import is_split, kind_of, squeezed, unknown_words
from anomaly_assets.suggesting.written import Raw, comment, entries, listed, value

_MOST_MASKS = 100
_FREE = re.compile(r"\{([a-z_0-9]+)\}")

Entry = dict[str, Any]


@dataclass
class Composed:
    """Lists of a declaration.

    Attributes:
        images: Patterns of images. All lists have keys and values of TOML.
        masks: Patterns of masks.
        tables: Patterns of tables.
        strays: Patterns of files that are not needed.
        words: Words for splits and labels that were met, by their meaning.
        notes: Comments above a list, by its name.
        end: Lines at the end.
        sentences: All comments.
        has_evidence: Whether the declaration gives splits or labels.
    """

    images: list[Entry] = field(default_factory=list)
    masks: list[Entry] = field(default_factory=list)
    tables: list[Entry] = field(default_factory=list)
    strays: list[Entry] = field(default_factory=list)
    words: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    end: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    has_evidence: bool = False

    def note(self, kind: str, sentence: str) -> None:
        """Add a comment above a list."""
        self.notes.setdefault(kind, []).append(sentence)
        self.sentences.append(sentence)

    def toml(self, name: str, root: str | None) -> str:
        """Return the declaration."""
        lines = ["# Suggested: look at each line that was guessed."]
        lines += [line for sentence in self.notes.get("", ()) for line in comment(sentence)]
        lines.append(f"[{name}]")
        if root is not None:
            lines.append(f"root = {value(root)}")
        for kind in ("images", "masks", "tables", "strays"):
            lines += [line for sentence in self.notes.get(kind, ()) for line in comment(sentence)]
            lines += entries(kind, getattr(self, kind))
        if self.words:
            lines += [
                line for sentence in self.notes.get("words", ()) for line in comment(sentence)
            ]
            lines.append(f"words = {value(self.words)}")
        return "\n".join([*lines, *self.end]) + "\n"


def composed(
    groups: Sequence[Group],
    drawn: FoundMasks,
    described: Sequence[Table],
    reader: Reader,
    sentences: Sequence[str],
) -> Composed:
    """Compose what was found.

    Args:
        groups: Images.
        drawn: Masks and shapes.
        described: Tables.
        reader: Reader of files, for a sample of masks.
        sentences: Comments so far.
    """
    found = Composed()
    for sentence in sentences:
        found.note("", sentence)
    _add_images(found, groups)
    good = _good(groups)
    for group in drawn.groups:
        _add_masks(found, group, groups, good, reader)
    for other in drawn.others:
        _add_second_masks(found, other)
    for table in described:
        _add_table(found, table, groups)
    found.has_evidence = bool(found.masks or found.tables) or any(
        group.is_labelled or group.has_split for group in groups
    )
    words = unknown_words(word for group in groups for word in group.words)
    for table in described:
        for kind, used in table.words.items():
            new = unknown_words(used).get(kind, ())
            others = {word for word in used if not kind_of(word) and word not in ("0", "1")}
            if new or others:
                words[kind] = sorted({*words.get(kind, ()), *new, *others})
    found.words = words
    for kind, meant in words.items():
        mean = "mean" if len(meant) > 1 else "means"
        found.note("words", f"guessed: {listed(meant)} {mean} {kind}")
    if {"negative", "positive"} & {squeezed(word) for meant in words.values() for word in meant}:
        found.note("words", 'as in data of cracks, "negative" has no defect: swap them if not')
    _without_single_placeholders(found)
    _add_unmasked(found, groups, drawn, described)
    if _training_is_good(groups, good):
        found.end.append("# training_is_good = true   # uncomment this if it must stay so")
    return found


def _add_images(found: Composed, groups: Sequence[Group]) -> None:
    for group in groups:
        entry: Entry = {"path": group.pattern}
        if group.category:
            entry["category"] = group.category
        found.images.append(entry)
    defects = {text for group in groups for text in group.defects}
    if defects:
        found.note("images", f"guessed: beside a word for good, defects are {listed(defects)}")
    categories: set[str] = set()
    for group in groups:
        if "{category}" in group.pattern:
            categories |= {texts["category"] for _, texts in group.texts()}
        elif group.category:
            named = template(group.category)
            assert named is not None
            categories |= {named.filled(texts) for _, texts in group.texts()}
    if categories:
        found.note("images", f"guessed: categories are {listed(categories)}")


def _good(groups: Sequence[Group]) -> set[File]:
    """Return the images that are good by their path."""
    return {
        image
        for group in groups
        if group.is_labelled
        for image, texts in group.texts()
        if kind_of(texts.get("label", texts.get("defect_type", ""))) == "good"
    }


def _training_is_good(groups: Sequence[Group], good: set[File]) -> bool:
    """Return whether paths call all training images good."""
    training = [
        image
        for group in groups
        if group.has_split
        for image, texts in group.texts()
        if kind_of(texts["split"]) == "train"
    ]
    return bool(training) and good.issuperset(training)


def _add_masks(
    found: Composed, group: MaskGroup, groups: Sequence[Group], good: set[File], reader: Reader
) -> None:
    entry_options: Entry = {}
    if group.place.read == "labelme":
        entry_options["read"] = "labelme"
        found_names = names_of(group.masks, reader)
        if found_names.defects:
            entry_options["shapes"] = list(found_names.defects)
        for sentence in found_names.sentences:
            found.note("masks", sentence)
    else:
        defect = _defect(group, good, reader)
        if defect.option:
            entry_options["defect"] = Raw(defect.option)
            found.note("masks", f"guessed: {defect.why}")
    for images in groups:
        texts_of = dict(images.texts())
        if texts_of.keys().isdisjoint(image for _, image in group.pairs):
            continue
        path, split = pattern_of(group, images, texts_of)
        if path == images.pattern:
            suffixes = Counter(mask.suffix for mask in group.masks)
            path += suffixes.most_common(1)[0][0]
        entry: Entry = {"path": path, **({"split": split} if split else {}), **entry_options}
        if entry["path"] not in [each["path"] for each in found.masks]:
            found.masks.append(entry)


def _defect(group: MaskGroup, good: set[File], reader: Reader) -> Defect:
    contents = contents_of([mask for mask, _ in group.pairs], reader, _MOST_MASKS)
    image_of = dict(group.pairs)
    known = {mask: content for mask, content in contents.items() if content is not None}
    of_good = [content for mask, content in known.items() if image_of[mask] in good]
    return defect_of(list(known.values()), of_good)


def _add_second_masks(found: Composed, group: MaskGroup) -> None:
    if group.place.folder is None:
        return
    level, folder = group.place.folder
    path = "/".join([*["*"] * level, fixed(folder), "**", "*"])
    if path not in [each["path"] for each in found.strays]:
        found.note("strays", f"guessed: {listed([folder])} has second masks of the same images")
        found.strays.append({"path": path, "reason": "other_masks"})


def _add_table(found: Composed, table: Table, groups: Sequence[Group]) -> None:
    first = table.files[0]
    categories = {
        texts["category"]
        for group in groups
        if "{category}" in group.levels
        for _, texts in group.texts()
    }
    levels = []
    for level in range(len(first.folders)):
        values = {file.folders[level] for file in table.files}
        if all(is_split(kind_of(text)) for text in values) and len(values) > 1:
            levels.append("{split}")
        elif values <= categories and "{category}" not in levels:
            levels.append("{category}")
        elif len(values) == 1:
            levels.append(fixed(values.pop()))
        else:
            levels.append("*")
    entry: Entry = {"path": "/".join([*levels, fixed(first.stem) + first.suffix])}
    if table.read != ("json" if first.suffix == ".json" else "csv"):
        entry["read"] = table.read
    if table.match == "name":
        entry["match"] = "name"
    if table.rows == "split":
        entry["rows"] = "split"
    order = ("image", "category", "split", "label", "defect_type", "mask")
    columns = {role: table.columns[role] for role in order if role in table.columns}
    if columns:
        entry["columns"] = columns
        roles = ", ".join(f'"{column}" is {role}' for role, column in columns.items())
        found.note("tables", f"guessed from the cells of {listed([first.path])}: {roles}")
    found.tables.append(entry)


def _without_single_placeholders(found: Composed) -> None:
    """Replace each free placeholder that occurs only once with `*`: it matches the same paths."""
    all_entries = [*found.images, *found.masks, *found.tables]
    texts = [
        text for each in all_entries for text in (each["path"], each.get("category", "")) if text
    ]
    used = Counter(name for text in texts for name in _FREE.findall(text))
    for entry in all_entries:
        entry["path"] = _FREE.sub(
            lambda name: "*" if name[1] not in PLACEHOLDERS and used[name[1]] < 2 else name[0],
            entry["path"],
        )


def _add_unmasked(
    found: Composed, groups: Sequence[Group], drawn: FoundMasks, described: Sequence[Table]
) -> None:
    """Add a line about images whose label nothing defines."""
    paired = {image for group in drawn.groups for _, image in group.pairs}
    rows = {image for table in described if table.has_label for image in table.listed}
    rows |= {image for table in described if table.read == "dagm_labels" for image in table.listed}
    coco = {image for table in described if table.read == "coco" for image in table.listed}
    images = {image for group in groups if not group.is_labelled for image in group.images}
    left = images - paired - rows
    if coco & left:
        found.note("tables", "images that COCO lists without annotations count as good")
    if left <= coco:
        return
    bare = left - coco
    if found.masks or coco:
        missing = "in no COCO file" if coco else "without a mask"
        sentence = f"{counted(len(bare), 'image')} {missing}: uncomment this if they are good"
        found.end.append(f'# unmasked = "good"   # {sentence}')
        found.sentences.append(sentence)
    else:
        found.note("images", f"{counted(len(bare), 'image')} without a label: nothing gives one")
