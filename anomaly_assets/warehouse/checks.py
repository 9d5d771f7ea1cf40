"""Data quality, one property per check: a query whose rows are the offenders.

The queries lie in `sql/checks/`; each returns `offender` and `detail`, and no row when all is well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from anomaly_assets.datasets import official_counts
from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.schema import statement

MOST_SHOWN = 20
"""Offenders that a finding names; all of them are counted."""


@dataclass(frozen=True)
class Check:
    """A property that the data should have.

    Attributes:
        name: Name of the check and of its query.
        description: What holds when the check passes, in one sentence.
        advice: What to do when it fails.
        blocking: Whether nothing may be published while it fails.
    """

    name: str
    description: str
    advice: str
    blocking: bool = False


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        count: Number of offenders.
        shown: Up to `MOST_SHOWN` of them, as (offender, detail).
    """

    count: int
    shown: list[tuple[str, str | None]]

    @property
    def passed(self) -> bool:
        """Whether nobody offends."""
        return self.count == 0


IMAGES_CHECKS = (
    Check(
        "image_ids_are_unique",
        "No two images have the same image_id.",
        "Report this as a bug: the paths below a root are unique.",
        blocking=True,
    ),
    Check(
        "anomalous_images_have_masks",
        "Every anomalous image has a ground-truth mask.",
        "Add the missing masks, or leave these images out of pixel-level evaluation.",
    ),
    Check(
        "counts_equal_the_official_ones",
        "Every category is an official one and complete.",
        "Compare your copy with the published one; excerpts are partial by intent.",
    ),
)
TENSOR_CHECKS = (
    Check(
        "images_have_a_tensor_or_a_rejection",
        "Every catalogued image was either decoded or rejected with a reason.",
        "Materialize image_tensors; an interrupted run resumes where it stopped.",
        blocking=True,
    ),
    Check(
        "tensors_have_the_configured_shape",
        "All tensors have the shape and the transform that are configured.",
        "Materialize image_tensors with the roots of all source datasets set.",
        blocking=True,
    ),
    Check(
        "masks_have_the_size_of_their_image",
        "Every mask has the width and height of its image.",
        "Replace these masks; their tensors are resized all the same and may be shifted.",
    ),
    Check(
        "masks_are_binary",
        "Every mask file has at most two grey values.",
        "Export the masks again without smoothing; any value above zero counts as defective.",
    ),
    Check(
        "masks_are_not_empty",
        "Every mask has at least one defective pixel.",
        "Draw the defect, or delete the mask.",
    ),
    Check(
        "images_have_8_bits",
        "No grey image has 16 bits.",
        "Convert these images to 8 bits yourself: values above 255 were cut off.",
    ),
)
REJECTED_CHECKS = (
    Check(
        "images_are_usable",
        "No file had to be rejected.",
        "Replace the files; they are tried again when they change.",
    ),
)
DUPLICATE_CHECKS = (
    Check(
        "contents_stay_in_one_split",
        "No image content lies in train and in test.",
        "Remove one copy: a model would be tested on what it was trained on.",
    ),
    Check(
        "contents_stay_in_one_category",
        "No image content lies in two categories.",
        "Remove the copy that is in the wrong category.",
    ),
)
STRAY_CHECKS = (
    Check(
        "masks_belong_to_an_image",
        "Every mask belongs to exactly one image.",
        "Add the missing image, rename the mask, or delete it.",
    ),
    Check(
        "files_are_recognised",
        "Every file is an image, a mask, a labels file, or known junk.",
        "Rename, move or delete these files; the detail says what is wrong with each.",
    ),
)
CATALOGUE_CHECKS: Mapping[str, tuple[Check, ...]] = {
    "mvtec_ad": (
        Check(
            "training_images_are_good",
            "MVTec AD's training split holds good images only.",
            "Move the anomalous images below test/.",
        ),
    ),
    "dagm_2007": (
        Check(
            "declared_labels_agree_with_masks",
            "Labels.txt declares an image anomalous exactly if it has a mask.",
            "Correct Labels.txt or the masks; until then either of them makes an image anomalous.",
        ),
    ),
}
"""Checks on the catalogue of one source dataset."""

PUBLISHED_CHECK = Check(
    "published_counts_equal_the_warehouse",
    "The published database has as many rows as the warehouse, table by table.",
    "Materialize published_database again.",
    blocking=True,
)


def blocking_findings(
    connection: duckdb.DuckDBPyConnection, spec: TensorSpec
) -> dict[str, Finding]:
    """Blocking checks on the warehouse that fail, by name."""
    findings = {
        check.name: evaluate(connection, check, spec=spec)
        for check in (*IMAGES_CHECKS, *TENSOR_CHECKS)
        if check.blocking
    }
    return {name: finding for name, finding in findings.items() if not finding.passed}


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    check: Check,
    *,
    source_dataset: str | None = None,
    spec: TensorSpec | None = None,
) -> Finding:
    """Run the query of a check.

    Args:
        connection: The warehouse.
        check: Which property.
        source_dataset: For checks on one source dataset.
        spec: For the check on the configured shape.
    """
    query = statement(connection, f"checks/{check.name}")
    values: dict[str, Any] = {"source_dataset": source_dataset}
    if spec is not None:
        values |= {**asdict(spec), "transform": spec.transform}
    if "$official" in query:
        values["official"] = [asdict(count) for count in official_counts()]
    parameters = {name: value for name, value in values.items() if f"${name}" in query}
    rows = connection.execute(query, parameters).fetchall()
    return Finding(len(rows), rows[:MOST_SHOWN])
