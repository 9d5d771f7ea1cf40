"""Predict what a run would refuse or reject, and what it would leave out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.classify import Classifier
from anomaly_assets.datasets.names import shown
from anomaly_assets.datasets.record import ImageFile, MaskFile, Stray
from anomaly_assets.decoding.transform import NEEDS_BIT_DEPTH
from anomaly_assets.inspection.sample import Sample, Unusable
from anomaly_assets.settings import depth_variable

if TYPE_CHECKING:
    from anomaly_assets.catalogue.listing import Catalog

_MUCH_SMALLER = 16
"""Factor between the pixels of most images and those of one that may be a thumbnail."""


def refusal(dataset: SourceDataset, root_uri: str, catalog: Catalog) -> str | None:
    """Return why the first load of images of a root would be refused; None if it would not."""
    from anomaly_assets.catalogue.refusals import UnrecognisedRootError, refuse_mostly_strays

    if catalog.empty_because:
        return None
    try:
        refuse_mostly_strays(dataset, root_uri, catalog)
    except UnrecognisedRootError as error:
        return (
            f"The first run would refuse this root. {error} Or declare the files that are not needed: "
            'strays = ["a pattern"].'
        )
    return None


def unusable(dataset: SourceDataset, sample: Sample) -> Iterator[str]:
    """Yield sentences about files that a run would reject, by their reasons."""
    by_reason: dict[tuple[bool, str], list[Unusable]] = defaultdict(list)
    for each in sample.unusable:
        by_reason[each.is_mask, each.reason].append(each)
    for (is_mask, reason), found in by_reason.items():
        read = len(sample.areas) + sum(each.is_mask for each in sample.unusable)
        of = f"{read:,} masks" if is_mask else f"{sample.images:,} images"
        detail = shown(found[0].detail).rstrip(".")
        remedy = ""
        if reason == NEEDS_BIT_DEPTH:
            variable = depth_variable(dataset.name)
            remedy = f" In the TOML file, depth = 12 is the same as {variable}=12."
        yield (
            f"{len(found):,} of the {of} that were read would be rejected ({reason}), such as "
            f"{shown(found[0].path)}: {detail}.{remedy}"
        )
    if is_nothing_usable(sample):
        yield "None of the images that were read can be used."


def is_nothing_usable(sample: Sample) -> bool:
    """Return whether all images that were read would be rejected."""
    return bool(sample.images) and not sample.sizes


def thumbnails(sample: Sample) -> Iterator[str]:
    """Yield a sentence about images that are much smaller than most."""
    if not sample.sizes:
        return
    usual = median(width * height for width, height in sample.sizes.values())
    small = {
        path: size
        for path, size in sample.sizes.items()
        if size[0] * size[1] * _MUCH_SMALLER <= usual
    }
    if small:
        path, (width, height) = min(small.items())
        yield (
            f"{len(small):,} of the {len(sample.sizes):,} images that were read are much smaller than the "
            f"others, such as {shown(path)} ({width} x {height}): if they are thumbnails, name them under "
            "`strays`."
        )


def declared_strays(dataset: SourceDataset, catalog: Catalog) -> Iterator[str]:
    """Yield a sentence about images and masks that a pattern of `strays` takes."""
    declaration = dataset.declaration
    if declaration.is_built_in or not declaration.strays:
        return
    without = Classifier(replace(declaration, strays=()))
    found: dict[str, list[str]] = defaultdict(list)
    for path in catalog.stray_files["relative_path"].to_pylist():
        if not isinstance(dataset.classify(path), Stray):
            continue
        other = without.classify(path)
        if isinstance(other, (ImageFile, MaskFile)):
            found["images" if isinstance(other, ImageFile) else "masks"].append(path)
    for kind, paths in found.items():
        yield (
            f"{len(paths):,} {'files match' if len(paths) > 1 else 'file matches'} `strays` and would be "
            f"{kind} otherwise, such as {shown(paths[0])}."
        )
