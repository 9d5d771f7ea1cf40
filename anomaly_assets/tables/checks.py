"""Define data quality checks: each check is a query for the affected images, files or categories.

The queries are in `sql/checks/`. Each returns the columns `offender` and `detail`, and no row if the check
passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import duckdb

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.errors import WarehouseError
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.check_queries import CheckQueries
from anomaly_assets.tables.ddl import upstream_needed

MOST_SHOWN = 20
"""Limit for affected images or files that a finding names; all of them are counted."""

LOADED, DECODED, COMPARED, JUDGED = "loaded", "decoded", "compared", "judged"
"""Names of what checks need; the query of this name in `sql/` returns a row if it exists."""

_NO_DATA = {
    LOADED: "no file is loaded",
    DECODED: "no image is decoded",
    COMPARED: "no category was evaluated at two recipes with 10 good and 10 anomalous test images at least",
    JUDGED: "no category was evaluated with a threshold; `anomaly-assets evaluate` does that",
}


@dataclass(frozen=True)
class Check:
    """Property that the data should have.

    Attributes:
        name: Name of the check and of its query.
        description: The property, in one sentence.
        fault: The fault of one image or file, to be read after "1".
        faults: The fault of several, to be read after their number.
        advice: How to fix it, in sentences; `{them}` becomes "it" for one image or file.
        blocking: True if nothing may be published while it fails.
        of_images: True if its query returns ids of images, which can be drawn.
        data: What it needs: files of a catalogue, decoded images, or results of the baseline.
    """

    name: str
    description: str
    fault: str
    faults: str
    advice: str
    blocking: bool = False
    of_images: bool = False
    data: str = LOADED

    def verdict(self, finding: Finding, *, shown: bool = True) -> str:
        """Return the fault and how to fix it, or that there is no data yet.

        Args:
            finding: The result of the check.
            shown: Add how many of the affected images or files are shown, if not all are.
        """
        if finding.empty:
            return f"Nothing to check yet: {_NO_DATA[self.data]}."
        what, them = (self.fault, "it") if finding.count == 1 else (self.faults, "them")
        some = f" ({len(finding.shown)} of them are shown)" if shown and finding.truncated else ""
        return f"{finding.count:,} {what}{some}. {self.advice.format(them=them)}"


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        count: Number of affected images, files or categories.
        shown: Up to `MOST_SHOWN` of them, each with a detail.
        empty: True if the check passes only because there is no data.
    """

    count: int
    shown: list[tuple[str, str | None]]
    empty: bool = False

    @property
    def passed(self) -> bool:
        """Return True if the check passes."""
        return self.count == 0

    @property
    def truncated(self) -> bool:
        """Return True if `shown` does not name all that are affected."""
        return len(self.shown) < self.count


IMAGES_CHECKS = (
    Check(
        "image_ids_are_unique",
        "No two images have the same image_id.",
        "image_id belongs to several images",
        "image_ids belong to several images each",
        "Report this as a bug: the paths below a root are unique.",
        blocking=True,
    ),
)
TENSOR_CHECKS = (
    Check(
        "images_have_a_tensor_or_a_rejection",
        "Every catalogued image was either decoded or rejected with a reason.",
        "image was neither decoded in its current version nor rejected",
        "images were neither decoded in their current version nor rejected",
        "Materialize image_tensors with the roots of their source datasets set: it resumes where an "
        "interrupted run stopped.",
        blocking=True,
    ),
    Check(
        "tensors_have_the_configured_shape",
        "All tensors have the configured shape and transform.",
        "tensor has another shape or transform than configured",
        "tensors have another shape or transform than configured",
        "Materialize image_tensors with the roots of all source datasets set. To drop a dataset whose "
        "files you do not have, run `anomaly-assets forget NAME`.",
        blocking=True,
        data=DECODED,
    ),
    Check(
        "recipe_tensors_are_unique",
        "No image has two tensors of one recipe and tile.",
        "image has several tensors of one recipe",
        "images have several tensors of one recipe",
        "Report this as a bug: a run replaces the tensors of an image in one transaction.",
        blocking=True,
        data=DECODED,
    ),
    Check(
        "recipe_tensors_are_of_their_image",
        "All tensors of an image were made from the same bytes.",
        "image has tensors that were made from different versions of its file",
        "images have tensors that were made from different versions of their file",
        "Materialize image_tensors with the roots of their source datasets set, which makes the stale ones "
        "again.",
        blocking=True,
        data=DECODED,
    ),
    Check(
        "images_have_all_recipes",
        "Every image has a tensor of each recipe of its source dataset.",
        "image lacks the tensor of a recipe",
        "images lack the tensor of a recipe",
        "Materialize image_tensors with the roots of their source datasets set: it resumes where an "
        "interrupted run stopped.",
        blocking=True,
        data=DECODED,
    ),
    Check(
        "masks_have_the_size_of_their_image",
        "Every mask has the width and height of its image.",
        "mask has another size than its image",
        "masks have another size than their image",
        "Replace {them}: the tensors are resized anyway, and may be shifted.",
        of_images=True,
        data=DECODED,
    ),
    Check(
        "masks_are_binary",
        "Every mask file has at most two grey values.",
        "mask has more than two grey values",
        "masks have more than two grey values",
        "Export {them} again without smoothing: any value above zero counts as defective.",
        of_images=True,
        data=DECODED,
    ),
    Check(
        "masks_are_not_empty",
        "Every mask of an anomalous image has at least one defective pixel.",
        "mask of an anomalous image has no defective pixel",
        "masks of anomalous images have no defective pixel",
        "Draw the defect in {them}, or delete {them}.",
        of_images=True,
        data=DECODED,
    ),
    Check(
        "masks_do_not_cover_everything",
        "Every mask leaves at least one pixel that is not defective.",
        "mask covers its whole image",
        "masks cover their whole image",
        "Look at {them}: the file may be inverted, or may be the image itself.",
        of_images=True,
        data=DECODED,
    ),
    Check(
        "images_have_8_bits",
        "No grey image of 16 bits is clipped to 8 bits.",
        "grey image of 16 bits was clipped at 255 by an earlier release",
        "grey images of 16 bits were clipped at 255 by an earlier release",
        "Materialize image_tensors with the root of the source dataset set, which decodes {them} again.",
        of_images=True,
        data=DECODED,
    ),
    Check(
        "names_match_formats",
        "Every image and mask has the suffix of its format.",
        "file has the suffix of another format",
        "files have the suffix of another format",
        "The pixels are loaded. Rename {them} before you use {them} elsewhere.",
        of_images=True,
        data=DECODED,
    ),
)
LABEL_CHECKS = (
    Check(
        "anomalous_images_have_masks",
        "Every anomalous image has a ground-truth mask.",
        "anomalous image has no mask",
        "anomalous images have no mask",
        "Add the missing mask files, or exclude {them} from pixel-level evaluation.",
        of_images=True,
    ),
    Check(
        "training_images_are_good",
        "Training splits have good images only, if the declaration of their source dataset promises it.",
        "training image is anomalous",
        "training images are anomalous",
        "Move images of defects to the test split. If these are sound parts, rename their folder: only "
        "good, ok, normal and 0 mean good.",
        of_images=True,
    ),
    Check(
        "labels_are_known",
        "Every image has a label, by its path, a labels file or its mask.",
        "split of a category has images without a label, or without evidence for it",
        "splits of categories have images without a label, or without evidence for it",
        "Add or correct the labels file, masks or folders. `open_samples` and exports leave images of "
        "unknown label out, unless `include_unknown` is set.",
    ),
    Check(
        "labels_agree",
        "Path, labels file and mask give the same label.",
        "image has evidence for two labels",
        "images have evidence for two labels",
        "Correct the file that is wrong: folder, Labels.txt or mask.",
        of_images=True,
    ),
    Check(
        "counts_equal_the_official_ones",
        "Every category is complete compared with the official dataset, if its authors published counts.",
        "category is unknown or incomplete compared with the official dataset",
        "categories are unknown or incomplete compared with the official dataset",
        "Check your copy, or ignore this if you use a subset on purpose.",
    ),
    Check(
        "corrections_are_applied",
        "Every line of the correction files is applied.",
        "correction is not applied",
        "corrections are not applied",
        "Look at the image, then correct the line or remove it. A line for a file that was replaced needs "
        "the content_sha256 of the new file.",
    ),
)
REJECTED_CHECKS = (
    Check(
        "images_are_usable",
        "No file had to be rejected.",
        "file was rejected",
        "files were rejected",
        "Replace {them}; the next run decodes {them} again.",
        data=DECODED,
    ),
)
DUPLICATE_CHECKS = (
    Check(
        "contents_stay_in_one_split",
        "No image content is in two splits.",
        "image is in two splits",
        "images are in two splits",
        "Remove one copy of {them}, or a model is tested on its training data.",
        of_images=True,
        data=DECODED,
    ),
    Check(
        "contents_stay_in_one_category",
        "No image content is in two categories.",
        "image is in two categories",
        "images are in two categories",
        "Remove the copy in the wrong category.",
        of_images=True,
        data=DECODED,
    ),
)
NEAR_DUPLICATE_CHECKS = (
    Check(
        "near_duplicates_stay_in_one_split",
        "No two images that look like copies of each other are in two splits.",
        "image looks like a copy of one in another split",
        "images look like copies of images in another split",
        "Look at the pictures. If both show one photograph, exclude one with a correction, or remove its "
        "file: else a model is tested on its training data.",
        of_images=True,
        data=DECODED,
    ),
)
SPLIT_CHECKS = (
    Check(
        "folds_do_not_leak",
        "No near duplicates, and no images of one group, are in two folds of a split assignment.",
        "image belongs together with an image of another fold",
        "images belong together with images of another fold",
        "Assigned images never move. Exclude one image of each pair with a correction, or make another "
        "assignment with `anomaly-assets split`, which keeps them together.",
        of_images=True,
        data=DECODED,
    ),
    Check(
        "assignment_columns_exist",
        "Some image has a value of each column that the options of a split assignment name.",
        "column or attribute of a split assignment is gone",
        "columns or attributes of split assignments are gone",
        "Assigned images keep their fold, and new images are assigned without {them}. Restore the "
        "attribute in the declaration, or make another assignment with `anomaly-assets split`.",
    ),
)
METRICS_CHECKS = (
    Check(
        "detail_is_kept",
        "No category is clearly easier for the baseline at its finest recipe than at the common one.",
        "category loses detail at the common recipe",
        "categories lose detail at the common recipe",
        "Train on the recipe that is named: open_samples(recipe=...).",
        data=COMPARED,
    ),
)
SUSPECT_CHECKS = (
    Check(
        "labels_fit_the_scores",
        "No score of the baseline contradicts the label of its image.",
        "image has a score that contradicts its label",
        "images have scores that contradict their label",
        "Look at the pictures. Correct a wrong label with a line in a correction file; a right one needs "
        "nothing.",
        of_images=True,
        data=JUDGED,
    ),
)
STRAY_CHECKS = (
    Check(
        "most_files_belong_to_images",
        "At least half of the files below the root belong to images.",
        "root has more stray files than files of images",
        "roots have more stray files than files of images",
        "The root may have another layout than this dataset, or have been moved: compare the reasons in "
        "stray_files with the folders, and correct the root.",
    ),
    Check(
        "masks_belong_to_an_image",
        "Every mask belongs to exactly one image.",
        "mask belongs to no image, or to one that has another mask",
        "masks belong to no image, or to one that has another mask",
        "Add the missing image, or rename or delete {them}.",
    ),
    Check(
        "files_are_recognised",
        "Every file is an image, a mask, a labels file, a table, or known junk, and can be read in full.",
        "file is not a recognised image, mask or labels file, or has lines that cannot be used",
        "files are not recognised images, masks or labels files, or have lines that cannot be used",
        "Correct the lines of labels files and tables that the details name; rename, move or delete other "
        "files. Keep a symbolic link whose detail names a variable, and set that.",
    ),
)


CHECKS: Mapping[str, tuple[Check, ...]] = {
    "images": IMAGES_CHECKS,
    "image_tensors": TENSOR_CHECKS,
    "rejected_images": REJECTED_CHECKS,
    "samples": LABEL_CHECKS,
    "duplicate_images": DUPLICATE_CHECKS,
    "near_duplicates": NEAR_DUPLICATE_CHECKS,
    "splits": SPLIT_CHECKS,
    "baseline_metrics": METRICS_CHECKS,
    "suspect_images": SUSPECT_CHECKS,
}
"""Checks of the harmonised tables, the summaries and the evaluation, by asset."""

IMAGE_CHECKS = tuple(check for checks in CHECKS.values() for check in checks if check.of_images)
"""Checks whose queries return ids of images."""

PUBLISHED_CHECK = Check(
    "published_counts_equal_the_warehouse",
    "The published database has as many rows as the warehouse, table by table.",
    "part of the published database differs from the warehouse",
    "parts of the published database differ from the warehouse",
    "Materialize published_database again.",
    blocking=True,
)


def blocking_findings(connection: duckdb.DuckDBPyConnection, spec: Recipe) -> dict[str, Finding]:
    """Return the blocking checks on the warehouse that fail, by name."""
    values, queries = _values(None, spec), CheckQueries(connection)
    findings = {
        check.name: _found(queries, check, values)
        for check in (*IMAGES_CHECKS, *TENSOR_CHECKS)
        if check.blocking
    }
    return {name: finding for name, finding in findings.items() if not finding.passed}


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    *checks: Check,
    source_dataset: str | None = None,
    spec: Recipe | None = None,
    most: int = MOST_SHOWN,
    queries: CheckQueries | None = None,
) -> Iterator[tuple[Check, Finding]]:
    """Run the queries of checks, one after the other.

    Args:
        connection: The warehouse.
        checks: The checks to run.
        source_dataset: Source dataset, for checks on a single source dataset; else None.
        spec: Tensor shape, for the check on the configured shape; else None.
        most: Limit for affected images or files that a finding names.
        queries: What further calls share, if the warehouse does not change between them; None for one call.

    Raises:
        WarehouseError: A checked table does not exist yet.
    """
    values = _values(source_dataset, spec)
    queries = CheckQueries(connection) if queries is None else queries
    with queries.labels_at_hand(f"checks/{check.name}" for check in checks):
        for check in checks:
            with upstream_needed():
                finding = _found(queries, check, values, most)
                empty = finding.passed and not queries.has_rows(check.data, values)
            yield check, replace(finding, empty=empty)


def affected_images(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """Return the ids of all images that a check names; of copies and near duplicates, the ids of all.

    Args:
        connection: A warehouse or a published database.
        name: Name of a check of `IMAGE_CHECKS`, or of the check of corrections.

    Raises:
        LookupError: No check about images has this name; the message lists the names.
        WarehouseError: The database lacks a table or column that the check reads.
    """
    names = sorted({*(check.name for check in IMAGE_CHECKS), _OF_CORRECTIONS})
    if name not in names:
        raise LookupError(f"{name!r} is no check that names images. These are: {', '.join(names)}.")
    try:
        rows = CheckQueries(connection).rows(f"checks/{name}", _values(None, None))
        found = {image_id for image_id, _ in rows}
        if further := FURTHER.get(name):
            parameters = {"found": sorted(found)} if "$found" in further else {}
            others = {
                image_id for (image_id,) in connection.execute(further, parameters).fetchall()
            }
            found = others if name == _OF_CORRECTIONS else found | others
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise WarehouseError(
            f"The database lacks what the check {name} reads. If an earlier release published it, run "
            "`anomaly-assets materialize`, which publishes it again."
        ) from error
    return sorted(found)


_OF_CORRECTIONS = "corrections_are_applied"
"""Check that names lines of files, and no images."""

_COPIES = "SELECT unnest(image_ids) FROM duplicate_images WHERE list_contains($found, image_ids[1])"

FURTHER = {
    "contents_stay_in_one_split": _COPIES,
    "contents_stay_in_one_category": _COPIES,
    "near_duplicates_stay_in_one_split": "SELECT image_id_b FROM near_duplicates WHERE crosses_splits",
    "folds_do_not_leak": """
SELECT other.image_id
FROM near_duplicates AS pairs
JOIN splits AS one ON one.image_id = pairs.image_id_a
JOIN splits AS other ON other.image_id = pairs.image_id_b AND other.assignment = one.assignment
WHERE one.fold <> other.fold
""",
    _OF_CORRECTIONS: """
SELECT facts.image_id
FROM corrections JOIN facts ON facts.image_id = corrections.image_id
WHERE status <> 'applied'
UNION
SELECT facts.image_id
FROM corrections JOIN facts ON facts.content_sha256 = corrections.content_sha256
WHERE status <> 'applied'
""",
}
"""Queries for the other images of what a check names, such as the copies."""


def _values(source_dataset: str | None, spec: Recipe | None) -> dict[str, Any]:
    of_spec = {**asdict(spec), "transform": spec.transform} if spec else {}
    # A dataset that a release before 0.2 loaded has no declaration in the database.
    promising = [name for name, each in SOURCE_DATASETS.items() if each.training_is_good]
    return {"source_dataset": source_dataset, "promising": promising, **of_spec}


def _found(
    queries: CheckQueries, check: Check, values: dict[str, Any], most: int = MOST_SHOWN
) -> Finding:
    """Fetch the affected rows that are shown; if there are more, count all of them in DuckDB."""
    name = f"checks/{check.name}"
    shown = queries.rows(name, values, f"{{}} LIMIT {most}")
    count = len(shown)
    if count == most:
        [(count,)] = queries.rows(name, values, "SELECT count(*) FROM ({})")
    return Finding(count, shown)
