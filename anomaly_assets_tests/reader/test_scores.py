"""Test the scores of a selection."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.previews.scores import current_score_sheets, small_sheet
from anomaly_assets.reader import open_samples
from anomaly_assets.reader.open import open_database
from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets_tests.evaluation.categories import FINE, Evaluating, FakeBackbone, picture

BOLT: dict[str, Any] = {"source_dataset": "mvtec_ad", "category": "bolt"}
CHANGED = "mvtec_ad/bolt/test/good/003.png"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluating:
    """Publish two categories and their scores; one file is replaced since."""
    made = Evaluating.at(tmp_path_factory.mktemp("scores"))
    made.evaluate(FakeBackbone())
    made.project.save({CHANGED: picture(999)})
    made.publish()
    return made


@pytest.mark.slow
def test_each_sample_has_the_row_of_its_score_in_its_order(evaluated: Evaluating) -> None:
    with open_samples(evaluated.database, **BOLT, split="test") as samples:
        chosen = samples.select([19, 0, 4])
        scores = chosen.scores()
        assert scores["image_id"].to_pylist() == chosen.table["image_id"].to_pylist()
        assert scores["label_when_scored"].to_pylist() == ["good", "anomalous", "anomalous"]
        assert scores["role"].to_pylist() == ["test"] * 3
        assert scores["above_threshold"].to_pylist() == [False, True, True]
        assert scores["threshold"][0].as_py() < scores["score"][1].as_py()
    with open_samples(evaluated.database, **BOLT, recipe=FINE.name, split="train") as fine:
        assert fine.scores()["out_of_fold_score"] == fine.scores()["score"]


def test_a_file_that_was_replaced_has_no_score(evaluated: Evaluating) -> None:
    with open_samples(evaluated.database, **BOLT) as samples:
        [row] = samples.select_ids([CHANGED]).scores().to_pylist()
        assert {value for name, value in row.items() if name != "image_id"} == {None}
        others = samples.scores().to_pylist()
    assert sum(row["score"] is None for row in others) == 1


def test_without_scores_the_error_says_how_to_compute_them(
    evaluated: Evaluating, tmp_path: Path
) -> None:
    with (
        open_samples(evaluated.database, **BOLT) as samples,
        pytest.raises(LookupError, match="A cache has no scores"),
    ):
        samples.cache(tmp_path).scores()
    without = tmp_path / "without.duckdb"
    copy_database(str(evaluated.database), str(without), log=lambda _: None)
    with duckdb.connect(str(without)) as connection:
        connection.execute("DELETE FROM evaluations")
    with (
        open_samples(without) as samples,
        pytest.raises(LookupError, match="no scores of 8x6x3. `anomaly-assets evaluate`"),
    ):
        samples.scores()


@pytest.mark.slow
def test_a_copy_has_the_results_of_its_recipes(evaluated: Evaluating, tmp_path: Path) -> None:
    for recipes, count in ((None, 4), ([], 2)):
        target = tmp_path / f"{count}.duckdb"
        copy_database(str(evaluated.database), str(target), recipes=recipes, log=lambda _: None)
        with duckdb.connect(str(target)) as connection:
            assert connection.execute("SELECT count(*) FROM evaluations").fetchall() == [(count,)]
            assert connection.execute("SELECT count(*) FROM baseline_banks").fetchall() == [(0,)]


def test_sheets_are_drawn_once_and_removed_with_their_category(
    evaluated: Evaluating, tmp_path: Path
) -> None:
    with closing(open_database(evaluated.database)) as database:
        first = current_score_sheets(database, tmp_path)
        second = current_score_sheets(database, tmp_path)
    assert (first.drawn, second.drawn) == (4, 0)
    assert len(first.files) == 4
    assert all(path.is_file() for path in first.files.values())
    path = first.files["mvtec_ad", "bolt", "8x6x3"]  # type: ignore[index]
    assert path == tmp_path / "mvtec_ad/bolt 8x6x3.jpg"
    assert len(small_sheet(path, 20_000) or b"") <= 20_000
    assert small_sheet(path, 10) is None
    (tmp_path / "notes.txt").write_text("mine")
    evaluated.project.rows("DELETE FROM evaluations WHERE category = 'woven'")
    evaluated.publish_results()
    with closing(open_database(evaluated.database)) as database:
        third = current_score_sheets(database, tmp_path)
    assert len(third.files) == 2
    assert sorted(each.name for each in tmp_path.rglob("*.*")) == [
        "bolt 12x12x1.jpg",
        "bolt 8x6x3.jpg",
        "drawn.json",
        "notes.txt",
    ]
