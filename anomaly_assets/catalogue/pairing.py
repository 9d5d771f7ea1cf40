"""Pair masks with images whose names differ only in upper and lower case.

Windows and macOS ignore case in names, so a tool there may write `IMG_1.PNG` and `img_1_mask.png`. Such a
mask is paired if, ignoring case, there are exactly one image and one mask of this name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sized

from anomaly_assets.datasets.names import normalized
from anomaly_assets.datasets.record import PairKey

Near = Mapping[PairKey, list[PairKey]]


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


def _by_folded_key(keys: Iterable[PairKey]) -> dict[PairKey, list[PairKey]]:
    found: dict[PairKey, list[PairKey]] = defaultdict(list)
    for key in keys:
        found[_folded(key)].append(key)
    return found


def _folded(key: PairKey) -> PairKey:
    category, split, folder, stem = (normalized(part.casefold()) for part in key)
    return category, split, folder, stem
