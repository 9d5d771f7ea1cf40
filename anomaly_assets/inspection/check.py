"""Apply a declaration to a root without loading anything.

The root is listed as for a load. Up to 200 masks are decoded at a small size, because their content may
decide about labels, and some images of each suffix, because some may be unusable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from anomaly_assets.catalogue.image_rows import mask_files
from anomaly_assets.catalogue.listing import Catalog, list_catalog
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.words import UNKNOWN
from anomaly_assets.inspection import foretold
from anomaly_assets.inspection.sample import Sample, read_sample
from anomaly_assets.roots.base import Root

MOST_MASKS = 200
"""Maximum number of masks whose content is read."""

_LABELS = ("good", "anomalous")


class Found(NamedTuple):
    """An image as a run would load it.

    Attributes:
        path: Canonical path below the root.
        file: Path of the file as it is below the root.
        category: Category.
        split: Split.
        label: Label; `by mask` if it depends on a mask that was not read.
        source: Evidence of the label, as in the column `label_source`.
        defect_type: Type of the defect.
        masks: Path, URI and version of each mask file; empty for shapes of a table.
        sides: Labels by all evidence, each with its source.
    """

    path: str
    file: str
    category: str
    split: str
    label: str
    source: str
    defect_type: str | None
    masks: tuple[tuple[str, str, str], ...]
    sides: Mapping[str, str]


BY_MASK = "by mask"
"""Label of an image whose mask decides and was not read."""


@dataclass(frozen=True)
class Inspection:
    """Result of applying a declaration to a root.

    Attributes:
        dataset: The source dataset.
        root_uri: URI of the root.
        catalog: The listing.
        images: Images as a run would load them.
        sample: Images and masks whose content was read.
        refusal: Why the first load would be refused although there are images; None if it would not.
    """

    dataset: SourceDataset
    root_uri: str
    catalog: Catalog
    images: Sequence[Found]
    sample: Sample = field(default_factory=Sample)
    refusal: str | None = None

    @property
    def would_load(self) -> bool:
        """Return whether a first run would load images, and could use any of them."""
        return (
            bool(self.images)
            and self.catalog.other is None
            and self.refusal is None
            and not foretold.is_nothing_usable(self.sample)
        )

    @property
    def masks(self) -> int:
        """Return the number of images with a mask."""
        return self.catalog.images.num_rows - self.catalog.images["mask_source_uri"].null_count

    @property
    def counts(self) -> Mapping[tuple[str, str, str, str], int]:
        """Return the number of images by category, split, label and evidence."""
        return Counter((each.category, each.split, each.label, each.source) for each in self.images)

    @property
    def strays(self) -> Mapping[str, Sequence[str]]:
        """Return the paths of stray files by reason, the most frequent reason first."""
        found: dict[str, list[str]] = {}
        for row in self.catalog.stray_files.to_pylist():
            found.setdefault(row["reason"], []).append(row["relative_path"])
        return dict(sorted(found.items(), key=lambda each: (-len(each[1]), each[0])))

    @property
    def details(self) -> Mapping[str, str]:
        """Return the details of stray files by path, for those that have one."""
        rows = self.catalog.stray_files.to_pylist()
        return {row["relative_path"]: row["detail"] for row in rows if row["detail"]}


def inspect(
    dataset: SourceDataset, root: Root, most_masks: int = MOST_MASKS, depth: int | None = None
) -> Inspection:
    """List a root, and read the content of some masks and images.

    Args:
        dataset: The source dataset.
        root: The root.
        most_masks: Masks to read at most; which ones depends on their paths alone.
        depth: Bits that 16-bit files use; None to take what each file states.

    Raises:
        RootError: The root cannot be listed.
    """
    catalog = list_catalog(dataset, root)
    rows = catalog.images.to_pylist()
    sample = read_sample(dataset, root, rows, most_masks, depth)
    bad = {each.path for each in sample.unusable if each.is_mask}
    images = [
        _found(row, root, sample.areas.get(row["image_id"]), row["mask_relative_path"] in bad)
        for row in rows
    ]
    refusal = foretold.refusal(dataset, root.uri, catalog)
    return Inspection(dataset, root.uri, catalog, images, sample, refusal)


def _found(row: Mapping[str, Any], root: Root, area: float | None, has_bad_mask: bool) -> Found:
    """Return a row with the label that the view `images` would give it."""
    sides = dict(_sides(row, area))
    label, source = row["label"], row["label_source"]
    for evidence in ("table", "path", "labels_file", "mask"):
        if evidence in sides:
            label, source = sides[evidence], evidence
            break
    if source == "labels_file" and label == "good" and sides.get("mask") == "anomalous":
        label, source = "anomalous", "mask"
    if source in ("none", "default") and row["mask_source_uri"] is not None and not has_bad_mask:
        label, source = BY_MASK, "mask"
    defect_type = row["defect_type"]
    if label == "good":
        defect_type = None
    elif label == "anomalous":
        defect_type = defect_type or "unspecified"
    return Found(
        row["relative_path"],
        root.path_of(row["source_uri"]) or row["relative_path"],
        row["category"],
        row["split"],
        label if label in (*_LABELS, BY_MASK) else UNKNOWN,
        source,
        defect_type,
        tuple(mask_files(row)),
        sides,
    )


def _sides(row: Mapping[str, Any], area: float | None) -> Iterator[tuple[str, str]]:
    for source, column in (
        ("table", "table_label_index"),
        ("path", "path_label_index"),
        ("labels_file", "declared_label_index"),
    ):
        if row[column] is not None:
            yield source, _LABELS[row[column]]
    if area is not None:
        yield "mask", _LABELS[area > 0]
