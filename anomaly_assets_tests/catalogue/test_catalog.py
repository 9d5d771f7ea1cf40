"""Test the listing of every kind of file below a root."""

import os
import zipfile
import zlib
from datetime import datetime, timezone
from pathlib import Path

import pytest

from anomaly_assets.catalogue import labels_files
from anomaly_assets.catalogue.listing import IMAGES_SCHEMA, STRAY_FILES_SCHEMA, listing_digest
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.catalogue.trees import (
    DAGM,
    MVTEC_PATHS,
    Row,
    catalog_of,
    images_of,
    strays_of,
    write,
    write_dagm,
    zip_of,
)

OF_THE_COPY = {"source_uri", "mask_source_uri", "modified_at", "file_version", "mask_file_version"}
"""Columns about the place and time of a load, not about the content."""


def kinds(rows: dict[str, Row]) -> dict[str, tuple[str, str | None, str | None]]:
    return {
        path: (row["label"], row["defect_type"], row["mask_relative_path"])
        for path, row in rows.items()
    }


def test_an_image_row_says_everything_about_its_file(tmp_path: Path) -> None:
    write(tmp_path, "bottle/test/broken/000.png", content=b"four")
    write(tmp_path, "bottle/ground_truth/broken/000_mask.png", content=b"seven__")
    os.utime(tmp_path / "bottle/test/broken/000.png", ns=(0, 1_000_000_000))
    os.utime(tmp_path / "bottle/ground_truth/broken/000_mask.png", ns=(0, 2_000_000_000))
    catalog = catalog_of("mvtec_ad", tmp_path)
    assert catalog.images.to_pylist() == [
        {
            "image_id": "mvtec_ad/bottle/test/broken/000.png",
            "source_dataset": "mvtec_ad",
            "category": "bottle",
            "split": "test",
            "label": "anomalous",
            "label_index": 1,
            "defect_type": "broken",
            "filename": "000.png",
            "relative_path": "bottle/test/broken/000.png",
            "source_uri": f"{tmp_path.as_uri()}/bottle/test/broken/000.png",
            "file_size_bytes": 4,
            "modified_at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc),
            "file_version": "4-1000000000",
            "mask_relative_path": "bottle/ground_truth/broken/000_mask.png",
            "mask_source_uri": f"{tmp_path.as_uri()}/bottle/ground_truth/broken/000_mask.png",
            "mask_file_version": "7-2000000000",
            "declared_label_index": None,
            "label_source": "path",
            "path_label_index": 1,
            "table_label_index": None,
            "mask_reading": None,
            "attributes": None,
        }
    ]
    assert catalog.images.schema == IMAGES_SCHEMA
    assert catalog.stray_files.schema == STRAY_FILES_SCHEMA
    assert (catalog.stray_files.num_rows, catalog.ignored, catalog.empty_because) == (0, 0, None)


def test_masks_are_paired_by_name_within_category_and_defect_type(tmp_path: Path) -> None:
    write(tmp_path, *MVTEC_PATHS)
    # 000 of another category or defect type is another image.
    write(tmp_path, "cable/test/bent/000.png")
    assert kinds(images_of("mvtec_ad", tmp_path)) == {
        "bottle/train/good/000.png": ("good", None, None),
        "bottle/train/good/001.png": ("good", None, None),
        "bottle/test/good/000.png": ("good", None, None),
        "bottle/test/broken/000.png": (
            "anomalous",
            "broken",
            "bottle/ground_truth/broken/000_mask.png",
        ),
        "bottle/test/broken/001.png": ("anomalous", "broken", None),
        "cable/train/good/000.png": ("good", None, None),
        "cable/train/good/001.png": ("good", None, None),
        "cable/train/good/002.png": ("good", None, None),
        "cable/test/cut/000.png": ("anomalous", "cut", "cable/ground_truth/cut/000_mask.png"),
        "cable/test/cut/001.png": ("anomalous", "cut", None),
        "cable/test/bent/000.png": ("anomalous", "bent", None),
    }
    assert strays_of("mvtec_ad", tmp_path) == {"cable/ground_truth/cut/007_mask.png": "orphan_mask"}


def test_masks_are_paired_by_name_and_not_by_position(tmp_path: Path) -> None:
    write(tmp_path, *(f"bottle/test/cut/{name}.png" for name in ("001", "002", "010")))
    write(tmp_path, *(f"bottle/ground_truth/cut/{name}_mask.png" for name in ("002", "010", "011")))
    masks = {path: row[2] for path, row in kinds(images_of("mvtec_ad", tmp_path)).items()}
    assert masks == {
        "bottle/test/cut/001.png": None,
        "bottle/test/cut/002.png": "bottle/ground_truth/cut/002_mask.png",
        "bottle/test/cut/010.png": "bottle/ground_truth/cut/010_mask.png",
    }
    assert strays_of("mvtec_ad", tmp_path) == {
        "bottle/ground_truth/cut/011_mask.png": "orphan_mask"
    }


def test_a_mask_in_the_other_split_is_an_orphan(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/0001.PNG", "Class1/Test/Label/0001_label.PNG")
    assert kinds(images_of("dagm_2007", tmp_path)) == {
        "Class1/Train/0001.PNG": ("good", None, None)
    }
    assert strays_of("dagm_2007", tmp_path) == {"Class1/Test/Label/0001_label.PNG": "orphan_mask"}


def test_one_mask_goes_to_the_image_with_its_suffix(tmp_path: Path) -> None:
    write(tmp_path, "bottle/test/cut/000.png", "bottle/test/cut/000.PNG")
    write(tmp_path, "bottle/ground_truth/cut/000_mask.png")
    if len(os.listdir(tmp_path / "bottle/test/cut")) == 1:
        pytest.skip("this file system does not distinguish upper from lower case")
    mask = "bottle/ground_truth/cut/000_mask.png"
    assert kinds(images_of("mvtec_ad", tmp_path)) == {
        "bottle/test/cut/000.PNG": ("anomalous", "cut", None),
        "bottle/test/cut/000.png": ("anomalous", "cut", mask),
    }


def test_a_second_mask_for_one_image_is_a_stray_that_names_the_first(tmp_path: Path) -> None:
    write(tmp_path, "bottle/test/cut/000.png")
    write(tmp_path, "bottle/ground_truth/cut/000.png", "bottle/ground_truth/cut/000_mask.png")
    catalog = catalog_of("mvtec_ad", tmp_path)
    assert catalog.images["mask_relative_path"].to_pylist() == ["bottle/ground_truth/cut/000.png"]
    assert catalog.stray_files.to_pylist() == [
        {
            "relative_path": "bottle/ground_truth/cut/000_mask.png",
            "reason": "duplicate_mask",
            "detail": "the image has bottle/ground_truth/cut/000.png",
        }
    ]


def test_a_flat_test_image_with_a_mask_is_unknown_until_the_mask_is_decoded(tmp_path: Path) -> None:
    write(tmp_path, "bottle/train/016.png", "bottle/test/000.png", "bottle/test/001.png")
    write(tmp_path, "bottle/ground_truth/000_mask.png", "bottle/ground_truth/016_mask.png")
    assert kinds(images_of("mvtec_ad", tmp_path)) == {
        "bottle/train/016.png": ("good", None, None),
        "bottle/test/000.png": ("unknown", None, "bottle/ground_truth/000_mask.png"),
        "bottle/test/001.png": ("good", None, None),
    }
    assert strays_of("mvtec_ad", tmp_path) == {"bottle/ground_truth/016_mask.png": "orphan_mask"}


@pytest.mark.parametrize(
    ("mask", "declared", "label"),
    [
        (False, None, "unknown"),
        (False, 0, "good"),
        (False, 1, "anomalous"),
        (True, None, "unknown"),
        (True, 0, "good"),
        (True, 1, "anomalous"),
    ],
)
def test_a_dagm_image_has_its_declared_label_until_its_mask_is_decoded(
    tmp_path: Path, mask: bool, declared: int | None, label: str
) -> None:
    write(tmp_path, "Class1/Train/0001.PNG")
    if mask:
        write(tmp_path, "Class1/Train/Label/0001_label.PNG")
    if declared is not None:
        content = b"1\n1\t%d\t0001.PNG\t0\t0\t\n" % declared
        write(tmp_path, "Class1/Train/Label/Labels.txt", content=content)
    (row,) = images_of("dagm_2007", tmp_path).values()
    assert (row["label"], row["label_index"], row["declared_label_index"], row["defect_type"]) == (
        label,
        {"good": 0, "anomalous": 1}.get(label),
        declared,
        "unspecified" if label == "anomalous" else None,
    )
    assert strays_of("dagm_2007", tmp_path) == {}


def declared(root: Path) -> dict[str, tuple[int | None, str, int | None]]:
    """Return the declared and the resulting label of each image."""
    return {
        path: (row["declared_label_index"], row["label"], row["label_index"])
        for path, row in images_of("dagm_2007", root).items()
    }


def test_labels_count_for_their_own_class_and_split_only(tmp_path: Path) -> None:
    write_dagm(tmp_path)
    write(tmp_path, "Class1/Test/0002.PNG", "Class2/Train/0002.PNG")
    assert declared(tmp_path) == {
        "Class1/Train/0001.PNG": (0, "good", 0),
        "Class1/Train/0002.PNG": (1, "anomalous", 1),
        "Class1/Test/0002.PNG": (None, "good", 0),
        "Class1/Test/0003.PNG": (None, "good", 0),
        "Class2/Train/0002.PNG": (None, "unknown", None),
    }


def test_a_copy_with_lower_case_suffixes_keeps_its_declared_labels(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/0001.png", "Class1/Train/0002.png")
    content = b"1\n1\t0\t0001.PNG\t0\t0\t\n2\t1\t0002.PNG\t0\t0002_label.PNG\n"
    write(tmp_path, "Class1/Train/Label/Labels.txt", content=content)
    assert declared(tmp_path) == {
        "Class1/Train/0001.png": (0, "good", 0),
        "Class1/Train/0002.png": (1, "anomalous", 1),
    }
    assert strays_of("dagm_2007", tmp_path) == {}


def test_a_declared_image_without_a_file_is_named(tmp_path: Path) -> None:
    write_dagm(tmp_path)
    (tmp_path / "Class1/Train/0001.PNG").unlink()
    assert catalog_of("dagm_2007", tmp_path).stray_files.to_pylist() == [
        {
            "relative_path": "Class1/Train/0001.PNG",
            "reason": "declared_but_missing",
            "detail": "named in Class1/Train/Label/Labels.txt",
        }
    ]


def test_a_labels_file_that_names_ever_more_missing_images_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test a former bug: four such files with 380,000 lines each took 3.4 GB."""
    monkeypatch.setattr(labels_files, "MOST_MISSING", 1)
    write_dagm(tmp_path)
    for path in (tmp_path / "Class1/Train").glob("*.PNG"):
        path.unlink()
    strays = strays_of("dagm_2007", tmp_path)
    assert strays["Class1/Train/Label/Labels.txt"] == "declared_but_missing"
    assert len([reason for reason in strays.values() if reason == "declared_but_missing"]) == 2


def test_labels_that_are_not_understood_name_their_lines(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/0001.PNG")
    write(tmp_path, "Class1/Train/Label/Labels.txt", content=b"1\nhello\n1\t1\t0001.PNG\n\xff\n")
    catalog = catalog_of("dagm_2007", tmp_path)
    assert catalog.images["label"].to_pylist() == ["anomalous"]
    assert catalog.stray_files.to_pylist() == [
        {
            "relative_path": "Class1/Train/Label/Labels.txt",
            "reason": "malformed_labels",
            "detail": "2 invalid lines: 2, 4 (encodings tried: UTF-8); "
            "write lines of tab-separated fields: number, 0 or 1, file name",
        }
    ]


BAD_ROWS = {
    "label 2": "2\t2\t0002.PNG",
    "word": "2\tNG\t0002.PNG",
    "decimal": "2\t1.0\t0002.PNG",
    "comma": "2,1,0002.PNG",
    "space": "2 1 0002.PNG",
    "latin-1": "2\t1\t\udcfc.PNG",
}


@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_row_that_is_not_understood_makes_no_image_good(tmp_path: Path, row: str) -> None:
    write(tmp_path, *(f"Class1/Train/000{number}.PNG" for number in (1, 2, 3)))
    write(tmp_path, "Class1/Test/0004.PNG")
    content = f"1\n1\t0\t0001.PNG\n{row}\n3\t1\t0003.PNG\n".encode(errors="surrogateescape")
    write(tmp_path, "Class1/Train/Label/Labels.txt", content=content)
    assert declared(tmp_path) == {
        "Class1/Train/0001.PNG": (0, "good", 0),
        "Class1/Train/0002.PNG": (None, "unknown", None),
        "Class1/Train/0003.PNG": (1, "anomalous", 1),
        "Class1/Test/0004.PNG": (None, "good", 0),  # another split, whose labels file has no fault
    }
    (stray,) = catalog_of("dagm_2007", tmp_path).stray_files.to_pylist()
    assert stray["detail"].startswith("1 invalid line: 3")


def test_a_labels_file_that_cannot_be_read_makes_no_image_good(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/0001.PNG", "Class1/Train/0002.PNG")
    write(tmp_path, "Class1/Train/Label/0002_label.PNG")
    os.symlink("/etc/hostname", tmp_path / "Class1/Train/Label/Labels.txt")
    assert declared(tmp_path)["Class1/Train/0001.PNG"] == (None, "unknown", None)
    assert strays_of("dagm_2007", tmp_path) == {
        "Class1/Train/Label/Labels.txt": "link_out_of_the_root"
    }


def test_a_pointer_of_git_lfs_instead_of_labels_names_the_command(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/0001.PNG")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n"
    write(tmp_path, "Class1/Train/Label/Labels.txt", content=pointer)
    (stray,) = catalog_of("dagm_2007", tmp_path).stray_files.to_pylist()
    assert stray["detail"] == (
        "3 invalid lines: 1, 2, 3; the file is a pointer of Git LFS: run git lfs pull"
    )


def with_rows(root: Path, *rows: tuple[int, str], images: tuple[str, ...] = ()) -> Path:
    """Write training images of a class, and a labels file with these labels and names."""
    write(root, *(f"Class1/Train/{name}" for name in images or ("0001.PNG", "0002.PNG")))
    text = "1\n" + "".join(f"1\t{index}\t{name}\n" for index, name in rows)
    return write(root, "Class1/Train/Label/Labels.txt", content=text.encode())


def test_rows_that_name_no_image_are_no_evidence(tmp_path: Path) -> None:
    with_rows(tmp_path, (0, "1.PNG"), (1, "2.PNG"))
    assert declared(tmp_path) == {
        "Class1/Train/0001.PNG": (None, "unknown", None),
        "Class1/Train/0002.PNG": (None, "unknown", None),
    }
    catalog = catalog_of("dagm_2007", tmp_path)
    strays = {each["relative_path"]: each for each in catalog.stray_files.to_pylist()}
    assert {path: each["reason"] for path, each in strays.items()} == dict.fromkeys(
        ["Class1/Train/1.PNG", "Class1/Train/2.PNG", "Class1/Train/Label/Labels.txt"],
        "declared_but_missing",
    )
    assert strays["Class1/Train/Label/Labels.txt"]["detail"] == (
        "names 2 images, of which none is there"
    )


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}.bmp",
        "{}.png",
        "Train/{}.PNG",
        r"D:\data\Class1\Train\{}.PNG",
        "./{}.png",
        "train/{}",
    ],
)
def test_a_row_without_the_exact_name_belongs_to_the_one_similar_image(
    tmp_path: Path, form: str
) -> None:
    with_rows(tmp_path, (0, form.format("0001")), (1, form.format("0002")))
    assert declared(tmp_path) == {
        "Class1/Train/0001.PNG": (0, "good", 0),
        "Class1/Train/0002.PNG": (1, "anomalous", 1),
    }
    assert strays_of("dagm_2007", tmp_path) == {}


@pytest.mark.parametrize("folder", ["Test", "Label", "Class2"])
def test_a_row_with_the_path_of_another_folder_belongs_to_no_image(
    tmp_path: Path, folder: str
) -> None:
    write(tmp_path, "Class2/Train/0009.PNG")
    with_rows(tmp_path, (0, "0001.PNG"), (1, f"{folder}/0002.PNG"))
    assert declared(tmp_path)["Class1/Train/0002.PNG"][0] is None


def test_a_row_of_a_file_with_another_suffix_is_not_that_of_a_similar_image(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/0002.bmp")
    with_rows(tmp_path, (0, "0001.PNG"), (1, "0002.bmp"))
    assert declared(tmp_path)["Class1/Train/0002.PNG"] == (None, "good", 0)


def test_rows_that_may_belong_to_several_images_leave_them_unknown(tmp_path: Path) -> None:
    with_rows(
        tmp_path, (0, "0001.PNG"), (1, "a"), (0, "b.bmp"), (1, "b.jpg"),
        images=("0001.PNG", "a.PNG", "a.png", "b.PNG"),
    )  # fmt: skip
    labels = {path[13:]: label for path, (_, label, _) in declared(tmp_path).items()}
    assert labels == {
        "0001.PNG": "good",
        "a.PNG": "unknown",
        "a.png": "unknown",
        "b.PNG": "unknown",
    }
    assert strays_of("dagm_2007", tmp_path) == dict.fromkeys(
        ["Class1/Train/a", "Class1/Train/b.bmp", "Class1/Train/b.jpg"], "declared_but_missing"
    )


def test_a_row_belongs_to_the_image_of_exactly_its_name(tmp_path: Path) -> None:
    with_rows(tmp_path, (1, "0001.PNG"), images=("0001.PNG", "0001.png"))
    assert declared(tmp_path) == {
        "Class1/Train/0001.PNG": (1, "anomalous", 1),
        "Class1/Train/0001.png": (None, "unknown", None),
    }


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        ([(1, "0001.PNG"), (0, "0001.png")], 1),
        ([(0, "0001.png"), (1, "0001.PNG")], 1),
        ([(1, "0001.Png"), (0, "0001.png")], 1),
        ([(0, "0001.Png"), (1, "0001.png")], 1),
        ([(0, "0001.PNG"), (1, "0001.png")], 0),
    ],
)
def test_the_exact_name_counts_and_else_two_labels_mean_anomalous(
    tmp_path: Path, rows: list[tuple[int, str]], index: int
) -> None:
    with_rows(tmp_path, *rows, images=("0001.PNG",))
    assert declared(tmp_path)["Class1/Train/0001.PNG"][0] == index


@pytest.mark.parametrize("indices", [(0, 1), (1, 0)])
def test_two_labels_files_of_a_folder_are_merged(tmp_path: Path, indices: tuple[int, int]) -> None:
    with_rows(tmp_path, (indices[0], "0001.PNG"), (1, "0002.PNG"))
    write(tmp_path, "Class1/Train/Label/labels.txt", content=b"1\t%d\t0001.PNG\n" % indices[1])
    assert declared(tmp_path) == {
        "Class1/Train/0001.PNG": (1, "anomalous", 1),
        "Class1/Train/0002.PNG": (1, "anomalous", 1),
    }


def test_the_twin_of_an_image_with_a_mask_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, "bottle/test/a.png", "bottle/test/a.PNG", "bottle/test/b.png")
    write(tmp_path, "bottle/ground_truth/a_mask.png")
    assert kinds(images_of("mvtec_ad", tmp_path)) == {
        "bottle/test/a.PNG": ("unknown", None, None),
        "bottle/test/a.png": ("unknown", None, "bottle/ground_truth/a_mask.png"),
        "bottle/test/b.png": ("good", None, None),
    }
    assert strays_of("mvtec_ad", tmp_path) == {}


def test_a_mask_of_twins_with_another_suffix_is_ambiguous_and_both_are_unknown(
    tmp_path: Path,
) -> None:
    write(tmp_path, "bottle/test/a.png", "bottle/test/a.PNG", "bottle/test/b.png")
    write(tmp_path, "bottle/ground_truth/a_mask.Png", "bottle/ground_truth/c_mask.png")
    assert kinds(images_of("mvtec_ad", tmp_path)) == {
        "bottle/test/a.PNG": ("unknown", None, None),
        "bottle/test/a.png": ("unknown", None, None),
        "bottle/test/b.png": ("good", None, None),
    }
    strays = catalog_of("mvtec_ad", tmp_path).stray_files.to_pylist()
    assert [(each["reason"], each["detail"]) for each in strays] == [
        ("ambiguous_mask", "several images have this name: bottle/test/a.PNG, bottle/test/a.png"),
        ("orphan_mask", None),
    ]


def test_an_image_whose_mask_is_a_link_out_of_the_root_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, "bottle/test/a.png", "bottle/test/b.png", "bottle/ground_truth/c_mask.png")
    os.symlink("/etc/hostname", tmp_path / "bottle/ground_truth/a_mask.png")
    rows = images_of("mvtec_ad", tmp_path)
    assert {path: row["label"] for path, row in rows.items()} == {
        "bottle/test/a.png": "unknown",
        "bottle/test/b.png": "good",
    }


def test_each_of_two_twins_gets_the_mask_with_its_suffix(tmp_path: Path) -> None:
    write(tmp_path, "bottle/test/a.png", "bottle/test/a.PNG")
    write(tmp_path, "bottle/ground_truth/a_mask.png", "bottle/ground_truth/a_mask.PNG")
    rows = images_of("mvtec_ad", tmp_path)
    assert {path: row["mask_relative_path"] for path, row in rows.items()} == {
        "bottle/test/a.png": "bottle/ground_truth/a_mask.png",
        "bottle/test/a.PNG": "bottle/ground_truth/a_mask.PNG",
    }


def test_the_mask_with_the_official_ending_is_preferred(tmp_path: Path) -> None:
    write(tmp_path, "Class1/Train/0001.PNG")
    write(tmp_path, "Class1/Train/Label/0001_label.PNG", "Class1/Train/Label/0001_Label.png")
    (row,) = images_of("dagm_2007", tmp_path).values()
    assert row["mask_relative_path"] == "Class1/Train/Label/0001_label.PNG"
    assert strays_of("dagm_2007", tmp_path) == {
        "Class1/Train/Label/0001_Label.png": "duplicate_mask"
    }


def test_an_image_whose_name_ends_like_that_of_a_mask_has_the_mask_of_its_name(
    tmp_path: Path,
) -> None:
    write(tmp_path, "bottle/test/1/alpha_mask.png", "bottle/ground_truth/1/alpha_mask.png")
    (row,) = images_of("mvtec_ad", tmp_path).values()
    assert row["mask_relative_path"] == "bottle/ground_truth/1/alpha_mask.png"
    write(tmp_path, "bottle/test/1/alpha.png")  # then the mask is that of this image
    rows = images_of("mvtec_ad", tmp_path)
    assert rows["bottle/test/1/alpha_mask.png"]["mask_relative_path"] is None
    assert strays_of("mvtec_ad", tmp_path) == {}


def test_masks_in_folders_of_defects_say_nothing_about_images_outside_of_folders(
    tmp_path: Path,
) -> None:
    write(tmp_path, "bottle/test/000.png", "bottle/test/cut/000.png")
    write(tmp_path, "bottle/ground_truth/cut/000_mask.png")
    assert images_of("mvtec_ad", tmp_path)["bottle/test/000.png"]["label"] == "unknown"
    write(tmp_path, "bottle/test/001.png", "bottle/ground_truth/001_mask.png")
    assert images_of("mvtec_ad", tmp_path)["bottle/test/000.png"]["label"] == "good"


def test_a_path_at_the_root_and_one_level_deeper_is_one_image_and_one_stray(tmp_path: Path) -> None:
    path = "bottle/train/good/000.png"
    write(tmp_path, path, f"copy/{path}", "copy/bottle/train/good/001.png", content=b"same")
    assert {row["source_uri"] for row in images_of("mvtec_ad", tmp_path).values()} == {
        f"{tmp_path.as_uri()}/{path}",
        f"{tmp_path.as_uri()}/copy/bottle/train/good/001.png",
    }
    assert catalog_of("mvtec_ad", tmp_path).stray_files.to_pylist() == [
        {
            "relative_path": f"copy/{path}",
            "reason": "duplicate_path",
            "detail": f"also found as {path}",
        }
    ]


def test_junk_is_counted_and_has_no_row(tmp_path: Path) -> None:
    write(tmp_path, "bottle/train/good/000.png", "readme.txt", "bottle/license.txt", ".DS_Store")
    write(tmp_path, "bottle/train/good/Thumbs.db", "__MACOSX/bottle/train/good/._000.png")
    write(tmp_path, ".cache/bottle/train/good/000.png")
    catalog = catalog_of("mvtec_ad", tmp_path)
    assert (catalog.images.num_rows, catalog.stray_files.num_rows, catalog.ignored) == (1, 0, 6)


@pytest.mark.parametrize(
    ("dataset", "wrapper"),
    [("mvtec_ad", "mvtec_anomaly_detection"), ("dagm_2007", "DAGM_KaggleUpload")],
)
def test_a_folder_one_level_deeper_and_a_zip_give_the_same_catalogue(
    tmp_path: Path, dataset: str, wrapper: str
) -> None:
    folder = tmp_path / "outer" / wrapper
    if dataset == "mvtec_ad":
        write(folder, *MVTEC_PATHS, "bottle/train/good/000.jpg", "readme.txt")
    else:
        write_dagm(folder)
        write(folder, "Class1/Test/Label/0009_label.PNG", "Class1/Train/Thumbs.db")
    roots = [
        folder,
        folder.parent,
        zip_of(folder, tmp_path / "plain.zip"),
        zip_of(folder, tmp_path / "deeper.zip", f"{wrapper}/"),
    ]
    catalogs = [catalog_of(dataset, root) for root in roots]
    kept = [name for name in IMAGES_SCHEMA.names if name not in OF_THE_COPY]
    assert catalogs[0].images.num_rows == (10 if dataset == "mvtec_ad" else 3)
    for catalog in catalogs[1:]:
        assert (
            catalog.images.select(kept).to_pylist() == catalogs[0].images.select(kept).to_pylist()
        )
        assert [
            {**row, "relative_path": row["relative_path"].removeprefix(f"{wrapper}/")}
            for row in catalog.stray_files.to_pylist()
        ] == catalogs[0].stray_files.to_pylist()
        assert catalog.ignored == catalogs[0].ignored == 1


def test_an_image_written_twice_into_a_zip_is_listed_as_it_reads(tmp_path: Path) -> None:
    path = "bottle/train/good/000.png"
    archive = zip_of(write(tmp_path / "files", path, content=b"old"), tmp_path / "x.zip")
    with zipfile.ZipFile(archive, "a") as target, pytest.warns(UserWarning, match="Duplicate"):
        target.writestr(path, b"newer")
    (row,) = images_of("mvtec_ad", archive).values()
    assert open_root(str(archive)).read(path) == b"newer"
    assert row["file_version"] == f"crc32-{zlib.crc32(b'newer'):08x}-5"
    assert strays_of("mvtec_ad", archive) == {path: "superseded_in_archive"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"two words", "two words"),
        (b'it\'s "quoted"', 'it\'s "quoted"'),
        (b"100% %20 %s", "100% %20 %s"),
        (b"a;b?c#d&e", "a;b?c#d&e"),
        (b"new\nline", "new\nline"),
        (b"back\\slash", "back\\slash"),
        ("bläh-\N{CROCODILE}".encode(), "bläh-\N{CROCODILE}"),
        (b"caf\xe9", "caf\\xe9"),
    ],
)
def test_a_strange_name_survives_and_leads_back_to_its_bytes(
    tmp_path: Path, name: bytes, shown: str
) -> None:
    paths = [
        b"%s/test/%s/%s.png" % (name, name, name),
        b"%s/ground_truth/%s/%s_mask.png" % ((name,) * 3),
    ]
    try:
        write(tmp_path, *paths)
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    (row,) = images_of("mvtec_ad", tmp_path).values()
    assert row["relative_path"] == f"{shown}/test/{shown}/{shown}.png"
    assert row["mask_relative_path"] == f"{shown}/ground_truth/{shown}/{shown}_mask.png"
    assert (row["category"], row["defect_type"], row["filename"]) == (shown, shown, f"{shown}.png")
    root = open_root(str(tmp_path))
    for path, uri in zip(paths, (row["source_uri"], row["mask_source_uri"]), strict=True):
        found = root.path_of(uri)
        assert found == os.fsdecode(path)
        assert root.read(found) == path


@pytest.mark.parametrize(
    ("dataset", "paths", "stray", "reason"),
    [
        (
            "mvtec_ad",
            [
                b"caf\xe9/test/cut/0.png",
                b"caf\xe9/ground_truth/cut/0.png",
                b"caf\xe9/ground_truth/cut/0_mask.png",
            ],
            "caf\\xe9/ground_truth/cut/0_mask.png",
            "duplicate_mask",
        ),
        (
            "mvtec_ad",
            [b"caf\xe9/train/good/0.png", b"copy/caf\xe9/train/good/0.png"],
            "copy/caf\\xe9/train/good/0.png",
            "duplicate_path",
        ),
        (
            "dagm_2007",
            [b"caf\xe9/Train/0001.PNG", b"caf\xe9/Train/Label/Labels.txt"],
            "caf\\xe9/Train/0009.PNG",
            "declared_but_missing",
        ),
    ],
)
def test_a_stray_in_a_folder_that_is_not_utf_8_is_named_like_any_other(
    tmp_path: Path, dataset: str, paths: list[bytes], stray: str, reason: str
) -> None:
    try:
        write(tmp_path, *paths, content=b"1\t0\t0001.PNG\n9\t1\t0009.PNG\n")
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    assert strays_of(dataset, tmp_path) == {stray: reason}


def test_of_two_names_that_look_alike_as_text_one_is_the_image(tmp_path: Path) -> None:
    try:
        write(tmp_path, b"bottle/train/good/\xff.png", b"bottle/train/good/\\xff.png")
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    path = "bottle/train/good/\\xff.png"
    assert set(images_of("mvtec_ad", tmp_path)) == {path}
    assert strays_of("mvtec_ad", tmp_path) == {path: "ambiguous_name"}


def test_a_link_inside_the_root_is_an_image(tmp_path: Path) -> None:
    write(tmp_path, "bottle/train/good/000.png")
    (tmp_path / "bottle/train/good/001.png").symlink_to("000.png")
    assert set(images_of("mvtec_ad", tmp_path)) == {
        "bottle/train/good/000.png",
        "bottle/train/good/001.png",
    }


def test_what_is_no_regular_file_of_the_root_is_a_stray_that_is_never_read(tmp_path: Path) -> None:
    root = write(tmp_path / "root", "bottle/train/good/000.png")
    folder = root / "bottle/train/good"
    (folder / "001.png").symlink_to(write(tmp_path, "secret") / "secret")
    os.mkfifo(folder / "002.png")
    (folder / "003.png").symlink_to(folder)
    assert set(images_of("mvtec_ad", root)) == {"bottle/train/good/000.png"}
    assert strays_of("mvtec_ad", root) == {
        "bottle/train/good/001.png": "link_out_of_the_root",
        "bottle/train/good/002.png": "not_a_regular_file",
        "bottle/train/good/003.png": "linked_folder",
    }


def test_a_link_to_nowhere_or_to_itself_is_a_broken_link(tmp_path: Path) -> None:
    write(tmp_path, "bottle/train/good/000.png")
    (tmp_path / "bottle/train/good/001.png").symlink_to("nowhere.png")
    (tmp_path / "bottle/train/good/002.png").symlink_to("002.png")
    assert strays_of("mvtec_ad", tmp_path) == {
        "bottle/train/good/001.png": "broken_link",
        "bottle/train/good/002.png": "broken_link",
    }


def test_a_category_folder_that_is_a_link_is_named_as_one(tmp_path: Path) -> None:
    root = write(tmp_path / "root", "bottle/train/good/000.png")
    (root / "cable").symlink_to(write(tmp_path / "elsewhere", "train/good/000.png"))
    assert set(images_of("mvtec_ad", root)) == {"bottle/train/good/000.png"}
    assert strays_of("mvtec_ad", root) == {"cable": "linked_folder"}
    [stray] = catalog_of("mvtec_ad", root).stray_files.to_pylist()
    assert stray["detail"] == "MVTEC_AD_LINKS=follow reads it if it leads out of the root"


def test_an_empty_root_says_so(tmp_path: Path) -> None:
    catalog = catalog_of("mvtec_ad", tmp_path)
    assert (catalog.images.num_rows, catalog.stray_files.num_rows) == (0, 0)
    assert catalog.empty_because == empty(tmp_path)


def empty(root: Path) -> str:
    return (
        f"{root.as_uri()} is empty; it should hold MVTec AD. If it is on a disk or a share, mount it; else "
        "set MVTEC_AD_ROOT to the folder that contains the category folders."
    )


def test_a_root_of_the_other_dataset_is_recognised_by_its_masks_and_labels(tmp_path: Path) -> None:
    catalog = catalog_of("mvtec_ad", write_dagm(tmp_path))
    assert (catalog.images.num_rows, catalog.other) == (0, DAGM)


def test_another_dataset_is_not_named_if_nothing_is_paired_in_its_layout(tmp_path: Path) -> None:
    write(tmp_path, "readme.txt", "license.txt", "bottle/train/good/000.png")
    write(
        tmp_path,
        *(f"{name}/{file}.txt" for name in ("bottle", "cable") for file in ("readme", "license")),
    )
    catalog = catalog_of("dagm_2007", tmp_path)
    assert catalog.other is None
    assert catalog.empty_because == (
        f"{tmp_path.as_uri()} contains no DAGM 2007 images (1 unrecognised_path). Set DAGM_2007_ROOT to "
        "the folder that contains the category folders, for example above 'bottle/train/good/000.png'."
    )


def test_a_root_that_holds_only_junk_is_as_good_as_empty(tmp_path: Path) -> None:
    write(tmp_path, ".DS_Store", "readme.txt")
    assert catalog_of("mvtec_ad", tmp_path).empty_because == empty(tmp_path)


def test_a_root_that_is_a_category_says_where_to_point(tmp_path: Path) -> None:
    root = tmp_path / "pill é"  # percent-encoded in the URL, but not in the path to set
    write(root, "train/good/000.png")
    catalog = catalog_of("mvtec_ad", root)
    assert catalog.likely_root == str(tmp_path)
    assert catalog.empty_because == (
        f"{root.as_uri()} contains no MVTec AD images. It looks like a category folder. "
        f"Set MVTEC_AD_ROOT={tmp_path} (its parent)."
    )


def test_a_root_too_low_by_two_folders_has_no_likely_root(tmp_path: Path) -> None:
    write(tmp_path, "good/000.png")
    catalog = catalog_of("mvtec_ad", tmp_path)
    assert catalog.likely_root is None
    assert catalog.empty_because == (
        f"{tmp_path.as_uri()} contains no MVTec AD images (1 unrecognised_path). Set MVTEC_AD_ROOT to the "
        "folder that contains the category folders, for example above 'good/000.png'."
    )


def test_the_digest_changes_exactly_when_the_listing_does(tmp_path: Path) -> None:
    write(tmp_path, *MVTEC_PATHS)
    before = listing_digest(catalog_of("mvtec_ad", tmp_path))
    write(tmp_path, "readme.txt")
    assert listing_digest(catalog_of("mvtec_ad", tmp_path)) == before
    os.utime(tmp_path / "cable/ground_truth/cut/000_mask.png", (1, 1))
    touched = listing_digest(catalog_of("mvtec_ad", tmp_path))
    write(tmp_path, "bottle/notes.csv")
    stray = listing_digest(catalog_of("mvtec_ad", tmp_path))
    assert len({before, touched, stray}) == 3


@pytest.mark.parametrize(
    ("dataset", "excerpt", "counts", "masks", "strays"),
    [
        (
            "mvtec_ad",
            "official_layout/mvtec_ad",
            {("train", "good"): 4, ("test", "good"): 4, ("test", "anomalous"): 20},
            11,
            {"orphan_mask": 7},
        ),
        (
            "dagm_2007",
            "official_layout/dagm_2007",
            {
                ("train", "good"): 32,
                ("train", "anomalous"): 11,
                ("test", "good"): 38,
                ("test", "anomalous"): 2,
            },
            13,
            {},
        ),
        (
            "mvtec_ad",
            "seed_excerpt/mvtec_excerpt",
            {("train", "good"): 10, ("test", "unknown"): 10},
            10,
            {},
        ),
        (
            "dagm_2007",
            "seed_excerpt/dagm_excerpt",
            {("train", "good"): 10, ("test", "unknown"): 10},
            10,
            {},
        ),
    ],
)
def test_the_real_excerpts_have_their_exact_numbers(
    real_root: Path,
    dataset: str,
    excerpt: str,
    counts: dict[tuple[str, str], int],
    masks: int,
    strays: dict[str, int],
) -> None:
    rows = list(images_of(dataset, real_root / excerpt).values())
    found = [(row["split"], row["label"]) for row in rows]
    assert {key: found.count(key) for key in found} == counts
    paired = [row["mask_relative_path"] for row in rows if row["mask_relative_path"]]
    assert len(paired) == len(set(paired)) == masks
    assert not set(paired) & {row["relative_path"] for row in rows}
    reasons = list(strays_of(dataset, real_root / excerpt).values())
    assert {reason: reasons.count(reason) for reason in reasons} == strays


def test_the_labels_of_the_real_class_agree_with_its_masks(real_root: Path) -> None:
    rows = images_of("dagm_2007", real_root / "official_layout/dagm_2007").values()
    assert all(
        row["declared_label_index"]
        == row["label_index"]
        == int(row["mask_relative_path"] is not None)
        for row in rows
    )
