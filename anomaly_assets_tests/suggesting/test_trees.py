"""Test that suggested declarations classify the images of twenty folders as in the truth."""

from pathlib import Path

import pytest

from anomaly_assets_tests.suggesting.measured import measured
from anomaly_assets_tests.suggesting.trees import TREES

SOLVABLE = [name for name, tree in TREES.items() if tree.is_solvable]


def test_eighteen_of_twenty_trees_can_be_declared() -> None:
    assert (len(TREES), len(SOLVABLE)) == (20, 18)


@pytest.mark.parametrize("name", SOLVABLE)
def test_images_are_classified_and_masks_paired_as_in_the_truth(name: str, tmp_path: Path) -> None:
    tree = TREES[name]
    if tree.real is not None and not tree.real.is_dir():
        pytest.skip("the real excerpt is not there")
    score = measured(tree, tmp_path)
    assert score.suggestion.cannot is None
    assert score.wrong == {}
    if name != "coco":  # a table has its shapes, and no file is a mask
        assert score.paired == score.masks


@pytest.mark.parametrize("name", sorted(TREES.keys() - set(SOLVABLE)))
def test_a_folder_without_evidence_gives_no_declaration(name: str, tmp_path: Path) -> None:
    suggestion = measured(TREES[name], tmp_path).suggestion
    assert suggestion.toml == ""
    assert suggestion.cannot is not None
    assert "nothing that gives a split or a label" in suggestion.cannot
