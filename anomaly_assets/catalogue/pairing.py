"""Pair masks with images: a mask belongs to the image with the same text in every field of its pattern.

Names are compared exactly first. Windows and macOS ignore case in names, so a tool there may write
`IMG_1.PNG` and `img_1_mask.png`. Such a mask is paired if, ignoring case, there are exactly one image and
one mask of this name.

A mask may have the name of its image, and this name may end like that of a mask (`alpha_mask.png`): a mask
without an image is compared again by each later pattern that it matches. Images whose names differ only in
their suffix share a key: each takes the mask with its own suffix.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from anomaly_assets.datasets.names import normalized, shown
from anomaly_assets.datasets.record import (
    ImageFile,
    Key,
    MaskFile,
    TableFile,
    key_of,
    split_name,
)
from anomaly_assets.roots.base import FileEntry

Fields = tuple[str, ...]
Place = tuple[Fields, Key]
"""Names of fields and their values."""

ORPHAN = "orphan_mask"
"""Reason of a mask without an image."""

AMBIGUOUS = "ambiguous_mask"
"""Reason of a mask that could belong to several images."""


class Index:
    """Positions of images by the values of any fields."""

    def __init__(self, images: Sequence[ImageFile]) -> None:
        self.images = images
        self._by_fields: dict[Fields, Mapping[Key, list[int]]] = {}
        self._folded: dict[Fields, Mapping[Key, list[Key]]] = {}

    def at(self, place: Place) -> Sequence[int]:
        """Return the positions of the images with these values."""
        return self._by(place[0]).get(place[1], ())

    def near(self, place: Place) -> Sequence[Place]:
        """Return the places of images whose values are these ones, ignoring case."""
        fields, key = place
        if fields not in self._folded:
            found: dict[Key, list[Key]] = defaultdict(list)
            for each in self._by(fields):
                found[_folded(each)].append(each)
            self._folded[fields] = found
        return [(fields, each) for each in self._folded[fields].get(_folded(key), ())]

    def _by(self, fields: Fields) -> Mapping[Key, list[int]]:
        if fields not in self._by_fields:
            found: dict[Key, list[int]] = defaultdict(list)
            for position, image in enumerate(self.images):
                key = key_of(image, fields)
                if key is not None:
                    found[key].append(position)
            self._by_fields[fields] = dict(found)
        return self._by_fields[fields]


def place_of(record: MaskFile | TableFile) -> Place:
    """Return the fields of a mask or table, and their values."""
    return record.fields, key_of(record, record.fields) or ()


@dataclass
class Pairs:
    """Masks by image.

    Attributes:
        masks_of: Position of an image to its masks; several only if their pattern unites them.
        unclear: Positions of images without a mask, although one may be theirs.
        strays: Masks that belong to no image, each with reason and detail.
    """

    masks_of: dict[int, list[tuple[MaskFile, FileEntry]]] = field(default_factory=dict)
    unclear: set[int] = field(default_factory=set)
    strays: list[tuple[FileEntry, str, str | None]] = field(default_factory=list)


def pair(
    images: Sequence[tuple[ImageFile, FileEntry]],
    masks: Iterable[tuple[MaskFile, FileEntry]],
    alternatives: Callable[[str], Iterable[MaskFile]],
    index: Index,
) -> Pairs:
    """Pair masks with images.

    Args:
        images: All images.
        masks: All masks, in the order of their paths.
        alternatives: Function from the path of a mask to what it means by each pattern.
        index: Index of the images.
    """
    at_place: dict[Place, list[tuple[MaskFile, FileEntry]]] = defaultdict(list)
    for mask, entry in masks:
        if not index.at(place_of(mask)):
            others = alternatives(mask.relative_path)
            mask = next((other for other in others if index.at(place_of(other))), mask)
        at_place[place_of(mask)].append((mask, entry))
    pairs = Pairs()
    spellings = Counter((fields, _folded(key)) for fields, key in at_place)
    for place in [place for place in at_place if not index.at(place)]:
        near = index.near(place)
        is_only = spellings[place[0], _folded(place[1])] == 1
        if len(near) == 1 and is_only and len(index.at(near[0])) == 1:
            at_place[near[0]] = at_place.pop(place)
            continue
        similar = [position for each in near for position in index.at(each)]
        pairs.unclear.update(similar)
        names = ", ".join(shown(images[position][1].meant_path) for position in similar[:3])
        detail = f"the name is similar to {names}" if names else None
        pairs.strays += [(entry, ORPHAN, detail) for _, entry in at_place.pop(place)]
    for place, of_place in at_place.items():
        _choose(images, index.at(place), of_place, pairs)
    return pairs


def _choose(
    images: Sequence[tuple[ImageFile, FileEntry]],
    positions: Sequence[int],
    masks: Sequence[tuple[MaskFile, FileEntry]],
    pairs: Pairs,
) -> None:
    """Distribute the masks of one place: one to each image, the others are strays."""
    owners: Mapping[str, int] = {}
    if len(positions) > 1:
        pairs.unclear.update(positions)
        owners = _owners(images, positions)
    for mask, entry in sorted(masks, key=lambda each: _has_other_ending(each[0])):
        suffix = _name(mask).rpartition(".")[2]
        owner = positions[0] if len(positions) == 1 else owners.get(suffix)
        if owner is None:
            near = ", ".join(shown(images[each][1].meant_path) for each in positions[:3])
            pairs.strays.append((entry, AMBIGUOUS, f"several images have this name: {near}"))
            continue
        taken = pairs.masks_of.setdefault(owner, [])
        if taken and not (mask.entry.unites and taken[0][0].entry.unites):
            first = shown(taken[0][1].meant_path)
            pairs.strays.append((entry, "duplicate_mask", f"the image has {first}"))
        else:
            taken.append((mask, entry))


def _owners(
    images: Sequence[tuple[ImageFile, FileEntry]], positions: Sequence[int]
) -> Mapping[str, int]:
    """Return the image of each suffix, if the images of a place differ in nothing else; else none."""
    names = [images[each][0].relative_path.rpartition(".") for each in positions]
    if len({stem for stem, _, _ in names}) > 1:
        return {}
    return {suffix: position for (_, _, suffix), position in zip(names, positions, strict=True)}


def _has_other_ending(mask: MaskFile) -> bool:
    """Return whether the ending of a mask's name, such as `_Label`, is not in lower case."""
    stem, name = split_name(_name(mask))[0], mask.texts.get("name", "")
    ending = stem.removeprefix(name)
    return ending != stem and ending != ending.lower()


def _name(file: ImageFile | MaskFile) -> str:
    return file.relative_path.rpartition("/")[2]


def _folded(key: Key) -> Key:
    return tuple(normalized(part.casefold()) for part in key)
