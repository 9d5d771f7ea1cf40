"""Test symbolic links below a folder: inside, out of it, and with `follow_links`."""

import os
from pathlib import Path

import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.catalogue.listing import list_catalog
from anomaly_assets.catalogue.refusals import ShrunkRootError, UnrecognisedRootError
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.roots.base import FileUnreadableError
from anomaly_assets.roots.open import open_root
from anomaly_assets.settings import Settings, SettingsError
from anomaly_assets.tables.checks import STRAY_CHECKS, Finding
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.catalogue.trees import MVTEC_PATHS, write

MVTEC = SOURCE_DATASETS["mvtec_ad"]


def download_cache(folder: Path) -> Path:
    """Write a tree like that of the Hugging Face hub: every image is a link to a file beside the tree."""
    root = folder / "snapshots" / "0123abc"
    for number, path in enumerate(MVTEC_PATHS):
        write(folder, f"blobs/{number:064x}", content=path.encode())
        link = root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(folder / f"blobs/{number:064x}", link.parent))
    return root


def linked_categories(folder: Path) -> Path:
    """Write a root whose categories are links to folders elsewhere."""
    write(folder / "disk", *MVTEC_PATHS)
    (folder / "root").mkdir()
    for category in ("bottle", "cable"):
        (folder / "root" / category).symlink_to(folder / "disk" / category)
    return folder / "root"


@pytest.mark.parametrize("write_root", [download_cache, linked_categories])
def test_a_tree_of_links_loads_with_follow_and_every_file_is_read(
    tmp_path: Path, write_root: object
) -> None:
    assert callable(write_root)
    root = open_root(str(write_root(tmp_path)), follow_links=True)
    catalog = list_catalog(MVTEC, root)
    assert (catalog.images.num_rows, catalog.stray_files.num_rows) == (10, 1)
    for row in catalog.images.to_pylist():
        path = root.path_of(row["source_uri"])
        assert path is not None
        assert root.read(path, row["file_version"]) == row["relative_path"].encode()


@pytest.mark.slow
@pytest.mark.parametrize("write_root", [download_cache, linked_categories])
def test_a_tree_of_links_without_follow_is_refused_with_the_setting(
    tmp_path: Path, write_root: object
) -> None:
    assert callable(write_root)
    warehouse = FileWarehouse(tmp_path / "warehouse.duckdb", wait_seconds=0)
    root = write_root(tmp_path / "data")
    with pytest.raises(ShrunkRootError) as caught:
        load(MVTEC, str(root), warehouse)
    message = str(caught.value)
    assert "symbolic links that a run does not follow" in message
    assert "set MVTEC_AD_LINKS=follow, or copy them with cp -rL." in message
    assert "_ROOT" not in message
    assert "allow_shrink" not in message
    assert load(MVTEC, str(root), warehouse, follow_links=True).tables["images"].inserted == 10


def test_links_to_files_that_are_not_there_are_called_broken(tmp_path: Path) -> None:
    for path in MVTEC_PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).symlink_to("../../.git/annex/objects/0")
    catalog = list_catalog(MVTEC, open_root(str(tmp_path)))
    assert "10 broken_link" in (catalog.empty_because or "")
    assert "fetch it" in (catalog.empty_because or "")


def test_a_root_of_some_files_and_more_links_is_refused_with_the_setting(tmp_path: Path) -> None:
    root = download_cache(tmp_path / "data")
    write(root, "cable/train/good/003.png", "cable/train/good/004.png")
    warehouse = FileWarehouse(tmp_path / "warehouse.duckdb", wait_seconds=0)
    with pytest.raises(UnrecognisedRootError) as caught:
        load(MVTEC, str(root), warehouse)
    assert "Symbolic links are read with MVTEC_AD_LINKS=follow." in str(caught.value)
    strays = list_catalog(MVTEC, open_root(str(root))).stray_files.to_pylist()
    assert {(row["reason"], row["detail"]) for row in strays} == {
        ("link_out_of_the_root", "MVTEC_AD_LINKS=follow reads it")
    }


def test_the_check_of_stray_files_keeps_links() -> None:
    [check] = [each for each in STRAY_CHECKS if each.name == "files_are_recognised"]
    found = Finding(1, [("cable", "linked_folder: MVTEC_AD_LINKS=follow reads it")])
    assert check.verdict(found).endswith(
        "Correct the lines of labels files and tables that the details name; rename, move or delete other "
        "files. Keep a symbolic link whose detail names a variable, and set that."
    )


def test_links_in_circles_end(tmp_path: Path) -> None:
    root = write(tmp_path / "root", "bolt/train/good/0.png")
    (root / "itself").symlink_to(".")
    (root / "above").symlink_to("..")
    (root / "bolt/test").symlink_to(write(tmp_path / "other", "good/0.png"))
    (tmp_path / "other/good/back").symlink_to("..")
    (tmp_path / "other/good/root").symlink_to(root)
    found = {entry.path: entry.problem for entry in open_root(str(root), follow_links=True).files()}
    assert found == {
        "bolt/train/good/0.png": None,
        "bolt/test/good/0.png": None,
        "itself": "linked_folder",
        "above": "linked_folder",
        "bolt/test/good/back": "linked_folder",
        "bolt/test/good/root": "linked_folder",
    }


def test_a_folder_with_two_links_is_listed_under_the_first_name(tmp_path: Path) -> None:
    write(tmp_path / "disk", "train/good/0.png")
    (tmp_path / "root").mkdir()
    for name in ("b", "a"):
        (tmp_path / "root" / name).symlink_to(tmp_path / "disk")
    found = list_catalog(MVTEC, open_root(str(tmp_path / "root"), follow_links=True))
    assert found.images["relative_path"].to_pylist() == ["a/train/good/0.png"]
    [stray] = found.stray_files.to_pylist()
    assert (stray["relative_path"], stray["detail"]) == (
        "b",
        "it leads to a folder that is listed already, or to one around the root",
    )


def test_a_link_that_leaves_the_root_is_read_only_with_follow(tmp_path: Path) -> None:
    root = download_cache(tmp_path)
    assert open_root(str(root), follow_links=True).read(MVTEC_PATHS[0]) == MVTEC_PATHS[0].encode()
    with pytest.raises(FileUnreadableError, match="a link that leads out of the root"):
        open_root(str(root)).read(MVTEC_PATHS[0])


@pytest.mark.parametrize(
    ("text", "followed"), [("follow", {"mvtec_ad"}), ("inside", set()), ("", set())]
)
def test_the_setting_is_read_per_source_dataset(text: str, followed: set[str]) -> None:
    assert Settings.from_environment({"MVTEC_AD_LINKS": text}).followed_links == followed


def test_another_value_of_the_setting_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"DAGM_2007_LINKS": "yes"})
    assert str(caught.value) == (
        "DAGM_2007_LINKS='yes': use follow, to read symbolic links that leave the root, or inside."
    )
