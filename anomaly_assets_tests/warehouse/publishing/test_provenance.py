"""Test the provenance of a snapshot."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

import anomaly_assets
from anomaly_assets.warehouse.provenance import code_version, provenance
from anomaly_assets_tests.warehouse.project import SPEC, Project


@pytest.mark.slow
def test_a_snapshot_names_roots_loads_transform_version_and_rows(project: Project) -> None:
    publication = project.warehouse.publish(project.folder / "shared/a.duckdb", SPEC, run_id="run")
    origin = publication.provenance
    loads = dict(project.rows("SELECT source_dataset, load_id FROM load_history"))
    assert set(loads) == {"mvtec_ad", "dagm_2007"}
    assert origin["snapshot_id"] == publication.snapshot_id
    assert origin["load_ids"] == loads
    assert origin["roots"] == {
        name: (project.roots_folder / name).as_uri() for name in ("dagm_2007", "mvtec_ad")
    }
    assert origin["transform"] == "lanczos-8x6x3"
    assert origin["code_version"] == code_version()
    assert origin["run_id"] == "run"
    published_at = origin["published_at"]
    assert isinstance(published_at, datetime)
    assert 0 <= (datetime.now(timezone.utc) - published_at).total_seconds() < 600
    assert origin["row_counts"] == {
        **{"images": 9, "effective_images": 9, "image_tensors": 9, "facts": 9, "samples": 9},
        **{"samples_without_tensors": 9, "correction_lines": 0, "correction_pins": 0},
        **{"image_previews": 9, "rejected_images": 0, "recipe_tensors": 0, "recipes": 0},
        **{"dataset_summary": 8, "pixel_statistics": 3, "defect_summary": 3},
        **{"duplicate_images": 0, "near_duplicates": 0, "load_history": 2},
        **{"source_datasets": 2, "consents": 0, "correction_lines": 0, "correction_pins": 0},
        **{"splits": 0, "assignments": 0, "assigned_contents": 0},
        **{"evaluations": 0, "baseline_scores": 0, "baseline_metrics": 0, "baseline_maps": 0},
        **{"suspect_images": 0},
        **{"quality": 32, "quality_images": 4},
    }
    with project.warehouse.connect() as connection:
        assert provenance(connection, publication.snapshot_id) == origin
        assert provenance(connection, "unknown") == {}


def test_the_version_is_that_of_the_package_and_of_its_files() -> None:
    project_file = Path(anomaly_assets.__file__).parents[1] / "pyproject.toml"
    declared = re.search(r'^version = "(.+)"$', project_file.read_text(), re.MULTILINE)
    assert declared
    assert re.fullmatch(rf"{re.escape(declared[1])}\+[0-9a-f]{{12}}", code_version())
