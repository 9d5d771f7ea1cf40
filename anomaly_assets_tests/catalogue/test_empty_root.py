"""Test messages for a root without images, and for one in which most files belong to no image."""

from pathlib import Path

import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.catalogue.refusals import ShrunkRootError, UnrecognisedRootError
from anomaly_assets.errors import rerun_with
from anomaly_assets.tables.checks import STRAY_CHECKS, evaluate
from anomaly_assets.tables.ddl import refresh
from anomaly_assets.tables.source_datasets import dataset_lines
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.catalogue.trees import (
    DAGM,
    LABELS,
    MVTEC,
    MVTEC_PATHS,
    catalog_of,
    write,
    write_dagm,
    zip_of,
)


def why(dataset: str, root: Path) -> str:
    """Return the message without the URL of the root."""
    catalog = catalog_of(dataset, root)
    assert catalog.images.num_rows == 0
    assert catalog.empty_because is not None
    return catalog.empty_because.partition(" contains ")[2]


def jpg(*paths: str, suffix: str = ".jpg") -> list[str]:
    return [path.replace(".png", suffix).replace(".PNG", suffix) for path in paths]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".bmp", ".tif"])
def test_images_with_another_suffix_are_named_by_it(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, *jpg(*MVTEC_PATHS[:5], suffix=suffix), *MVTEC_PATHS[5:6])
    assert why("mvtec_ad", tmp_path) == (
        "no MVTec AD images. Its folders are those of MVTec AD, but its images are 5 "
        f"{suffix.lower()}, and only .png files are read: convert them."
    )


def test_dagm_images_with_another_suffix_are_named_by_it(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/1.jpg", "Class1/Test/2.bmp", "Class1/Train/Label/1_label.PNG")
    assert "its images are 1 .bmp, 1 .jpg, and only .png files are read" in why(
        "dagm_2007", tmp_path
    )


def test_labels_without_images_name_the_labels_file_and_no_other_folder(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/Label/Thumbs.db")
    for folder in ("Class1/Train", "Class2/Test"):
        write(tmp_path, f"{folder}/Label/Labels.txt", content=LABELS)
    assert why("dagm_2007", tmp_path) == (
        "no DAGM 2007 images. Its labels files ('Class1/Train/Label/Labels.txt' and 1 more) name 4 images, "
        "of which none is there. The root is right: download or copy the images into it (in a checkout "
        "with Git LFS, run git lfs pull)."
    )


@pytest.mark.parametrize("dataset", ["mvtec_ad", "dagm_2007"])
def test_a_category_folder_names_its_parent(tmp_path: Path, dataset: str) -> None:
    paths = ["bolt/train/good/0.png"] if dataset == "mvtec_ad" else ["Class1/Train/1.PNG"]
    root = write(tmp_path, *paths) / paths[0].split("/")[0]
    assert why(dataset, root).endswith(f"_ROOT={tmp_path} (its parent).")
    assert catalog_of(dataset, root).likely_root == str(tmp_path)


def test_a_folder_inside_a_category_names_the_folder_of_the_categories(tmp_path: Path) -> None:
    write(tmp_path, "bolt/train/good/0.png")
    expected = f"Set MVTEC_AD_ROOT={tmp_path} (the folder of the category folders)."
    assert why("mvtec_ad", tmp_path / "bolt/train").endswith(expected)
    assert why("mvtec_ad", tmp_path / "bolt/train/good").endswith(expected)


@pytest.mark.parametrize("above", ["data/raw", "a/b/c"])
def test_a_root_that_is_too_high_names_the_folder_below(tmp_path: Path, above: str) -> None:
    write(tmp_path, *(f"{above}/{path}" for path in MVTEC_PATHS), "notes.txt")
    assert why("mvtec_ad", tmp_path) == (
        f"no MVTec AD images. The layout begins in a folder below it. Set MVTEC_AD_ROOT={tmp_path}/{above}."
    )
    assert catalog_of("mvtec_ad", Path(f"{tmp_path}/{above}")).images.num_rows == 10


def test_an_archive_with_too_many_folders_is_to_be_unpacked(tmp_path: Path) -> None:
    root = write(tmp_path / "root", *MVTEC_PATHS)
    archive = zip_of(root, tmp_path / "x.zip", "data/raw/")
    assert why("mvtec_ad", archive) == (
        "no MVTec AD images. The layout begins in 'data/raw', too deep in the archive. Unpack the archive, "
        "and set MVTEC_AD_ROOT to that folder."
    )


@pytest.mark.parametrize("name", ["mvtec/{}", "C:\\data\\{}"])
def test_backslashes_in_names_are_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, *(name.format(path.replace("/", "\\")) for path in MVTEC_PATHS))
    message = why("mvtec_ad", tmp_path)
    assert "Its names contain backslashes instead of folders: '" in message
    assert message.endswith(
        "Pack or copy the files again with a program that writes / between folders."
    )


def test_a_root_with_nothing_of_the_layout_says_what_belongs_there(tmp_path: Path) -> None:
    write(tmp_path, "holiday/1.jpeg", "holiday/2.jpeg")
    assert why("mvtec_ad", tmp_path) == (
        "no MVTec AD images (2 unrecognised_path). Set MVTEC_AD_ROOT to the folder that contains the "
        "category folders, for example above 'holiday/1.jpeg'."
    )


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["empty", "category", "other", "suffix"])
def test_a_loss_is_not_offered_where_no_image_was_found(
    loaded_root: Path, warehouse: FileWarehouse, tmp_path: Path, wrong: str
) -> None:
    roots = {
        "empty": tmp_path / "empty",
        "category": loaded_root / "bottle",
        "other": write_dagm(tmp_path / "dagm"),
        "suffix": write(tmp_path / "jpg", *jpg(*MVTEC_PATHS)),
    }
    roots["empty"].mkdir()
    with pytest.raises((ShrunkRootError, UnrecognisedRootError)) as caught:
        load(MVTEC, str(roots[wrong]), warehouse)
    assert "allow_shrink" not in str(caught.value)
    assert "othing was changed." in str(caught.value)


def mostly_strays(root: Path) -> Path:
    """Write two images, and three files of another layout."""
    write(root, "bolt/train/good/0.png", "bolt/train/good/1.png")
    return write(root, *(f"bolt/test_public/bad/{number}.png" for number in range(3)))


@pytest.mark.slow
def test_a_first_load_of_mostly_strays_is_refused_and_can_be_allowed(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    root = mostly_strays(tmp_path / "root")
    with pytest.raises(UnrecognisedRootError) as caught:
        load(MVTEC, str(root), warehouse)
    assert str(caught.value) == (
        f"{root.as_uri()}: 3 of 5 files belong to no image of MVTec AD (3 unrecognised_path), such as "
        "'bolt/test_public/bad/0.png'. The root may have another layout; nothing was changed. To load only "
        f"the images that were found (2), {rerun_with('mvtec_ad', 'allow_strays')}"
    )
    assert load(MVTEC, str(root), warehouse, allow_strays=True).tables["images"].inserted == 2
    assert not load(MVTEC, str(root), warehouse).any_change  # only the first load is refused


def test_a_folder_of_two_datasets_names_both(tmp_path: Path, warehouse: FileWarehouse) -> None:
    root = write(tmp_path, "mvtec/bolt/train/good/0.png", "mvtec/bolt/test/good/0.png")
    write_dagm(root / "dagm")
    with pytest.raises(UnrecognisedRootError) as caught:
        load(MVTEC, str(root), warehouse)
    assert (
        " 3 of them are images of DAGM 2007: give each dataset a folder of its own, and set MVTEC_AD_ROOT "
        "and DAGM_2007_ROOT to these. To load only"
    ) in str(caught.value)


@pytest.mark.slow
def test_half_of_the_files_may_be_strays(tmp_path: Path, warehouse: FileWarehouse) -> None:
    root = mostly_strays(tmp_path / "root")
    write(root, "bolt/train/good/2.png", "readme.txt", ".cache/x")
    assert load(MVTEC, str(root), warehouse).tables["stray_files"].inserted == 3


@pytest.mark.slow
def test_images_that_only_a_labels_file_names_are_no_strays(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    root = write_dagm(tmp_path / "root")
    names = b"".join(b"%d\t0\t%04d.PNG\n" % (number, number) for number in range(1, 40))
    write(root, "Class1/Train/Label/Labels.txt", content=names)
    assert load(DAGM, str(root), warehouse).tables["images"].inserted == 3


@pytest.mark.slow
def test_a_root_that_becomes_mostly_strays_later_fails_a_check_and_is_named_at_the_end(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    (check,) = [each for each in STRAY_CHECKS if each.name == "most_files_belong_to_images"]

    def found() -> tuple[list[tuple[str, str | None]], list[str]]:
        with warehouse.connect() as connection:
            refresh(connection, "images")
            ((_, finding),) = evaluate(connection, check, source_dataset="mvtec_ad")
            return finding.shown, dataset_lines(connection)

    assert found()[0] == []
    assert "strays" not in found()[1][0]
    write(loaded_root, *(f"bottle/holiday/{number}.png" for number in range(12)))
    load(MVTEC, str(loaded_root), warehouse)
    shown, (line,) = found()
    assert shown == [("mvtec_ad", "13 of 25 files are strays")]
    assert line.endswith("; 13 of its files are strays")
    assert not check.blocking
