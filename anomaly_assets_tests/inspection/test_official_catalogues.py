"""Test the inspection of trees in the official layout of each built-in dataset, complete and incomplete."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.declaration_files import BUILT_IN
from anomaly_assets.datasets.known import official_counts
from anomaly_assets.inspection.check import Inspection, inspect
from anomaly_assets.inspection.report import odd
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.official_trees import (
    Truth,
    Variation,
    flattened_copy,
    partial_copy,
    renamed_copy,
    write_tree,
)

VARIATIONS: dict[str, Variation] = {
    "official": lambda truth: truth,
    "renamed": renamed_copy,
    "partial": partial_copy,
}


def inspected(name: str, folder: Path) -> Inspection:
    return inspect(SOURCE_DATASETS[name], open_root(str(folder)), most_masks=10_000)


def assert_as_in_the_truth(found: Inspection, truth: Truth) -> None:
    listed = {
        image.path: (image.category, image.split, image.label, image.defect_type)
        for image in found.images
    }
    assert listed == {
        image.path: (image.category, image.split, image.label, image.defect_type)
        for image in truth.images
    }
    masks = {
        image.path: sorted(path for path, _, _ in image.masks)
        for image in found.images
        if image.masks
    }
    assert masks == {image.path: sorted(image.masks) for image in truth.images if image.masks}
    strays = {row["relative_path"]: row["reason"] for row in found.catalog.stray_files.to_pylist()}
    missing = [path for path, reason in strays.items() if reason == "declared_but_missing"]
    assert {path for path in strays if path not in missing} == set(truth.strays)
    # Rows of Real-IAD name paths below the folder of their category.
    names = {path.rpartition("/")[2] for path in missing if "mask" not in path.lower()}
    assert names == {path.rpartition("/")[2] for path in truth.missing}


@pytest.mark.slow
@pytest.mark.parametrize("how", VARIATIONS)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_small_tree_of_the_official_shape(name: str, how: str, tmp_path: Path) -> None:
    truth = write_tree(name, tmp_path, vary=VARIATIONS[how])
    assert_as_in_the_truth(inspected(name, tmp_path), truth)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_partial_copy_is_reported_as_such(name: str, tmp_path: Path) -> None:
    write_tree(name, tmp_path, vary=partial_copy)
    counts = [*official_counts([SOURCE_DATASETS[name]])]
    sentences = [*odd(inspected(name, tmp_path))]
    assert any("The declared counts differ" in each for each in sentences) == bool(counts)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_flattened_copy_is_reported_as_such(name: str, tmp_path: Path) -> None:
    truth = write_tree(name, tmp_path, vary=flattened_copy)
    found = inspected(name, tmp_path)
    assert found.images == []
    assert {*found.strays} == {"unrecognised_path"}
    assert sum(map(len, found.strays.values())) == len(truth.files)
    [sentence] = odd(found)
    assert "contains no" in sentence


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_complete_tree_has_the_published_counts(name: str, tmp_path: Path) -> None:
    truth = write_tree(name, tmp_path, None)
    found = inspect(SOURCE_DATASETS[name], open_root(str(tmp_path)), most_masks=4_000)
    assert len(found.images) == len(truth.images)
    assert found.masks == sum(bool(image.masks) for image in truth.images)
    strays = Counter(reason for reason, paths in found.strays.items() for _ in paths)
    assert strays == Counter(truth.strays.values())
    assert [sentence for sentence in odd(found) if "counts differ" in sentence] == []
