"""Test names of folders and masks in another case, other words for `good`, and equal canonical paths."""

from pathlib import Path

import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.catalogue.refusals import UnrecognisedRootError
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.catalogue.loaded import rows_of
from anomaly_assets_tests.catalogue.trees import (
    DAGM,
    LABELS,
    MVTEC,
    MVTEC_PATHS,
    catalog_of,
    images_of,
    strays_of,
    write,
    write_dagm,
    zip_of,
)

OFFICIAL = "bottle/train/good/000.png"


def labels_of(dataset: str, root: Path) -> dict[str, tuple[str, str | None]]:
    return {
        path: (row["label"], row["defect_type"]) for path, row in images_of(dataset, root).items()
    }


@pytest.mark.parametrize("word", ["good", "Good", "GOOD", "ok", "OK", "normal", "Normal", "0"])
def test_images_in_a_folder_called_by_a_word_for_good_are_good(tmp_path: Path, word: str) -> None:
    write(tmp_path, f"bolt/train/{word}/0.png", f"bolt/test/{word}/0.png", "bolt/test/cut/0.png")
    write(tmp_path, "bolt/ground_truth/cut/0_mask.png", f"bolt/ground_truth/{word}/0_mask.png")
    assert labels_of("mvtec_ad", tmp_path) == {
        f"bolt/train/{word}/0.png": ("good", None),
        f"bolt/test/{word}/0.png": ("good", None),
        "bolt/test/cut/0.png": ("anomalous", "cut"),
    }
    assert strays_of("mvtec_ad", tmp_path) == {}


@pytest.mark.parametrize("word", ["goods", "not_ok", "abnormally", "00", "okay"])
def test_a_folder_whose_name_only_contains_such_a_word_is_a_defect(
    tmp_path: Path, word: str
) -> None:
    write(tmp_path, f"bolt/test/{word}/0.png")
    assert labels_of("mvtec_ad", tmp_path) == {f"bolt/test/{word}/0.png": ("anomalous", word)}


@pytest.mark.parametrize("word", ["abnormal", "NG", "Defective", "1", "anomaly"])
def test_a_folder_that_only_says_anomalous_names_no_defect(tmp_path: Path, word: str) -> None:
    write(tmp_path, f"bolt/test/{word}/0.png")
    assert labels_of("mvtec_ad", tmp_path) == {
        f"bolt/test/{word}/0.png": ("anomalous", "unspecified")
    }


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("bolt/test/cut/IMG_1.PNG", "bolt/ground_truth/cut/img_1_mask.png"),
        ("bolt/test/cut/img_1.png", "bolt/ground_truth/cut/IMG_1_MASK.PNG"),
        ("bolt/test/Cut/1.png", "bolt/ground_truth/cut/1_mask.png"),
        ("bolt/test/Prüfung/Ä.png", "bolt/ground_truth/prüfung/a\u0308_mask.png"),
    ],
)
def test_a_mask_is_paired_with_the_one_image_whose_name_differs_in_case(
    tmp_path: Path, image: str, mask: str
) -> None:
    write(tmp_path, image, mask)
    (row,) = images_of("mvtec_ad", tmp_path).values()
    assert row["mask_relative_path"] == mask.replace("a\u0308", "ä")
    assert strays_of("mvtec_ad", tmp_path) == {}


def test_a_dagm_mask_is_paired_ignoring_case(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/A1.PNG", "Class1/Train/Label/a1_label.png")
    (row,) = images_of("dagm_2007", tmp_path).values()
    assert row["mask_relative_path"] == "Class1/Train/Label/a1_label.png"


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["IMG.png", "img.png"], ["Img_mask.png"]),
        (["IMG.png"], ["Img_mask.png", "img_mask.png"]),
        (["IMG.png", "img.png"], ["img_mask.png", "Img_mask.png"]),
        (["IMG.png", "IMG.PNG"], ["img_mask.png"]),
    ],
)
def test_a_mask_that_is_not_one_to_one_ignoring_case_names_the_similar_image(
    tmp_path: Path, images: list[str], masks: list[str]
) -> None:
    write(tmp_path, *(f"bolt/test/cut/{name}" for name in images))
    write(tmp_path, *(f"bolt/ground_truth/cut/{name}" for name in masks))
    strays = catalog_of("mvtec_ad", tmp_path).stray_files.to_pylist()
    assert strays
    for stray in strays:
        assert stray["reason"] == "orphan_mask"
        assert stray["detail"].startswith("the name is similar to bolt/test/cut/")
    assert len(strays) == len(masks) - ("img.png" in images and "img_mask.png" in masks)


def lower(root: Path) -> Path:
    """Write `write_dagm` with lower-case names of folders below the class."""
    write(root, "Class1/train/0001.PNG", "Class1/train/0002.PNG", "Class1/test/0003.PNG")
    write(root, "Class1/train/label/0002_label.PNG")
    return write(root, "Class1/train/label/labels.txt", content=LABELS)


def test_a_root_in_another_case_loads_like_the_official_one_and_says_so(tmp_path: Path) -> None:
    official = catalog_of("dagm_2007", write_dagm(tmp_path / "official"))
    catalog = catalog_of("dagm_2007", lower(tmp_path / "lower"))
    for column in ("image_id", "label", "declared_label_index", "category", "split"):
        assert catalog.images[column].to_pylist() == official.images[column].to_pylist()
    assert (catalog.stray_files.num_rows, catalog.other, official.notes) == (0, None, ())
    assert catalog.notes == (
        "DAGM 2007: no folder has the case of the official names, so their case was ignored: "
        "'Class1/test/0003.PNG' was read as 'Class1/Test/0003.PNG'.",
    )


def test_an_mvtec_root_in_another_case_loads(tmp_path: Path) -> None:
    write(
        tmp_path, "bolt/TRAIN/Good/0.png", "bolt/Test/cut/0.png", "bolt/Ground_Truth/cut/0_mask.png"
    )
    assert labels_of("mvtec_ad", tmp_path) == {
        "bolt/train/Good/0.png": ("good", None),
        "bolt/test/cut/0.png": ("anomalous", "cut"),
    }
    assert strays_of("mvtec_ad", tmp_path) == {}


def test_a_declared_image_of_such_a_root_is_missing_where_it_should_be(tmp_path: Path) -> None:
    lower(tmp_path)
    (tmp_path / "Class1/train/0001.PNG").unlink()
    assert strays_of("dagm_2007", tmp_path) == {"Class1/train/0001.PNG": "declared_but_missing"}


def test_a_folder_in_another_case_beside_an_exact_one_is_a_stray(tmp_path: Path) -> None:
    write(tmp_path, OFFICIAL, "cable/Train/good/000.png", "cable/notes.txt")
    assert set(images_of("mvtec_ad", tmp_path)) == {OFFICIAL}
    assert strays_of("mvtec_ad", tmp_path) == {
        "cable/Train/good/000.png": "other_case",
        "cable/notes.txt": "unrecognised_path",
    }


@pytest.mark.parametrize("write_root", [write_dagm, lower])
def test_a_dagm_root_is_refused_as_mvtec_ad_and_named(
    tmp_path: Path, warehouse: FileWarehouse, write_root: object
) -> None:
    assert callable(write_root)
    root = write_root(tmp_path / "root")
    with pytest.raises(UnrecognisedRootError, match=r"It looks like DAGM 2007\.") as caught:
        load(MVTEC, str(root), warehouse, allow_strays=True, allow_shrink=True)
    assert "Set DAGM_2007_ROOT to this root, and correct MVTEC_AD_ROOT." in str(caught.value)


def test_a_dagm_root_without_masks_is_neither_named_nor_read_as_mvtec_ad(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/0001.PNG", "Class1/Test/0002.PNG")
    catalog = catalog_of("mvtec_ad", tmp_path)
    assert (catalog.images.num_rows, catalog.other) == (0, None)
    assert "DAGM" not in (catalog.empty_because or "")


def test_a_folder_with_both_datasets_gives_each_its_own_images(tmp_path: Path) -> None:
    write_dagm(tmp_path)
    write(tmp_path, OFFICIAL)  # without masks, MVTec AD pairs nothing
    assert set(images_of("mvtec_ad", tmp_path)) == {OFFICIAL}
    assert catalog_of("mvtec_ad", tmp_path).other is None
    assert len(images_of("dagm_2007", tmp_path)) == 3


def two_sites(root: Path) -> Path:
    """Write two products of one name, with different images and equal masks."""
    for site in ("siteA", "siteB"):
        for name in ("train/good/0.png", "test/cut/0.png"):
            write(root, f"{site}/bolt/{name}", content=f"{site} {name}".encode())
        write(root, f"{site}/bolt/ground_truth/cut/0_mask.png", content=b"mask")
    return root


def test_two_products_of_one_name_are_both_kept_under_distinct_ids(tmp_path: Path) -> None:
    rows = images_of("mvtec_ad", two_sites(tmp_path))
    assert {(path, row["category"], row["mask_relative_path"]) for path, row in rows.items()} == {
        ("bolt/train/good/0.png", "bolt", None),
        ("bolt/test/cut/0.png", "bolt", "bolt/ground_truth/cut/0_mask.png"),
        ("siteB/bolt/train/good/0.png", "siteB/bolt", None),
        ("siteB/bolt/test/cut/0.png", "siteB/bolt", "siteB/bolt/ground_truth/cut/0_mask.png"),
    }
    assert strays_of("mvtec_ad", tmp_path) == {}


def test_two_products_of_one_name_are_told_apart_in_a_zip_and_with_equal_sizes(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    for site in "AB":
        for folder in ("Train", "Test"):
            write(root, f"{site}/Class1/{folder}/1.PNG", content=f"{site}{folder}".encode())
    expected = {"Class1/Train/1.PNG", "Class1/Test/1.PNG"}
    expected |= {f"B/{path}" for path in expected}
    assert set(images_of("dagm_2007", root)) == expected
    assert set(images_of("dagm_2007", zip_of(root, tmp_path / "root.zip"))) == expected


def test_a_folder_with_equal_files_is_a_copy_and_its_other_files_load(tmp_path: Path) -> None:
    write(tmp_path, "a/bolt/train/good/0.png", "b/bolt/train/good/0.png", content=b"equal")
    write(tmp_path, "b/bolt/train/good/1.png")
    assert set(images_of("mvtec_ad", tmp_path)) == {
        "bolt/train/good/0.png",
        "bolt/train/good/1.png",
    }
    assert catalog_of("mvtec_ad", tmp_path).stray_files.to_pylist() == [
        {
            "relative_path": "b/bolt/train/good/0.png",
            "reason": "duplicate_path",
            "detail": "also found as a/bolt/train/good/0.png",
        }
    ]


@pytest.mark.slow
def test_one_of_two_products_of_one_name_is_reloaded_alone(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    root = two_sites(tmp_path / "root")
    load(MVTEC, str(root), warehouse)
    write(root, "siteB/bolt/train/good/1.png", "siteA/bolt/train/good/1.png")
    found = load(MVTEC, str(root), warehouse, categories=["siteB/bolt"])
    assert found.tables["images"].inserted == 1
    assert "siteB/bolt/train/good/1.png" in rows_of(warehouse, MVTEC)
    assert load(MVTEC, str(root), warehouse, categories=["bolt"]).tables["images"].inserted == 1
    assert not load(MVTEC, str(root), warehouse).any_change


def test_stray_files_of_another_layout_are_named_by_paths_that_exist(tmp_path: Path) -> None:
    for category in ("can", "fabric"):
        write(tmp_path, f"{category}/train/good/0.png", f"{category}/test_public/bad/0.png")
        write(tmp_path, f"{category}/test_public/ground_truth/bad/0_mask.png", content=b"equal")
    strays = strays_of("mvtec_ad", tmp_path)
    assert sorted(strays.values()) == ["orphan_mask"] * 2 + ["unrecognised_path"] * 2
    assert all((tmp_path / path).is_file() for path in strays)


def test_stray_files_below_an_extra_folder_are_named_by_paths_that_exist(tmp_path: Path) -> None:
    lower_labels = "DAGM/Class1/Train/Label/Labels.txt"
    write(tmp_path, "DAGM/Class1/Train/1.PNG", "DAGM/Class1/Train/1.jpg")
    write(tmp_path, "DAGM/Class1/Train/Label/9_label.PNG", "DAGM/Class1/Train/Label/1.PNG")
    write(tmp_path, "DAGM/Class1/Train/Label/1_label.PNG")
    write(tmp_path, lower_labels, content=b"1\nnonsense\n")
    strays = strays_of("dagm_2007", tmp_path)
    assert strays == {
        "DAGM/Class1/Train/1.jpg": "unsupported_suffix",
        "DAGM/Class1/Train/Label/9_label.PNG": "orphan_mask",
        "DAGM/Class1/Train/Label/1_label.PNG": "duplicate_mask",
        lower_labels: "malformed_labels",
    }


@pytest.mark.slow
def test_stray_files_of_one_category_below_an_extra_folder_are_reloaded_with_it(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    root = write(tmp_path / "root", *(f"mvtec/{path}" for path in MVTEC_PATHS))
    load(MVTEC, str(root), warehouse)
    write(root, "mvtec/bottle/train/good/notes.txt")
    found = load(MVTEC, str(root), warehouse, categories=["bottle"])
    assert found.tables["stray_files"].inserted == 1
    assert "mvtec/bottle/train/good/notes.txt" in rows_of(warehouse, MVTEC, "stray_files")
    assert not load(MVTEC, str(root), warehouse).any_change


@pytest.mark.slow
def test_a_dagm_root_that_is_read_ignoring_case_is_loaded_once(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    root = lower(tmp_path / "root")
    found = load(DAGM, str(root), warehouse)
    assert len(found.notes) == 1
    assert not load(DAGM, str(root), warehouse).any_change
