"""Test gains: how much more is found at the finest recipe of a category than at the common one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anomaly_assets.evaluation.stored import GAIN
from anomaly_assets.recipes import Recipe
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets_tests.evaluation.categories import FINE, Evaluating, FakeBackbone
from anomaly_assets_tests.warehouse.project import SPEC, Project

FINEST = Recipe(16, 16, 1)
CATEGORIES = ("bolt", "woven")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Evaluating:
    made = Evaluating.at(tmp_path_factory.mktemp("gains"))
    made.evaluate(FakeBackbone())
    return made


@pytest.fixture
def evaluated(once: Evaluating, tmp_path: Path) -> Evaluating:
    """Return a copy of two categories at two recipes, which were evaluated."""
    shutil.copytree(once.project.folder, tmp_path, dirs_exist_ok=True)
    return Evaluating(Project.at(tmp_path))


def gains(of: Evaluating) -> list[tuple[Any, ...]]:
    query = (
        f"SELECT category, recipe, note FROM baseline_metrics WHERE metric = '{GAIN}' ORDER BY ALL"
    )
    return of.project.rows(query)


def of_both(finest: Recipe, common: Recipe) -> list[tuple[Any, ...]]:
    return [(category, finest.name, f"over {common.name}") for category in CATEGORIES]


def test_an_interrupted_run_leaves_no_gain_of_a_half_updated_category(
    evaluated: Evaluating,
) -> None:
    def stopping() -> Iterator[Warehouse]:
        for _ in range(3):  # the digests, then bank and results of the common recipe
            yield evaluated.project.warehouse
        raise KeyboardInterrupt

    asked = stopping()
    with pytest.raises(KeyboardInterrupt):
        evaluated.evaluate(FakeBackbone(digest="another"), lambda: next(asked))
    assert "bolt" not in [category for category, *_ in gains(evaluated)]
    evaluated.evaluate(FakeBackbone(digest="another"))
    assert gains(evaluated) == of_both(FINE, SPEC)


def test_another_common_recipe_removes_the_gain_over_the_former_one(evaluated: Evaluating) -> None:
    evaluated.publish(common=FINE, further=[SPEC])
    evaluated.evaluate(FakeBackbone())
    assert gains(evaluated) == []


@pytest.mark.slow
def test_without_the_finest_recipe_the_next_one_is_compared(evaluated: Evaluating) -> None:
    evaluated.publish(further=[FINE, FINEST])
    evaluated.evaluate(FakeBackbone())
    assert gains(evaluated) == of_both(FINEST, SPEC)
    evaluated.publish(further=[FINE])
    done = evaluated.evaluate(FakeBackbone())
    assert (done.removed, done.evaluated) == (2, [])
    assert gains(evaluated) == of_both(FINE, SPEC)


@pytest.mark.slow
def test_without_the_common_recipe_nothing_is_compared(
    evaluated: Evaluating, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated.publish(further=[FINE, FINEST])
    evaluated.evaluate(FakeBackbone())
    with evaluated.project.warehouse.connect() as connection:
        connection.execute("UPDATE evaluations SET inputs = '' WHERE recipe = ?", [FINE.name])
    monkeypatch.setattr("anomaly_assets.evaluation.inputs.existing_recipes", _further_ones)
    evaluated.evaluate(FakeBackbone())
    assert gains(evaluated) == []


def _further_ones(_: object) -> dict[str, tuple[str, ...]]:
    return {"mvtec_ad": ("1024x1024x1", FINE.name, FINEST.name)}


@pytest.mark.slow
def test_a_category_that_was_left_out_keeps_the_gain_of_its_results(evaluated: Evaluating) -> None:
    done = evaluated.evaluate(FakeBackbone(digest="another"), categories=["woven"])
    assert (len(done.evaluated), done.unchanged) == (2, 0)
    assert gains(evaluated) == of_both(FINE, SPEC)


def test_unchanged_gains_are_not_written_again(evaluated: Evaluating) -> None:
    rows = "SELECT rowid, * FROM baseline_metrics ORDER BY ALL"
    before = evaluated.project.rows(rows)
    evaluated.evaluate(FakeBackbone())
    assert evaluated.project.rows(rows) == before
    assert gains(evaluated) == of_both(FINE, SPEC)
