"""Data quality, one property per check: a query whose rows are the offenders.

The queries lie in `sql/checks/`; each returns `offender` and `detail`, and no row when all is well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import duckdb

from anomaly_assets.datasets import SourceDataset, official_counts
from anomaly_assets.tables.ddl import statement, upstream_needed
from anomaly_assets.tensor_spec import TensorSpec

MOST_SHOWN = 20
"""Offenders that a finding names; all of them are counted."""


@dataclass(frozen=True)
class Check:
    """A property that the data should have.

    Attributes:
        name: Name of the check and of its query.
        description: What holds when the check passes, in one sentence.
        fault: What is wrong with one offender, to be read after "1".
        faults: What is wrong with several, to be read after their number.
        advice: What to do then; the rest of that sentence.
        blocking: Whether nothing may be published while it fails.
        of_images: Whether its offenders are ids of images, which can be shown.
        of_decoded: Whether it is about what decoding found; else it is about what was loaded.
    """

    name: str
    description: str
    fault: str
    faults: str
    advice: str
    blocking: bool = False
    of_images: bool = False
    of_decoded: bool = False

    def verdict(self, finding: Finding) -> str:
        """Return what is wrong and what to do, or that there is no data yet, in one sentence."""
        if finding.empty:
            missing = "image is decoded" if self.of_decoded else "file is loaded"
            return f"Nothing to check yet: no {missing}."
        what = self.fault if finding.count == 1 else self.faults
        some = f" ({len(finding.shown)} of them are shown)" if finding.truncated else ""
        return f"{finding.count:,} {what}{some}: {self.advice}."


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        count: Number of offenders.
        shown: Up to `MOST_SHOWN` of them, as (offender, detail).
        empty: Whether there is no offender because there is no data.
    """

    count: int
    shown: list[tuple[str, str | None]]
    empty: bool = False

    @property
    def passed(self) -> bool:
        """Whether nobody offends."""
        return self.count == 0

    @property
    def truncated(self) -> bool:
        """Whether there are more offenders than are named."""
        return len(self.shown) < self.count


IMAGES_CHECKS = (
    Check(
        "image_ids_are_unique",
        "No two images have the same image_id.",
        "image_id belongs to several images",
        "image_ids belong to several images each",
        "report this as a bug, because the paths below a root are unique",
        blocking=True,
    ),
    Check(
        "anomalous_images_have_masks",
        "Every anomalous image has a ground-truth mask.",
        "anomalous image has no mask",
        "anomalous images have no mask",
        "add the missing masks, or leave these images out of pixel-level evaluation",
        of_images=True,
    ),
    Check(
        "counts_equal_the_official_ones",
        "Every category is an official one and complete, where the authors published counts.",
        "category is not an official one, or not complete",
        "categories are not official ones, or not complete",
        "compare your copy with the published one, unless it is an excerpt by intent",
    ),
)
TENSOR_CHECKS = (
    Check(
        "images_have_a_tensor_or_a_rejection",
        "Every catalogued image was either decoded or rejected with a reason.",
        "image was neither decoded as it is now nor rejected",
        "images were neither decoded as they are now nor rejected",
        "materialize image_tensors, which resumes where an interrupted run stopped",
        blocking=True,
    ),
    Check(
        "tensors_have_the_configured_shape",
        "All tensors have the shape and the transform that are configured.",
        "tensor has another shape or transform than configured",
        "tensors have another shape or transform than configured",
        "materialize image_tensors with the roots of all source datasets set",
        blocking=True,
        of_decoded=True,
    ),
    Check(
        "masks_have_the_size_of_their_image",
        "Every mask has the width and height of its image.",
        "mask has another size than its image",
        "masks have another size than their image",
        "replace them, because their tensors are resized all the same and may be shifted",
        of_images=True,
        of_decoded=True,
    ),
    Check(
        "masks_are_binary",
        "Every mask file has at most two grey values.",
        "mask has more than two grey values",
        "masks have more than two grey values",
        "export them again without smoothing, because any value above zero counts as defective",
        of_images=True,
        of_decoded=True,
    ),
    Check(
        "masks_are_not_empty",
        "Every mask has at least one defective pixel.",
        "mask has no defective pixel",
        "masks have no defective pixel",
        "draw the defect, or delete the mask",
        of_images=True,
        of_decoded=True,
    ),
    Check(
        "images_have_8_bits",
        "No grey image has 16 bits.",
        "grey image has 16 bits",
        "grey images have 16 bits",
        "convert them to 8 bits yourself, because values above 255 were cut off",
        of_images=True,
        of_decoded=True,
    ),
)
REJECTED_CHECKS = (
    Check(
        "images_are_usable",
        "No file had to be rejected.",
        "file was rejected",
        "files were rejected",
        "replace them, and they are tried again",
        of_decoded=True,
    ),
)
DUPLICATE_CHECKS = (
    Check(
        "contents_stay_in_one_split",
        "No image content lies in train and in test.",
        "image lies in train and in test",
        "images lie in train and in test",
        "remove one copy, or a model is tested on what it was trained on",
        of_images=True,
        of_decoded=True,
    ),
    Check(
        "contents_stay_in_one_category",
        "No image content lies in two categories.",
        "image lies in two categories",
        "images lie in two categories",
        "remove the copy that is in the wrong one",
        of_images=True,
        of_decoded=True,
    ),
)
STRAY_CHECKS = (
    Check(
        "masks_belong_to_an_image",
        "Every mask belongs to exactly one image.",
        "mask belongs to no image, or to one that has another",
        "masks belong to no image, or to one that has another",
        "add the missing image, rename the mask, or delete it",
    ),
    Check(
        "files_are_recognised",
        "Every file is an image, a mask, a labels file, or known junk.",
        "file is no image, mask, labels file or known junk",
        "files are no images, masks, labels files or known junk",
        "rename, move or delete them, as the detail suggests",
    ),
)


def catalogue_checks(dataset: SourceDataset) -> Iterator[Check]:
    """Yield the checks on the catalogue of a source dataset: of what its authors say about it."""
    if dataset.training_is_good:
        yield Check(
            "training_images_are_good",
            f"{dataset.title}'s training split holds good images only.",
            "training image is anomalous",
            "training images are anomalous",
            "move them into the test split",
            of_images=True,
        )
    if dataset.parse_labels:
        yield Check(
            "declared_labels_agree_with_masks",
            "Labels.txt declares an image anomalous exactly if it has a mask.",
            "image has a mask where Labels.txt says good, or none where it says anomalous",
            "images have a mask where Labels.txt says good, or none where it says anomalous",
            "correct Labels.txt or the masks, because until then either of them makes an image anomalous",
            of_images=True,
        )


PUBLISHED_CHECK = Check(
    "published_counts_equal_the_warehouse",
    "The published database has as many rows as the warehouse, table by table.",
    "part of the published database differs from the warehouse",
    "parts of the published database differ from the warehouse",
    "materialize published_database again",
    blocking=True,
)


def blocking_findings(
    connection: duckdb.DuckDBPyConnection, spec: TensorSpec
) -> dict[str, Finding]:
    """Blocking checks on the warehouse that fail, by name."""
    values = _values(None, spec)
    findings = {
        check.name: _found(connection, check, values)
        for check in (*IMAGES_CHECKS, *TENSOR_CHECKS)
        if check.blocking
    }
    return {name: finding for name, finding in findings.items() if not finding.passed}


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    *checks: Check,
    source_dataset: str | None = None,
    spec: TensorSpec | None = None,
) -> Iterator[tuple[Check, Finding]]:
    """Run the queries of checks, one after the other.

    Args:
        connection: The warehouse.
        checks: Which properties.
        source_dataset: For checks on one source dataset.
        spec: For the check on the configured shape.

    Raises:
        WarehouseError: The table that one checks does not exist yet.
    """
    values = _values(source_dataset, spec)

    @cache  # asked once for all checks that find nothing
    def has_rows(data: str) -> bool:
        return bool(_rows(connection, data, values))

    for check in checks:
        with upstream_needed():
            finding = _found(connection, check, values)
            data = "decoded" if check.of_decoded else "loaded"
            empty = finding.passed and not has_rows(data)
        yield check, replace(finding, empty=empty)


def _values(source_dataset: str | None, spec: TensorSpec | None) -> dict[str, Any]:
    of_spec = {**asdict(spec), "transform": spec.transform} if spec else {}
    return {"source_dataset": source_dataset, **of_spec}


def _found(connection: duckdb.DuckDBPyConnection, check: Check, values: dict[str, Any]) -> Finding:
    rows = _rows(connection, f"checks/{check.name}", values)
    return Finding(len(rows), rows[:MOST_SHOWN])


def _rows(connection: duckdb.DuckDBPyConnection, name: str, values: dict[str, Any]) -> list[Any]:
    query = statement(connection, name)
    if "$official" in query:
        values = {**values, "official": [asdict(count) for count in official_counts()]}
    parameters = {name: value for name, value in values.items() if f"${name}" in query}
    return connection.execute(query, parameters).fetchall()
