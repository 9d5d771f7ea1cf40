"""Find masks among pictures, and shapes of LabelMe among JSON files; pair them with images."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from anomaly_assets.suggesting.mask_content import are_masks, contents_of
from anomaly_assets.suggesting.tree import File, Reader, spread
from anomaly_assets.suggesting.words import is_split, kind_of, without_mask_word

_SECOND_CHOICE = ("object", "instance", "color", "colour", "vis", "overlay", "preview", "panoptic")
"""Parts of names of masks that show something else than the classes."""


@dataclass(frozen=True)
class Place:
    """Relation of the path of a mask to that of its image.

    Attributes:
        depth: Number of folders of the mask.
        folder: Folder named after masks, with its level; None if the name of the file is.
        prefix: Text before the name of the image.
        ending: Text after it.
        suffix: Suffix of the mask, if that alone differs.
        is_folder: Whether the folder of the mask has the name of the image.
        read: Whether it is a picture or has the shapes of LabelMe.
    """

    depth: int
    folder: tuple[int, str] | None
    prefix: str = ""
    ending: str = ""
    suffix: str = ""
    is_folder: bool = False
    read: Literal["picture", "labelme"] = "picture"


@dataclass
class MaskGroup:
    """Masks at one place.

    Attributes:
        place: Folder of the masks.
        pairs: Masks with their images.
        masks: All masks, with those that have no image.
    """

    place: Place
    pairs: list[tuple[File, File]] = field(default_factory=list)
    masks: list[File] = field(default_factory=list)


@dataclass
class FoundMasks:
    """Result of looking for masks.

    Attributes:
        images: Pictures that are no masks.
        groups: Masks.
        others: Second masks of the same images, such as those of instances.
    """

    images: list[File]
    groups: list[MaskGroup]
    others: list[MaskGroup]


def find(pictures: Sequence[File], jsons: Sequence[File], reader: Reader) -> FoundMasks:
    """Find masks and shapes, and pair them with the other pictures."""
    images, candidates = _candidates(pictures, reader)
    by_stem = _by_stem(images)
    groups: dict[Place, MaskGroup] = {}
    for mask, options in candidates:
        pair = _pair(mask, options, by_stem)
        place, image = (options[0], None) if pair is None else pair
        group = groups.setdefault(place, MaskGroup(place))
        group.masks.append(mask)
        if image is not None:
            group.pairs.append((mask, image))
    for place, group in _shapes(jsons, by_stem, reader):
        groups[place] = group
    paired = [group for group in groups.values() if group.pairs]
    return FoundMasks(images, *_best(paired))


def _candidates(
    pictures: Sequence[File], reader: Reader
) -> tuple[list[File], list[tuple[File, list[Place]]]]:
    """Return the images, and what may be masks with their possible places."""
    images: list[File] = []
    named: dict[tuple[object, ...], list[tuple[File, list[Place]]]] = defaultdict(list)
    for picture in pictures:
        options = list(_places(picture))
        if options:
            named[options[0].folder, options[0].prefix, options[0].ending].append(
                (picture, options)
            )
        else:
            images.append(picture)
    if not images:
        return list(pictures), []
    candidates = []
    for found in named.values():
        sample = contents_of([picture for picture, _ in found], reader, 4)
        if are_masks(sample.values()):
            candidates += found
        else:
            images += [picture for picture, _ in found]
    if not candidates:
        images, candidates = _by_suffix(images, reader)
    return images, candidates


def _places(picture: File) -> Iterator[Place]:
    """Yield how a mask may be named after its image."""
    depth = len(picture.folders)
    folder = next(
        ((n, text) for n, text in enumerate(picture.folders) if kind_of(text) == "masks"), None
    )
    affix = without_mask_word(picture.stem)
    if affix:
        prefix, _, ending = affix
        yield Place(depth, folder, prefix, ending)
    if folder:
        if depth - 1 > folder[0]:
            yield Place(depth, folder, is_folder=True)
        yield Place(depth, folder)


def _by_suffix(
    images: list[File], reader: Reader
) -> tuple[list[File], list[tuple[File, list[Place]]]]:
    """Find masks that differ from their images in the suffix only; a few are checked by content."""
    suffixes: dict[tuple[object, ...], dict[str, File]] = defaultdict(dict)
    for image in images:
        suffixes[image.folders, image.stem][image.suffix] = image
    pairs = [found for found in suffixes.values() if len(found) == 2]
    for suffix in sorted({suffix for found in pairs for suffix in found}):
        masks = [found[suffix] for found in pairs if suffix in found]
        others = [file for found in pairs for own, file in found.items() if own != suffix]
        if len(masks) * 5 < len(suffixes) or len(masks) != len(pairs):
            continue
        mask_like = contents_of(masks, reader, 4)
        photographs = contents_of(others, reader, 4)
        if are_masks(mask_like.values()) and not any(photographs.values()):
            left = set(masks)
            found = [(mask, [Place(len(mask.folders), None, suffix=suffix)]) for mask in masks]
            return [image for image in images if image not in left], found
    return images, []


def _by_stem(images: Iterable[File]) -> Mapping[str, list[File]]:
    found: dict[str, list[File]] = defaultdict(list)
    for image in images:
        found[image.stem].append(image)
    return found


def _pair(
    mask: File, options: Iterable[Place], by_stem: Mapping[str, list[File]]
) -> tuple[Place, File] | None:
    """Return the image with the name of a mask that shares most folders with it, and how it is named."""
    for place in options:
        if place.is_folder:
            name = mask.folders[-1]
        elif place.prefix or place.ending:
            affix = without_mask_word(mask.stem)
            assert affix is not None
            name = affix[1]
        else:
            name = mask.stem
        found = by_stem.get(name)
        if found:
            folders = meanings(mask.folders)
            best = max(found, key=lambda image: len(folders & meanings(image.folders)))
            if not place.is_folder or name not in best.folders:
                return place, best
    return None


@lru_cache(100_000)
def meanings(folders: tuple[str, ...]) -> frozenset[str]:
    """Return folders; words for the same split are the same."""
    return frozenset(kind if is_split(kind := kind_of(text)) else text for text in folders)


def _shapes(
    jsons: Sequence[File], by_stem: Mapping[str, list[File]], reader: Reader
) -> Iterator[tuple[Place, MaskGroup]]:
    """Yield JSON files named after images, by their depth, if those that were read are LabelMe's."""
    groups: dict[tuple[int, bool], MaskGroup] = {}
    for file in jsons:
        plain = Place(len(file.folders), None, suffix=".json", read="labelme")
        pair = _pair(file, [plain], by_stem)
        if pair is None:
            continue
        is_beside = pair[1].folders == file.folders
        group = groups.setdefault((plain.depth, is_beside), MaskGroup(plain))
        group.pairs.append((file, pair[1]))
        group.masks.append(file)
    for (depth, is_beside), group in groups.items():
        sample = [reader.content(file) for file in spread(group.masks, 3)]
        if any(content is not None and _is_labelme(content) for content in sample):
            has_folder = depth > 0 and not is_beside
            folder = (depth - 1, group.masks[0].folders[-1]) if has_folder else None
            group.place = Place(depth, folder, suffix=".json", read="labelme")
            yield group.place, group


def _is_labelme(content: bytes) -> bool:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and {"shapes", "imagePath"} <= value.keys()


def _best(groups: list[MaskGroup]) -> tuple[list[MaskGroup], list[MaskGroup]]:
    """Divide groups into those to use, and those whose images already have masks of a better group."""
    kept: list[MaskGroup] = []
    others: list[MaskGroup] = []

    def rank(group: MaskGroup) -> tuple[bool, int]:
        folder = group.place.folder[1].lower() if group.place.folder else ""
        return any(word in folder for word in _SECOND_CHOICE), -len(group.pairs)

    for group in sorted(groups, key=rank):
        images = {image for _, image in group.pairs}
        is_second = any(
            len(images & {image for _, image in other.pairs}) * 2 > len(images)
            and (other.place.folder, other.place.read) != (group.place.folder, group.place.read)
            for other in kept
        )
        (others if is_second else kept).append(group)
    return kept, others
