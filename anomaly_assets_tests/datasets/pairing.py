"""Pair masks with images by the rule of declarations, as simply as possible, for tests."""

from collections import defaultdict
from collections.abc import Iterable

from anomaly_assets.datasets.record import ImageFile, MaskFile, Record


def paired(records: Iterable[Record]) -> dict[str, list[str]]:
    """Return the images of each mask, by path: those with the same text in every field of its pattern.

    Splits and categories are compared by what they mean, even if they are values of the patterns.
    """
    images: list[ImageFile] = []
    masks: list[MaskFile] = []
    for record in records:
        if isinstance(record, ImageFile):
            images.append(record)
        elif isinstance(record, MaskFile):
            masks.append(record)
    found: dict[str, list[str]] = {mask.relative_path: [] for mask in masks}
    for entry in {id(mask.entry): mask.entry for mask in masks}.values():
        fields = [field for field in entry.pattern.fields if field not in ("category", "split")]
        by_texts = defaultdict(list)
        for image in images:
            by_texts[tuple(map(image.texts.get, fields))].append(image)
        for mask in masks:
            if mask.entry is entry:
                found[mask.relative_path] = [
                    image.relative_path
                    for image in by_texts[tuple(map(mask.texts.get, fields))]
                    if mask.category in (None, image.category) and mask.split in (None, image.split)
                ]
    return found
