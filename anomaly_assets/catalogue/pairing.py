"""Pair masks with images: a mask belongs to the image with the same text in every field of its pattern.

Names are compared exactly first. Windows and macOS ignore case in names, so a tool there may write
`IMG_1.PNG` and `img_1_mask.png`. Such a mask is paired if, ignoring case, there are exactly one image and
one mask of this name.

A mask may have the name of its image, and this name may end like that of a mask (`alpha_mask.png`): a mask
without an image is compared again by each later pattern that it matches. Images whose names differ only in
their suffix share a key: each takes the mask with its own suffix.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from anomaly_assets.catalogue.groups import COARSE, Fields, Group, Images
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

Place = tuple[Fields, Key]
"""Names of fields and their values."""

Numbered = tuple[int, MaskFile, FileEntry]
"""Number of a mask, the mask, and its file."""

ORPHAN = "orphan_mask"
"""Reason of a mask without an image."""

AMBIGUOUS = "ambiguous_mask"
"""Reason of a mask that could belong to several images."""


class Index:
    """Positions of images by the values of any fields.

    Keys are compared by their hash first, and then with the record, which is classified for this.

    Args:
        images: The images.
        changed: Map of position to record, for images to which a table has added a category or a split.
    """

    def __init__(self, images: Images, changed: Mapping[int, ImageFile] | None = None) -> None:
        self.images = images
        self._changed = changed or {}
        self.codes = np.array(images.codes, np.int64)
        for position, image in self._changed.items():
            self.codes[position] = images.code_of(image)
        self._coarse: dict[Fields, Mapping[Key | None, Sequence[int]]] = {}
        self._fine: dict[Fields, _Hashes] = {}
        self._folded: dict[Fields, _Hashes] = {}

    def image(self, position: int) -> ImageFile:
        """Return the record of an image."""
        found = self._changed.get(position)
        return self.images.record(position) if found is None else found

    def at(self, place: Place) -> Sequence[int]:
        """Return the positions of the images with these values."""
        fields, key = place
        if COARSE.issuperset(fields):
            return self._by(fields).get(key, ())
        found = self._hashes(fields).at(hash(key))
        return [each for each in found if key_of(self.image(each), fields) == key]

    def near(self, place: Place) -> Sequence[Place]:
        """Return the places of images with the same values, ignoring case."""
        fields, key = place
        if fields not in self._folded:
            known = (key_of(self.image(each), fields) for each in range(len(self.images)))
            self._folded[fields] = _Hashes(hash(each and _folded(each)) for each in known)
        found = self._folded[fields].at(hash(_folded(key)))
        keys = dict.fromkeys(key_of(self.image(each), fields) for each in found)
        return [(fields, each) for each in keys if each and _folded(each) == _folded(key)]

    def with_values(self, values: Mapping[str, str | None]) -> frozenset[int]:
        """Return the positions of the images whose fields have these values, or no value."""
        if not COARSE.issuperset(values):
            return frozenset(
                position
                for position in range(len(self.images))
                if _has(self.image(position), values)
            )
        fitting = [code for code, image in enumerate(self._examples()) if _has(image, values)]
        return frozenset(np.flatnonzero(np.isin(self.codes, fitting)).tolist())

    def _examples(self) -> list[ImageFile]:
        """Return an example image for each code, without name and texts."""
        return [
            ImageFile("", category, split, label, defect_type, {})
            for category, split, label, defect_type, _ in self.images.traits
        ]

    def _by(self, fields: Fields) -> Mapping[Key | None, Sequence[int]]:
        if fields not in self._coarse:
            codes_of: dict[Key | None, list[int]] = defaultdict(list)
            for code, image in enumerate(self._examples()):
                codes_of[key_of(image, fields)].append(code)
            codes_of.pop(None, None)
            order = np.argsort(self.codes, kind="stable")
            ends = np.searchsorted(self.codes[order], np.arange(len(self.images.traits) + 1))
            self._coarse[fields] = {
                key: np.sort(
                    np.concatenate([order[ends[code] : ends[code + 1]] for code in codes])
                ).tolist()
                for key, codes in codes_of.items()
            }
        return self._coarse[fields]

    def _hashes(self, fields: Fields) -> _Hashes:
        if fields not in self._fine:
            known = self.images.hashes.get(fields)
            if known is None:
                each = (key_of(self.images.record(at), fields) for at in range(len(self.images)))
                known = array("q", map(hash, each))
            elif self._changed:
                known = array("q", known)
            for position, image in self._changed.items():
                known[position] = hash(key_of(image, fields))
            self._fine[fields] = _Hashes(known)
        return self._fine[fields]


class _Hashes:
    """Sorted hashes with their positions."""

    def __init__(self, hashes: Iterable[int]) -> None:
        values = np.frombuffer(array("q", hashes), np.int64)
        order = np.argsort(values, kind="stable")
        self._positions = array("q", order.tobytes())
        self._sorted = array("q", values[order].tobytes())

    def at(self, value: int) -> Sequence[int]:
        """Return the positions of a hash, in order."""
        start = stop = bisect_left(self._sorted, value)
        while stop < len(self._sorted) and self._sorted[stop] == value:
            stop += 1
        return self._positions[start:stop]


def _has(image: ImageFile, values: Mapping[str, str | None]) -> bool:
    return all(key_of(image, (name,)) in (None, (value,)) for name, value in values.items())


def place_of(record: MaskFile | TableFile) -> Place:
    """Return the fields of a mask or table, and their values."""
    return record.fields, key_of(record, record.fields) or ()


@dataclass
class Pairs:
    """Masks by image.

    Attributes:
        masks: All masks.
        mask_of: Number of the mask of each image; -1 for none.
        several: Map of the position of an image to the numbers of its masks, if their pattern unites them.
        read_as: Map of the number of a mask to its record, if that of a later pattern counts.
        unclear: Positions of images without a mask, although one may be theirs.
        strays: Masks that belong to no image, each with reason and detail.
    """

    masks: Group[MaskFile]
    mask_of: array[int]
    several: dict[int, list[int]] = field(default_factory=dict)
    read_as: dict[int, MaskFile] = field(default_factory=dict)
    unclear: set[int] = field(default_factory=set)
    strays: list[tuple[FileEntry, str, str | None]] = field(default_factory=list)
    _fetched: dict[int, tuple[MaskFile, FileEntry]] = field(default_factory=dict)

    def fetch(self, positions: Sequence[int]) -> None:
        """Make the first masks of these images at once, for `mask`; one by one takes five times as long."""
        numbers = [number for each in positions if (number := self.mask_of[each]) >= 0]
        self._fetched = dict(zip(numbers, self.masks.at(numbers), strict=True))

    def mask(self, number: int) -> tuple[MaskFile, FileEntry]:
        """Return a mask and its file."""
        mask, entry = self._fetched.get(number) or self.masks[number]
        return self.read_as.get(number, mask), entry

    def fields_of(self, position: int) -> Fields:
        """Return the fields that an image shares with its first mask."""
        number = self.mask_of[position]
        read_as = self.read_as.get(number)
        fields: Fields = self.masks.traits[self.masks.codes[number]][2]
        return fields if read_as is None else read_as.fields

    @property
    def paired(self) -> Sequence[int]:
        """Return the positions of the images that have a mask."""
        return np.flatnonzero(np.frombuffer(self.mask_of, np.int64) >= 0).tolist()


def pair(
    masks: Group[MaskFile],
    alternatives: Callable[[str], Iterable[MaskFile]],
    index: Index,
    named: Collection[str] = (),
) -> Pairs:
    """Pair masks with images.

    Args:
        masks: All masks, in the order of their paths.
        alternatives: Function from the path of a mask to what it means by each pattern.
        index: Index of the images.
        named: Paths of the masks that tables name, which are not paired.
    """
    pairs = Pairs(masks, array("q", [-1]) * len(index.images))
    # Nearly every mask is the only one of its image. Only the others are grouped.
    at_place: dict[Place, list[int]] = defaultdict(list)
    contested: set[int] = set()
    for number, (mask, entry) in enumerate(masks):
        if entry.path in named:
            continue
        place = place_of(mask)
        found = index.at(place)
        if not found:
            for other in alternatives(mask.relative_path):
                if found := index.at(place_of(other)):
                    pairs.read_as[number], place = other, place_of(other)
                    break
        if len(found) != 1 or found[0] in contested:
            at_place[place].append(number)
        elif (first := pairs.mask_of[found[0]]) < 0:
            pairs.mask_of[found[0]] = number
        else:
            _contest(found[0], first, at_place, contested, pairs)
            at_place[place].append(number)
    orphans = [place for place in at_place if not index.at(place)]
    spellings = Counter((fields, _folded(key)) for fields, key in orphans)
    for place in orphans:
        near = index.near(place)
        is_only = spellings[place[0], _folded(place[1])] == 1
        similar = [position for each in near for position in index.at(each)]
        if len(near) == 1 and is_only and len(similar) == 1:
            [position] = similar
            first = pairs.mask_of[position]
            if near[0] not in at_place and (first < 0 or place_of(pairs.mask(first)[0]) != near[0]):
                if first >= 0:
                    _contest(position, first, at_place, contested, pairs)
                at_place[near[0]] = at_place.pop(place)
                continue
        pairs.unclear.update(similar)
        names = ", ".join(shown(index.images[each][1].meant_path) for each in similar[:3])
        detail = f"the name is similar to {names}" if names else None
        pairs.strays += [(pairs.mask(number)[1], ORPHAN, detail) for number in at_place.pop(place)]
    for place, numbers in at_place.items():
        _choose(index, index.at(place), [(each, *pairs.mask(each)) for each in numbers], pairs)
    return pairs


def _contest(
    position: int,
    first: int,
    at_place: dict[Place, list[int]],
    contested: set[int],
    pairs: Pairs,
) -> None:
    """Remove the mask of an image, because another one may be its mask."""
    pairs.mask_of[position] = -1
    contested.add(position)
    at_place[place_of(pairs.mask(first)[0])].append(first)


def _choose(
    index: Index, positions: Sequence[int], masks: Sequence[Numbered], pairs: Pairs
) -> None:
    """Distribute the masks of one place: one to each image, the others are strays."""
    owners: Mapping[str, int] = {}
    if len(positions) > 1:
        pairs.unclear.update(positions)
        owners = _owners(index, positions)
    for number, mask, entry in sorted(masks, key=lambda each: _has_other_ending(each[1])):
        suffix = _name(mask).rpartition(".")[2]
        owner = positions[0] if len(positions) == 1 else owners.get(suffix)
        if owner is None:
            near = ", ".join(shown(index.images[each][1].meant_path) for each in positions[:3])
            pairs.strays.append((entry, AMBIGUOUS, f"several images have this name: {near}"))
            continue
        first = pairs.mask_of[owner]
        if first < 0:
            pairs.mask_of[owner] = number
        elif mask.entry.unites and pairs.mask(first)[0].entry.unites:
            pairs.several.setdefault(owner, [first]).append(number)
        else:
            path = shown(pairs.mask(first)[1].meant_path)
            pairs.strays.append((entry, "duplicate_mask", f"the image has {path}"))


def _owners(index: Index, positions: Sequence[int]) -> Mapping[str, int]:
    """Return the image of each suffix, if the images of a place differ in nothing else; else none."""
    names = [index.image(each).relative_path.rpartition(".") for each in positions]
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
