"""Test the difference between a root and the tables, and the refusal to lose data by accident."""

import hashlib
import shutil
from pathlib import Path

import pytest

from anomaly_assets.catalogue.comparison import scope_of
from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.catalogue.reconcile import reconcile
from anomaly_assets.catalogue.refusals import (
    ShrunkRootError,
    UnknownCategoryError,
    UnrecognisedRootError,
)
from anomaly_assets.errors import rerun_with
from anomaly_assets.roots.base import RootError
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.catalogue.loaded import loads, query, rows_of
from anomaly_assets_tests.catalogue.trees import DAGM, MVTEC, MVTEC_PATHS, write, write_dagm


def remove(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).unlink()


def test_reconciling_says_what_differs_and_changes_nothing(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    root = write(tmp_path / "root", *MVTEC_PATHS)
    found = reconcile(MVTEC, str(root), warehouse)
    assert found.any_change
    assert (found.root_uri, found.ignored) == (root.as_uri(), 0)
    images, strays = found.tables["images"], found.tables["stray_files"]
    assert (images.inserted, images.updated, images.deleted, images.unchanged) == (10, 0, 0, 0)
    assert (strays.inserted, strays.updated, strays.deleted, strays.unchanged) == (1, 0, 0, 0)
    assert (images.scope, images.table_exists) == (None, False)
    made = "SELECT count(*) FROM duckdb_tables() WHERE schema_name <> 'main'"
    assert query(warehouse, made) == [(0,)]


def test_only_the_categories_that_differ_are_staged(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    write(loaded_root, "cable/train/good/000.png", content=b"another picture")
    remove(loaded_root, "cable/train/good/001.png")
    write(loaded_root, *(f"cable/test/bent/00{number}.png" for number in range(3)))
    images = reconcile(MVTEC, str(loaded_root), warehouse).tables["images"]
    assert (images.inserted, images.updated, images.deleted, images.unchanged) == (3, 1, 1, 8)
    assert images.rows["category"].to_pylist() == ["cable"] * 7
    assert images.scope == scope_of("images", ["cable"])


def test_a_listing_like_the_tables_has_no_change(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    found = reconcile(MVTEC, str(loaded_root), warehouse)
    assert not found.any_change
    assert {name: changes.unchanged for name, changes in found.tables.items()} == {
        "images": 10,
        "stray_files": 1,
    }


def test_a_scope_is_the_digests_of_the_category_names() -> None:
    assert scope_of("images", ["cable", "bottle"]) == (
        "md5(category) IN ('3a385ac07dcec4dde1a4ca47a9802c96', '855923325fa23283dda6da090d10fdf2')"
    )


def test_a_name_never_becomes_part_of_a_scope(warehouse: FileWarehouse) -> None:
    hostile = "x'); DROP TABLE images;--\n{table}%s"
    digest = hashlib.md5(hostile.encode(), usedforsecurity=False).hexdigest()
    scope = scope_of("images", [hostile])
    assert scope == f"md5(category) IN ('{digest}')"
    with warehouse.connect() as connection:
        statement = f"SELECT {scope} FROM (VALUES ($name)) AS listed (category)"
        assert connection.execute(statement, {"name": hostile}).fetchall() == [(True,)]
        assert connection.execute(statement, {"name": "x"}).fetchall() == [(False,)]


def test_four_fifths_of_the_rows_are_enough(loaded_root: Path, warehouse: FileWarehouse) -> None:
    remove(loaded_root, "bottle/train/good/000.png", "cable/train/good/000.png")
    assert reconcile(MVTEC, str(loaded_root), warehouse).tables["images"].deleted == 2


def test_a_root_that_lost_more_than_a_fifth_fails_and_changes_nothing(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    before = rows_of(warehouse, MVTEC), loads(warehouse, MVTEC)
    remove(loaded_root, *(f"{name}/train/good/000.png" for name in ("bottle", "cable")))
    remove(loaded_root, "cable/train/good/001.png")
    write(loaded_root, "bottle/notes.csv")  # is not loaded either
    with pytest.raises(ShrunkRootError) as caught:
        load(MVTEC, str(loaded_root), warehouse)
    assert str(caught.value) == (
        f"{loaded_root.as_uri()} lists 7 images of MVTec AD, 10 are loaded; nothing was changed. "
        f"If you removed them on purpose, {rerun_with('mvtec_ad', 'allow_shrink')}"
    )
    assert (rows_of(warehouse, MVTEC), loads(warehouse, MVTEC)) == before
    assert set(rows_of(warehouse, MVTEC, "stray_files")) == {"cable/ground_truth/cut/007_mask.png"}


def test_allow_shrink_accepts_the_loss(loaded_root: Path, warehouse: FileWarehouse) -> None:
    shutil.rmtree(loaded_root / "cable")
    found = reconcile(MVTEC, str(loaded_root), warehouse, allow_shrink=True)
    assert found.tables["images"].deleted == 5


def test_a_root_that_is_a_category_folder_names_its_parent_and_offers_no_loss(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    before = rows_of(warehouse, MVTEC)
    with pytest.raises(ShrunkRootError) as caught:
        load(MVTEC, str(loaded_root / "bottle"), warehouse)
    address = (loaded_root / "bottle").as_uri()
    assert str(caught.value) == (
        f"{address} contains no MVTec AD images. It looks like a category folder. Set "
        f"MVTEC_AD_ROOT={loaded_root} (its parent). {address} lists 0 images of MVTec AD, 10 are loaded; "
        "nothing was changed."
    )
    assert rows_of(warehouse, MVTEC) == before


def test_the_loss_of_one_category_is_measured_against_that_category(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    remove(loaded_root, "bottle/train/good/000.png", "bottle/train/good/001.png")
    with pytest.raises(ShrunkRootError, match="lists 3 images of MVTec AD, 5 are loaded"):
        reconcile(MVTEC, str(loaded_root), warehouse, categories=["bottle"])
    assert reconcile(MVTEC, str(loaded_root), warehouse).tables["images"].deleted == 2
    assert not reconcile(MVTEC, str(loaded_root), warehouse, categories=["cable"]).any_change


def test_a_missing_root_fails_with_both_counts(loaded_root: Path, warehouse: FileWarehouse) -> None:
    before = rows_of(warehouse, MVTEC)
    shutil.rmtree(loaded_root)
    with pytest.raises(RootError) as caught:
        reconcile(MVTEC, str(loaded_root), warehouse, allow_shrink=True)
    assert str(caught.value) == (
        f"MVTec AD (MVTEC_AD_ROOT): {loaded_root} does not exist. 0 images listed, 10 loaded; nothing was "
        "changed. To leave this dataset out, set MVTEC_AD_ROOT to the empty string."
    )
    assert rows_of(warehouse, MVTEC) == before


def test_an_emptied_root_fails_with_both_counts(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    before = rows_of(warehouse, MVTEC)
    shutil.rmtree(loaded_root)
    loaded_root.mkdir()
    with pytest.raises(ShrunkRootError) as caught:
        load(MVTEC, str(loaded_root), warehouse)
    assert str(caught.value) == (
        f"{loaded_root.as_uri()} is empty; it should hold MVTec AD. If it is on a disk or a share, "
        "mount it; else set MVTEC_AD_ROOT to the folder that contains the category folders. "
        f"{loaded_root.as_uri()} lists 0 images of MVTec AD, 10 are loaded; nothing was changed."
    )
    assert rows_of(warehouse, MVTEC) == before


@pytest.mark.slow
def test_an_emptied_root_empties_the_table_where_that_is_allowed(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    shutil.rmtree(loaded_root)
    loaded_root.mkdir()
    load(MVTEC, str(loaded_root), warehouse, allow_shrink=True)
    assert rows_of(warehouse, MVTEC) == {}


def test_an_empty_root_fails_at_the_first_load_too(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(ShrunkRootError) as caught:
        load(DAGM, str(tmp_path / "root"), warehouse)
    # No image was loaded before, so the message does not offer consent.
    assert str(caught.value).endswith(
        " lists 0 images of DAGM 2007, 0 are loaded; nothing was changed."
    )


def test_the_root_of_the_other_dataset_fails_and_is_recognised(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    root = write_dagm(tmp_path / "root")
    with pytest.raises(UnrecognisedRootError, match=r"It looks like DAGM 2007\.") as caught:
        load(MVTEC, str(root), warehouse)
    assert root.as_uri() in str(caught.value)


def test_a_tar_as_root_fails_and_says_what_to_do(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    archive = write(loaded_root.parent, "mvtec_ad.tar") / "mvtec_ad.tar"
    with pytest.raises(RootError) as caught:
        reconcile(MVTEC, str(archive), warehouse)
    assert str(caught.value) == (
        f"MVTec AD (MVTEC_AD_ROOT): {archive} is an archive that cannot be read in place: unpack it "
        "and give the folder, or repack it as .zip. 0 images listed, 10 loaded; nothing was "
        "changed. To leave this dataset out, set MVTEC_AD_ROOT to the empty string."
    )


def test_an_unknown_category_is_refused_with_the_names_there_are(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    with pytest.raises(UnknownCategoryError) as caught:
        load(MVTEC, str(loaded_root), warehouse, categories=["botle", "cable", "zipper"])
    assert str(caught.value) == (
        "MVTec AD has no category 'botle', 'zipper'. Below the root: bottle, cable."
    )


def test_a_category_that_is_loaded_and_gone_from_the_root_is_known(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    shutil.rmtree(loaded_root / "cable")
    with pytest.raises(ShrunkRootError, match="lists 0 images of MVTec AD, 5 are loaded"):
        reconcile(MVTEC, str(loaded_root), warehouse, categories=["cable"])
    found = reconcile(MVTEC, str(loaded_root), warehouse, categories=["cable"], allow_shrink=True)
    assert found.tables["images"].deleted == 5


@pytest.mark.slow
def test_one_category_is_refused_after_a_kill_in_a_load_from_another_root(
    loaded_root: Path, warehouse: FileWarehouse, tmp_path: Path
) -> None:
    """Test a former bug: the other root was recorded by then, and its rows were not."""
    other = shutil.copytree(loaded_root, tmp_path / "other")
    write(other, "cable/train/good/000.png", content=b"another picture")
    reconcile(MVTEC, str(other), warehouse)  # records the root; the load itself was killed
    with pytest.raises(UnknownCategoryError, match="other categories are loaded from another root"):
        reconcile(MVTEC, str(other), warehouse, categories=["cable"])
    load(MVTEC, str(other), warehouse)
    assert not reconcile(MVTEC, str(other), warehouse, categories=["cable"]).any_change
