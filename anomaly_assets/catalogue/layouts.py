"""Compare a root with the layouts of all source datasets: another layout may fit better.

A lower-case copy of DAGM 2007 has images in the flat layout of MVTec AD, which would read its masks as
images. The layout of DAGM 2007 pairs these masks with images, and that of MVTec AD pairs none: only such a
*strong match* names another dataset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from anomaly_assets.datasets import SOURCE_DATASETS, SourceDataset
from anomaly_assets.datasets.known import BUILT_IN
from anomaly_assets.datasets.record import ImageFile, Key, MaskFile, Placed, key_of

Paths = Callable[[], Iterable[str]]
"""Function for the canonical paths of all files."""


@dataclass(frozen=True)
class Fit:
    """Fit of a layout to a root.

    Attributes:
        dataset: The source dataset of the layout.
        exact: Whether the names of folders have the case of the layout.
        images: Paths of images; none if nothing can be paired.
        pairs: Whether an image has a mask or a labels file.
        masks: Paths of masks.
        image_count: Number of images.
        is_labelled: Whether the path of an image gives its label.
    """

    dataset: SourceDataset
    exact: bool
    images: frozenset[str]
    pairs: bool
    image_count: int = 0
    is_labelled: bool = False
    masks: frozenset[str] = frozenset()

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """Return the key to compare fits: pairs, then images, then the case of the names."""
        return self.pairs, bool(self.image_count), self.exact


def fit_of(dataset: SourceDataset, paths: Paths, *, exact: bool = True) -> Fit:
    """Classify canonical paths by the layout of a source dataset, exactly or ignoring case.

    Only layouts with masks or tables need the paths of the images, and classify them again.
    """
    classify = (dataset.classifier if exact else dataset.loose_classifier).classify
    image_count, images = 0, set[str]()
    masks: set[str] = set()
    described: dict[tuple[str, ...], set[Key | None]] = defaultdict(set)
    pairs = is_labelled = False
    for path in paths():
        record = classify(path)
        if isinstance(record, ImageFile):
            is_labelled |= record.label is not None
            image_count += 1
        elif isinstance(record, Placed):
            if isinstance(record, MaskFile):
                masks.add(path)
            described[record.fields].add(key_of(record, record.fields))
    for path in paths() if image_count and described else ():
        record = classify(path)
        if isinstance(record, ImageFile):
            images.add(path)
            keys = ((key_of(record, fields), known) for fields, known in described.items())
            pairs = pairs or any(key in known for key, known in keys)
    return Fit(dataset, exact, frozenset(images), pairs, image_count, is_labelled, frozenset(masks))


def fits_better(ours: Fit, paths: Paths) -> bool:
    """Return whether the layout of another source dataset fits better."""
    return any(fit.rank > ours.rank for fit in _others(ours.dataset, paths))


def strong_match(
    dataset: SourceDataset, paths: Paths, images: Callable[[], Collection[str]]
) -> Fit | None:
    """Return the fit of another source dataset that pairs images of this root with masks or a labels file.

    Args:
        dataset: The source dataset that the root should hold; its layout pairs nothing.
        paths: Function for the canonical paths of all files.
        images: Function for those of the images that its layout finds. If there are any, another layout
            must use some of them: a folder may hold two datasets.
    """
    if fit_of(dataset, paths).pairs:  # the reason is in the files: links, for example
        return None
    for fit in _others(dataset, paths):
        if fit.pairs and (not images() or not fit.images.isdisjoint(images())):
            return fit
    return None


def among_others(dataset: SourceDataset, paths: Paths) -> Fit | None:
    """Return the layout of another source dataset that finds most images in stray files; None if none."""
    fits = [fit for fit in _others(dataset, paths) if fit.exact and fit.pairs]
    return max(fits, key=lambda fit: len(fit.images), default=None)


def _others(dataset: SourceDataset, paths: Paths) -> Iterator[Fit]:
    for name in BUILT_IN:
        other = SOURCE_DATASETS.get(name)
        if other is not None and other is not dataset:
            yield fit_of(other, paths)
            yield fit_of(other, paths, exact=False)
