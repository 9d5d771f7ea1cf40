"""Compare a root with the layouts of all source datasets: another layout may fit better.

A lower-case copy of DAGM 2007 has images in the flat layout of MVTec AD, which would read its masks as
images. The layout of DAGM 2007 pairs these masks with images, and that of MVTec AD pairs none: only such a
*strong match* names another dataset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from anomaly_assets.datasets import SOURCE_DATASETS, SourceDataset
from anomaly_assets.datasets.known import BUILT_IN
from anomaly_assets.datasets.record import ImageFile, Key, MaskFile, Placed, key_of


@dataclass(frozen=True)
class Fit:
    """Fit of a layout to a root.

    Attributes:
        dataset: The source dataset of the layout.
        exact: Whether the names of folders have the case of the layout.
        images: Paths of images.
        pairs: Whether an image has a mask or a labels file.
        masks: Paths of masks.
        is_labelled: Whether the path of an image gives its label.
    """

    dataset: SourceDataset
    exact: bool
    images: frozenset[str]
    pairs: bool
    is_labelled: bool = False
    masks: frozenset[str] = frozenset()

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """Return the key to compare fits: pairs, then images, then the case of the names."""
        return self.pairs, bool(self.images), self.exact


def fit_of(dataset: SourceDataset, paths: Sequence[str], *, exact: bool = True) -> Fit:
    """Classify canonical paths by the layout of a source dataset, exactly or ignoring case."""
    classify = (dataset.classifier if exact else dataset.loose_classifier).classify
    images: dict[str, ImageFile] = {}
    masks: set[str] = set()
    described: dict[tuple[str, ...], set[Key | None]] = defaultdict(set)
    for path in paths:
        record = classify(path)
        if isinstance(record, ImageFile):
            images[path] = record
        elif isinstance(record, Placed):
            if isinstance(record, MaskFile):
                masks.add(path)
            described[record.fields].add(key_of(record, record.fields))
    pairs = any(
        key_of(image, fields) in keys
        for fields, keys in described.items()
        for image in images.values()
    )
    is_labelled = any(image.label is not None for image in images.values())
    return Fit(dataset, exact, frozenset(images), pairs, is_labelled, frozenset(masks))


def fits_better(ours: Fit, paths: Sequence[str]) -> bool:
    """Return whether the layout of another source dataset fits better."""
    return any(fit.rank > ours.rank for fit in _others(ours.dataset, paths))


def strong_match(
    dataset: SourceDataset, paths: Sequence[str], images: Collection[str]
) -> Fit | None:
    """Return the fit of another source dataset that pairs images of this root with masks or a labels file.

    Args:
        dataset: The source dataset that the root should hold; its layout pairs nothing.
        paths: Canonical paths of all files.
        images: Those of the images that its layout finds. If there are any, another layout must use some
            of them: a folder may hold two datasets.
    """
    if fit_of(dataset, paths).pairs:  # the reason is in the files: links, for example
        return None
    for fit in _others(dataset, paths):
        if fit.pairs and (not images or not fit.images.isdisjoint(images)):
            return fit
    return None


def among_others(dataset: SourceDataset, paths: Sequence[str]) -> Fit | None:
    """Return the layout of another source dataset that finds most images in stray files; None if none."""
    fits = [fit for fit in _others(dataset, paths) if fit.exact and fit.pairs]
    return max(fits, key=lambda fit: len(fit.images), default=None)


def _others(dataset: SourceDataset, paths: Sequence[str]) -> Iterator[Fit]:
    for name in BUILT_IN:
        other = SOURCE_DATASETS.get(name)
        if other is not None and other is not dataset:
            yield fit_of(other, paths)
            yield fit_of(other, paths, exact=False)
