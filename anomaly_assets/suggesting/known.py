"""Find a built-in declaration that explains a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anomaly_assets.datasets.classify import Classifier
from anomaly_assets.datasets.declaration import Declaration
from anomaly_assets.datasets.declaration_files import BUILT_IN, built_in_declaration, built_in_keys
from anomaly_assets.datasets.patterns import folded
from anomaly_assets.datasets.record import ImageFile, MaskFile, Placed, TableFile, key_of
from anomaly_assets.suggesting.tree import PICTURES, File, spread

_ENOUGH = 0.95
_SAMPLE = 500
"""Number of pictures that are classified first: a declaration that fits few of them is not tried on all."""
_PICTURE = (ImageFile, MaskFile)


@dataclass(frozen=True)
class Known:
    """A built-in declaration that explains a folder.

    Attributes:
        name: Its name.
        title: Title of its dataset.
        explained: Share of the pictures that it explains.
        is_copy: Whether all categories are those of its dataset.
        unmasked: Images that would be good because they have no mask.
        read: Paths of the files that it reads: images, masks and tables.
    """

    name: str
    title: str
    explained: float
    is_copy: bool
    unmasked: int
    read: frozenset[str]


def best(files: Sequence[File]) -> Known | None:
    """Return the built-in declaration that explains nearly all pictures and pairs masks."""
    found = [
        known
        for name in BUILT_IN
        for ignore_case in (False, True)
        if (known := _tried(built_in_declaration(name), files, ignore_case))
    ]
    return max(found, key=lambda known: known.explained, default=None)


def _tried(declaration: Declaration, files: Sequence[File], ignore_case: bool) -> Known | None:
    classify = Classifier(declaration, ignore_case=ignore_case).classify
    sample = spread([file for file in files if file.suffix in PICTURES], _SAMPLE)
    known = sum(isinstance(classify(file.path), _PICTURE) for file in sample)
    if known < (2 * _ENOUGH - 1) * len(sample):
        return None
    classified = [(file.path, classify(file.path)) for file in files]
    records = [record for _, record in classified]
    images = [record for record in records if isinstance(record, ImageFile)]
    masks = [record for record in records if isinstance(record, MaskFile)]
    tables = [record for record in records if isinstance(record, TableFile)]
    pictures = sum(file.suffix in PICTURES for file in files)
    explained = len(images) + len(masks)
    if not images or not masks or explained < _ENOUGH * pictures:
        return None
    paired = _paired(images, masks)
    if len(paired) * 2 < len(masks):
        return None
    # Without a folder for good images in training, folders there are no defect types.
    if declaration.training_is_good and any(
        image.split == "train" and image.label == "anomalous" for image in images
    ):
        return None
    categories = {folded(image.category or declaration.category) for image in images}
    counts = built_in_keys()[declaration.name].get("counts", {}).get("category", {})
    unmasked = 0
    if declaration.unmasked == "good" and not tables:
        unmasked = sum(
            image.label is None and image.relative_path not in paired for image in images
        )
    return Known(
        declaration.name,
        declaration.title,
        explained / pictures,
        not counts or categories <= set(map(folded, counts)),
        unmasked,
        frozenset(path for path, record in classified if isinstance(record, Placed)),
    )


def _paired(images: Sequence[ImageFile], masks: Sequence[MaskFile]) -> set[str]:
    """Return the paths of images with the fields of a mask, and its split."""
    paired = set()
    for fields in {mask.fields for mask in masks}:
        of_key = {_key(image, fields): image.relative_path for image in images}
        found = {_key(mask, fields) for mask in masks if mask.fields == fields}
        paired |= {of_key[key] for key in found if key is not None and key in of_key}
    return paired


def _key(record: ImageFile | MaskFile, fields: tuple[str, ...]) -> tuple[str, ...] | None:
    key = key_of(record, fields)
    return None if key is None else tuple(map(folded, key))
