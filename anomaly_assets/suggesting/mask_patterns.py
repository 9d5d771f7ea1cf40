"""Write the pattern of masks from their relation to the images they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from anomaly_assets.datasets.patterns import Texts
from anomaly_assets.suggesting.layout import Group, fixed
from anomaly_assets.suggesting.masks import MaskGroup, meanings
from anomaly_assets.suggesting.tree import File
from anomaly_assets.suggesting.words import is_label, kind_of


def pattern_of(
    group: MaskGroup, images: Group, texts_of: Mapping[File, Texts]
) -> tuple[str, str | None]:
    """Return the pattern of the masks of a group of images, and the split if the pattern has none.

    Args:
        group: Masks, of which at least one belongs to an image of the group.
        images: Images.
        texts_of: Texts of the placeholders of each image.
    """
    pairs = [(mask, image, texts_of[image]) for mask, image in group.pairs if image in texts_of]
    place = group.place
    fields: list[tuple[str, Callable[[File], str]]] = [
        (pattern, lambda image, level=level: image.folders[level])  # type: ignore[misc]
        for level, pattern in enumerate(images.levels)
        if "{" in pattern and "**" not in images.levels[:level]
    ]
    fields += [
        (f"{{{name}}}", lambda image, name=name: texts_of[image][name])  # type: ignore[misc]
        for name in pairs[0][2]
        if f"{{{name}}}" in images.name and name != "name"
    ]
    levels: list[str] = []
    for level in range(place.depth):
        values = {mask.folders[level] for mask, _, _ in pairs}
        is_last = level == place.depth - 1
        field = next(
            (
                pattern
                for pattern, text_of in fields
                if pattern not in levels
                and all(_same(mask.folders[level], text_of(image)) for mask, image, _ in pairs)
            ),
            None,
        )
        if place.folder and place.folder[0] == level and len(values) == 1:
            levels.append(fixed(place.folder[1]))
        elif place.is_folder and is_last:
            levels.append(images.name)
        elif field:
            levels.append(field)
        elif len(values) == 1 and not is_label(kind_of(next(iter(values)))):
            levels.append(fixed(next(iter(values))))
        else:
            levels.append("*")
    if place.folder is None and "**" in images.levels:
        levels = list(images.levels)
    name = "*" if place.is_folder else f"{fixed(place.prefix)}{images.name}{_ending(place.ending)}"
    suffix = place.suffix
    if (
        "." in place.ending and not suffix
    ):  # else `.mask` would be read as the suffix of the pattern
        suffix = pairs[0][0].suffix
    pattern = "/".join([*levels, name]) + suffix
    split = None
    if images.has_split and "{split}" not in pattern:
        splits = {kind_of(texts["split"]) for _, _, texts in pairs}
        split = splits.pop() if len(splits) == 1 else None
    return pattern, split


def _ending(text: str) -> str:
    """Return an ending with its star, if it stands for a number."""
    return fixed(text[:-1]) + "*" if text.endswith("*") else fixed(text)


def _same(one: str, other: str) -> bool:
    return meanings((one,)) == meanings((other,))
