"""Load a root completely, and return the results for every file."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding import png as decoder
from anomaly_assets.roots.open import open_root
from anomaly_assets.tables import checks
from anomaly_assets.tables.checks import Finding, blocking_findings, evaluate
from anomaly_assets_tests.decoding.test_decoder import pillow_alone
from anomaly_assets_tests.warehouse.project import SPEC, Project

DECODERS = pytest.mark.parametrize("decode_with", ["pillow", "wuffs"])

GOOD, DEFECT = "bottle/train/good/000.png", "bottle/test/cut/000.png"
DEFECTS_MASK = "bottle/ground_truth/cut/000_mask.png"
BOTH: dict[str, bytes | None] = {GOOD: None, DEFECT: bytes([1] * 48)}
"""The samples of the fixture `good_and_defect`."""

_CHECKS = {
    check.name: check
    for group in (
        checks.IMAGES_CHECKS,
        checks.TENSOR_CHECKS,
        checks.LABEL_CHECKS,
        checks.REJECTED_CHECKS,
        checks.STRAY_CHECKS,
    )
    for check in group
}


@dataclass(frozen=True)
class Outcome:
    """Results for the files of one source dataset, by relative path.

    Attributes:
        samples: Image to its mask tensor, of all that can be trained on.
        rejected: File to the reason why it cannot be used.
        strays: File to the reason why it belongs to no image.
    """

    samples: dict[str, bytes | None]
    rejected: dict[str, str]
    strays: dict[str, str]


def decoding_with(name: str) -> AbstractContextManager[None]:
    """Decode with `wuffs`, or with `pillow` as if the faster decoder were not installed."""
    if name == "wuffs":
        if decoder.wuffs() is None:
            pytest.skip("pywuffs is not installed")
        return nullcontext()
    return pillow_alone()


def load_all(project: Project, dataset: str = "mvtec_ad", location: str | None = None) -> Outcome:
    """Load a root through dlt and decode it, without publishing, like a run of the asset graph."""
    location = location or str(project.folder / dataset)
    with project.warehouse.locked():
        load(SOURCE_DATASETS[dataset], location, project.warehouse, allow_strays=True)
        project.refresh_all()
        project.build(roots={dataset: open_root(location)})
        return outcome_of(project, dataset)


def decode_all(project: Project, dataset: str = "mvtec_ad", **options: Any) -> Outcome:
    """List and decode without dlt, for tests about contents."""
    with project.warehouse.locked():
        project.list_files()
        project.build(**options)
        return outcome_of(project, dataset)


def outcome_of(project: Project, dataset: str = "mvtec_ad") -> Outcome:
    """Return the results in the tables, after checking that the tables agree."""
    project.refresh_all()
    with project.warehouse.connect() as connection:
        assert blocking_findings(connection, SPEC) == {}
    samples = dict(
        project.rows(
            """
            SELECT images.relative_path, samples.mask_tensor
            FROM anomaly.samples JOIN images USING (image_id) WHERE images.source_dataset = ?
            """,
            [dataset],
        )
    )
    prefix = f"{dataset}/"
    query = "SELECT relative_path, reason FROM rejected_images WHERE starts_with(image_id, ?)"
    return Outcome(
        samples,
        dict(project.rows(query, [prefix])),
        dict(project.rows(f"SELECT relative_path, reason FROM {dataset}.stray_files")),
    )


def finding(project: Project, check: str, dataset: str = "mvtec_ad") -> Finding:
    """Return the finding of a check."""
    with project.warehouse.connect() as connection:
        ((_, found),) = evaluate(connection, _CHECKS[check], source_dataset=dataset, spec=SPEC)
    return found


def offenders(project: Project, check: str, dataset: str = "mvtec_ad") -> dict[str, str | None]:
    """Return all affected files of a check, with details."""
    found = finding(project, check, dataset)
    assert found.count == len(found.shown)
    return dict(found.shown)
