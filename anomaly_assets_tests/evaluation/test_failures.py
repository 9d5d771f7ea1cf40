"""Test evaluations in which something fails, or another evaluation runs at the same time."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pytest

from anomaly_assets.evaluation.inputs import EvaluationError
from anomaly_assets.reader.database import DatabaseError
from anomaly_assets.recipes import parse_recipe
from anomaly_assets_tests.evaluation.categories import FINE, Evaluating, FakeBackbone
from anomaly_assets_tests.warehouse.project import Project, noise


class TooSmall(FakeBackbone):
    """Network that cannot read images of the finest recipe."""

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        if images.shape[1] == FINE.height:
            raise RuntimeError("input is\n  too small")
        return super().features(images)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Evaluating:
    return Evaluating.at(tmp_path_factory.mktemp("published"))


@pytest.fixture
def published(once: Evaluating, tmp_path: Path) -> Evaluating:
    """Return a copy of two categories at two recipes."""
    shutil.copytree(once.project.folder, tmp_path, dirs_exist_ok=True)
    return Evaluating(Project.at(tmp_path))


def test_an_error_of_a_category_does_not_stop_the_others(published: Evaluating) -> None:
    failed = (
        "2 of 4 evaluations failed.* Failed: mvtec_ad/bolt at 12x12x1, mvtec_ad/woven at 12x12x1: "
        "RuntimeError: input is too small$"
    )
    with pytest.raises(EvaluationError, match=failed):
        published.evaluate(TooSmall())
    done = published.evaluate(FakeBackbone())
    assert [key.recipe for key in done.evaluated] == [FINE.name, FINE.name]
    assert done.unchanged == 2


def test_data_of_one_category_that_cannot_be_read_do_not_stop_the_others(
    published: Evaluating,
) -> None:
    backbone = FakeBackbone()

    def lost_file() -> None:
        if len(backbone.seen) == 1:
            backbone.seen.append(0)
            raise duckdb.IOException("No such file: lake/5.parquet")

    backbone.on_call = lost_file
    with pytest.raises(
        EvaluationError, match="1 of 4 evaluations failed.*IOException: .*5.parquet"
    ):
        published.evaluate(backbone)
    assert len(published.evaluate(FakeBackbone()).evaluated) == 1


def test_two_categories_that_fail_in_the_same_way_are_enough(published: Evaluating) -> None:
    calls: list[None] = []

    def no_answer() -> None:
        calls.append(None)
        raise DatabaseError("The store does not answer.")

    with pytest.raises(DatabaseError, match="does not answer"):
        published.evaluate(FakeBackbone(on_call=no_answer))
    assert len(calls) == 2


def test_an_interrupted_query_ends_the_evaluation(published: Evaluating) -> None:
    def interrupted() -> None:
        raise RuntimeError("Query interrupted")

    with pytest.raises(KeyboardInterrupt):
        published.evaluate(FakeBackbone(on_call=interrupted))


def test_lack_of_memory_stops_the_evaluation_at_once(published: Evaluating) -> None:
    def full() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        published.evaluate(FakeBackbone(on_call=full))


@pytest.mark.slow
def test_grey_and_colour_images_of_a_native_recipe_have_no_number_and_why(
    published: Evaluating,
) -> None:
    native = parse_recipe("12x12xnative")
    published.project.save({"mvtec_ad/bolt/train/good/003.png": noise(7, "RGB")})
    published.publish(further=[native])
    done = published.evaluate(FakeBackbone())
    assert {str(key) for key in done.without_number} == {"mvtec_ad/bolt at 12x12xnative"}
    status = "SELECT status FROM evaluations WHERE category = ? AND recipe = ?"
    with published.project.warehouse.connect() as connection:
        [(mixed,)] = connection.execute(status, ["bolt", native.name]).fetchall()
        others = connection.execute("SELECT count(*) FROM evaluations WHERE status = 'measured'")
        assert others.fetchall() == [(3,)]
    assert mixed.startswith("The tensors have 1 or 3 channels")
    assert published.evaluate(FakeBackbone()).unchanged == 4


def test_what_another_evaluation_has_stored_meanwhile_is_not_computed_again(
    published: Evaluating,
) -> None:
    other = FakeBackbone()

    def evaluate_meanwhile() -> None:
        if not other.seen:
            published.evaluate(other)

    backbone = FakeBackbone(on_call=evaluate_meanwhile)
    done = published.evaluate(backbone)
    assert [str(key) for key in done.evaluated] == ["mvtec_ad/bolt at 8x6x3"]
    assert done.unchanged == 3
    assert sum(other.seen) == 4 * sum(backbone.seen)
