"""Test the selection of folds of an assignment."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from anomaly_assets.reader import open_samples
from anomaly_assets.splitting.plan import Plan
from anomaly_assets.splitting.update import update
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets_tests.warehouse.project import SPEC, Project


@pytest.fixture(scope="module")
def assigned(published_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish thirteen images, with an assignment v1 and one of numbered folds; return the file."""
    folder = tmp_path_factory.mktemp("assigned")
    shutil.copytree(published_once.folder, folder, dirs_exist_ok=True)
    project = Project.at(folder)
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
        update(connection, folder, "v1", Plan(val=0.4, by=("label",)))
        update(connection, folder, "cv", Plan(folds=3, by=("label",)))
    published = project.folder / "anomaly.duckdb"
    project.warehouse.publish(published, SPEC)
    return published


@pytest.mark.slow
def test_folds_are_parts_of_all_samples(assigned: Path) -> None:
    every = open_samples(assigned)
    folds = {
        fold: open_samples(assigned, assignment="v1", fold=fold)
        for fold in ("train", "val", "test")
    }
    ids = [name for samples in folds.values() for name in samples.table["image_id"].to_pylist()]
    assert sorted(ids) == every.table["image_id"].to_pylist()
    for fold, samples in folds.items():
        assert samples.table["fold"].unique().to_pylist() == [fold]
        for sample in samples:
            assert np.array_equal(sample.image, every[sample.metadata["image_id"]].image)
    assert repr(folds["val"]).endswith(": assignment='v1' and fold='val'>")
    assert "fold" not in every.table.column_names
    together = open_samples(assigned, assignment="v1")
    assert together.table["image_id"].to_pylist() == every.table["image_id"].to_pylist()


def test_train_means_all_numbered_folds(assigned: Path) -> None:
    train = open_samples(assigned, assignment="cv", fold="train")
    assert {*train.table["fold"].to_pylist()} == {"0", "1", "2"}
    some = open_samples(assigned, assignment="cv", fold=["0", "2"], where="fold <> '2'")
    assert {*some.table["fold"].to_pylist()} == {"0"}


def test_what_does_not_exist_is_named_with_what_does(assigned: Path) -> None:
    with pytest.raises(
        LookupError, match=r"assignment='v2' does not exist. Existing values: cv, v1"
    ):
        open_samples(assigned, assignment="v2")
    with pytest.raises(LookupError, match=r"assignment v1. Existing values: test, train, val"):
        open_samples(assigned, assignment="v1", fold="valid")
    with pytest.raises(ValueError, match=r"fold='val' needs the name of an assignment"):
        open_samples(assigned, fold="val")
    with pytest.raises(ValueError, match=r"Columns: image_id, .*, fold\."):
        open_samples(assigned, assignment="v1", where="folds = 'val'")
    with pytest.raises(TypeError, match="assignment=1: give the name of a split assignment"):
        open_samples(assigned, assignment=1)  # type: ignore[arg-type]
    with pytest.raises(LookupError, match="but each condition alone has some"):
        open_samples(assigned, assignment="v1", fold="train", where="split = 'test'")


def test_a_database_without_assignments_names_the_command(database: Path) -> None:
    with pytest.raises(LookupError, match="`anomaly-assets split --name v1 --val 0.2` makes one"):
        open_samples(database, assignment="v1")


def test_quotes_in_names_are_values(assigned: Path) -> None:
    with pytest.raises(LookupError, match="does not exist"):
        open_samples(assigned, assignment="v1' OR 'a' = 'a")


def test_a_cache_of_a_fold_has_the_fold(assigned: Path, tmp_path: Path) -> None:
    val = open_samples(assigned, assignment="v1", fold="val")
    same = open_samples(
        assigned,
        where="image_id IN ({})".format(
            ", ".join(f"'{name}'" for name in val.table["image_id"].to_pylist())
        ),
    )
    without, cached = same.cache(tmp_path / "cache"), val.cache(tmp_path / "cache")
    assert "fold" not in without.table.column_names
    assert cached.table["fold"].to_pylist() == ["val"] * len(val)
