"""Test copying some of the recipes of a database."""

from __future__ import annotations

import copy
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from anomaly_assets.cli import copy as cli_copy
from anomaly_assets.reader import open_samples
from anomaly_assets.warehouse.copying import copy as copying
from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets.warehouse.publication import content_id
from anomaly_assets_tests.reader.test_recipes import publish_recipes


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(publish_recipes(tmp_path_factory.mktemp("recipes")))


def held(path: Path) -> tuple[set[str], set[str], str, str]:
    with duckdb.connect(str(path)) as connection:
        tensors, recorded, ids = (
            {name for (name,) in connection.execute(query).fetchall()}
            for query in (
                "SELECT recipe FROM recipe_tensors",
                "SELECT recipe FROM recipes",
                "SELECT snapshot_id FROM snapshots",
            )
        )
        return tensors, recorded, ids.pop(), content_id(connection)


def test_only_the_named_recipes_are_copied_and_the_copy_has_the_id_of_its_content(
    source: str, tmp_path: Path
) -> None:
    target = tmp_path / "copy.duckdb"
    made = copy_database(source, str(target), recipes=["12x12x1"], log=lambda _: None)
    tensors, recorded, snapshot_id, content = held(target)
    assert tensors == {"12x12x1"}
    assert recorded == {"8x6x3", "12x12x1"}
    assert made.snapshot_id == snapshot_id == content != open_samples(source).snapshot_id
    ours, theirs = (
        open_samples(path, size=12, source_dataset="mvtec_ad") for path in (target, source)
    )
    assert ours.recipe == theirs.recipe == "12x12x1"
    assert (ours.images[:] == theirs.images[:]).all()


@pytest.mark.slow
def test_a_copy_of_all_recipes_keeps_its_id_and_one_of_the_common_recipe_has_no_further(
    source: str, tmp_path: Path
) -> None:
    for recipes in (None, ["12x12x1", "12/fit", "10xnative", "full/tile=12+4"]):
        target = tmp_path / f"{recipes is None}.duckdb"
        made = copy_database(source, str(target), recipes=recipes, log=lambda _: None)
        assert made.snapshot_id is None
        assert held(target)[2] == open_samples(source).snapshot_id
    result = CliRunner().invoke(
        copy.copy(cli_copy.command),  # click keeps the options of help that it used first
        ["--from", source, "--to", str(tmp_path / "few.duckdb"), "--recipe", "8x6"],
        standalone_mode=False,
    )
    tensors, recorded, snapshot_id, _ = held(tmp_path / "few.duckdb")
    assert (tensors, recorded) == (set(), {"8x6x3"})
    assert f"the copy is snapshot {snapshot_id}" in result.output


@pytest.mark.slow
def test_an_interrupted_copy_goes_on_with_other_recipes(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "copy.duckdb"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for at in ("verified", "put_in_place"):
        recipes = None if at == "verified" else ["12/fit"]
        with monkeypatch.context() as patch:
            patch.setattr(copying, at, interrupted)
            with pytest.raises(KeyboardInterrupt):
                copy_database(source, str(target), recipes=recipes, log=lambda _: None)
    made = copy_database(source, str(target), recipes=["12/fit"], log=lambda _: None)
    tensors, _, snapshot_id, content = held(target)
    assert tensors == {"12x12x3/fit"}
    assert made.snapshot_id == snapshot_id == content
    assert made.tensors_written == 0


def test_a_recipe_that_does_not_exist_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no recipe 9x9x1. Existing recipes: dagm_2007: 8x6x3"):
        copy_database(source, str(tmp_path / "copy.duckdb"), recipes=["9x9x1"], log=lambda _: None)
