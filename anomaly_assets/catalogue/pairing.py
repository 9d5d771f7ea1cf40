"""Pair masks with images, by exact name first.

Windows and macOS ignore case in names, so a tool there may write `IMG_1.PNG` and `img_1_mask.png`. Such a
mask is paired if, ignoring case, there are exactly one image and one mask of this name.

A mask may have the name of its image, and this name may end like that of a mask (`alpha_mask.png`). Images
whose names differ only in the case of the suffix share a key: each takes the mask with its own suffix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from typing import TypeVar

from anomaly_assets.datasets.names import normalized
from anomaly_assets.datasets.record import ImageFile, MaskFile, PairKey, split_name

Near = Mapping[PairKey, list[PairKey]]

Entry = TypeVar("Entry")


def pairs_ignoring_case(
    images: Mapping[PairKey, Sized], masks: Collection[PairKey]
) -> tuple[dict[PairKey, PairKey], Near]:
    """Pair the masks that have no image of exactly their name.

    Args:
        images: Images by the key that they share with their mask.
        masks: Keys of all masks.

    Returns:
        Key of a mask to that of its image, for names that are one to one; and key of a mask to those of
        images of nearly its name, for all others.
    """
    orphans = [key for key in masks if key not in images]
    if not orphans:
        return {}, {}
    images_of, masks_of = _by_folded_key(images), _by_folded_key(masks)
    pairs: dict[PairKey, PairKey] = {}
    near: dict[PairKey, list[PairKey]] = {}
    for key in orphans:
        folded = _folded(key)
        found = images_of.get(folded, [])
        if len(found) == len(masks_of[folded]) == 1 and len(images[found[0]]) == 1:
            pairs[key] = found[0]
        elif found:
            near[key] = found
    return pairs, near


def with_full_names(
    images: Collection[PairKey], masks: Mapping[PairKey, list[tuple[MaskFile, Entry]]]
) -> dict[PairKey, list[tuple[MaskFile, Entry]]]:
    """Return the masks by key; one without an image gets its full name, if an image has exactly that."""
    renamed: dict[PairKey, list[tuple[MaskFile, Entry]]] = defaultdict(list)
    for key, found in masks.items():
        if key in images:
            renamed[key] = [*found, *renamed.pop(key, ())]
            continue
        for mask, entry in found:
            full = replace(mask, stem=split_name(_name(mask))[0])
            if full.pair_key in images:
                renamed[full.pair_key].append((full, entry))
            else:
                renamed[key].append((mask, entry))
    return dict(renamed)


def owner_of(mask: MaskFile, images: Sequence[ImageFile]) -> ImageFile | None:
    """Return the image of a mask among those of its key; of several, the one with exactly its suffix."""
    if len(images) == 1:
        return images[0]
    suffix = _name(mask).rpartition(".")[2]
    return next((image for image in images if _name(image).rpartition(".")[2] == suffix), None)


def has_other_ending(mask: MaskFile) -> bool:
    """Return whether the ending of a mask's name, such as `_Label`, is not in lower case."""
    ending = split_name(_name(mask))[0][len(mask.stem) :]
    return ending != ending.lower()


def _name(file: ImageFile | MaskFile) -> str:
    return file.relative_path.rpartition("/")[2]


def _by_folded_key(keys: Iterable[PairKey]) -> dict[PairKey, list[PairKey]]:
    found: dict[PairKey, list[PairKey]] = defaultdict(list)
    for key in keys:
        found[_folded(key)].append(key)
    return found


def _folded(key: PairKey) -> PairKey:
    category, split, folder, stem = (normalized(part.casefold()) for part in key)
    return category, split, folder, stem
