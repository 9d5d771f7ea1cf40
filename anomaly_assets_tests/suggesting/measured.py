"""Compare what a suggested declaration makes of a tree with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.suggesting.suggest import Suggestion, suggest
from anomaly_assets_tests.suggesting.outcomes import files_in, outcome
from anomaly_assets_tests.suggesting.trees import Tree

ENOUGH = 0.99


@dataclass(frozen=True)
class Score:
    """Result for one tree.

    Attributes:
        suggestion: What was suggested.
        images: Images of the truth, and files that are taken for images.
        right: Images with the category, split and label of the truth.
        wrong: Truth and outcome of the others, by path.
        masks: Images with masks by the truth.
        paired: Those of them that have exactly these masks.
        is_reached: True if enough images of a solvable tree are right (`ENOUGH`), or if nothing is
            suggested for an unsolvable one.
    """

    suggestion: Suggestion
    images: int
    right: int
    wrong: dict[str, tuple[Any, Any]]
    masks: int
    paired: int
    is_reached: bool


def measured(tree: Tree, parent: Path) -> Score:
    """Write a tree, suggest a declaration for it, and compare."""
    root, truth = tree.written(parent)
    files = [(path, (root / path).stat().st_size) for path in files_in(root)]
    suggestion = suggest(root.name, files, lambda path: (root / path).read_bytes())
    if suggestion.cannot is not None:
        return Score(suggestion, len(truth), 0, {}, 0, 0, not tree.is_solvable)
    found = declared({"suggested.toml": suggestion.toml.encode()})
    assert [str(problem) for problem in found.problems] == []
    [declaration] = found.declarations
    made = outcome(declaration, root)
    wrong = {}
    for path in truth.keys() | made.keys():
        expected, actual = truth.get(path), made.get(path)
        if expected is not None:
            expected = expected._replace(category=expected.category or declaration.name)
        if expected is None or actual is None or expected[:3] != actual[:3]:
            wrong[path] = (expected, actual)
    images = len(truth.keys() | made.keys())
    drawn = {path: each.masks for path, each in truth.items() if each.masks}
    paired = sum(path in made and made[path].masks == tuple(sorted(drawn[path])) for path in drawn)
    right = images - len(wrong)
    is_reached = tree.is_solvable and right >= ENOUGH * images
    return Score(
        suggestion, images, right, dict(sorted(wrong.items())), len(drawn), paired, is_reached
    )
