"""Test exports of the images that a data quality check names."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from anomaly_assets.cli.export import main
from anomaly_assets.export import to_label_studio, to_parquet
from anomaly_assets.export.destination import described
from anomaly_assets.splitting.plan import Plan
from anomaly_assets.splitting.update import update
from anomaly_assets_tests.curation.corrected import correct
from anomaly_assets_tests.export.published import (
    PICTURES,
    WITHOUT_MASK,
    publish_pictures,
    publish_project,
)
from anomaly_assets_tests.splitting.near import add_near_duplicates
from anomaly_assets_tests.warehouse.project import Project, noise

COPIES = ["mvtec_ad/bottle/test/good/000.png", "mvtec_ad/bottle/train/good/001.png"]
IN_TRAINING = "mvtec_ad/bottle/train/dent/000.png"
UNKNOWN = "dagm_2007/Class2/Train/0001.PNG"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish images of which several fail a check."""
    pictures: dict[str, Image.Image] = {
        **PICTURES,
        COPIES[1]: PICTURES[COPIES[0]],
        IN_TRAINING: noise(50),
        UNKNOWN: noise(51, "L"),
        "dagm_2007/Class2/Test/0002.PNG": PICTURES["dagm_2007/Class1/Test/0003.PNG"],
    }
    return publish_pictures(tmp_path_factory.mktemp("faulty"), pictures)


def exported(folder: Path) -> list[str]:
    return sorted(pq.read_table(folder / "data")["image_id"].to_pylist())


@pytest.mark.slow
def test_the_images_that_a_check_names_are_exported(faulty: Path, tmp_path: Path) -> None:
    made = to_parquet(tmp_path / "out", faulty, check="anomalous_images_have_masks")
    assert exported(made.folder) == [WITHOUT_MASK, IN_TRAINING]
    facts = described(made.folder)
    assert facts is not None
    assert facts["filters"] == {"check": "anomalous_images_have_masks"}
    assert (made.samples, made.unknown) == (2, 0)


def test_all_copies_of_a_content_are_exported(faulty: Path, tmp_path: Path) -> None:
    made = to_parquet(tmp_path / "out", faulty, check="contents_stay_in_one_split")
    assert exported(made.folder) == sorted([*COPIES])


def test_a_check_on_training_images_is_about_datasets_that_promise_good_ones(
    faulty: Path, tmp_path: Path
) -> None:
    made = to_parquet(tmp_path / "out", faulty, check="training_images_are_good")
    assert exported(made.folder) == [IN_TRAINING]


def test_other_filters_hold_as_well(faulty: Path, tmp_path: Path) -> None:
    check = "anomalous_images_have_masks"
    made = to_parquet(tmp_path / "out", faulty, check=check, split="train")
    assert exported(made.folder) == [IN_TRAINING]
    message = "None of the images that the check names \\(2\\) is among these 3 samples"
    with pytest.raises(LookupError, match=message):
        to_parquet(tmp_path / "none", faulty, check=check, label="good", category="bottle")


def test_images_of_unknown_label_are_counted_or_included(faulty: Path, tmp_path: Path) -> None:
    check = "contents_stay_in_one_category"
    made = to_parquet(tmp_path / "out", faulty, check=check)
    assert (made.samples, made.unknown) == (1, 1)
    made = to_label_studio(tmp_path / "all", faulty, check=check, include_unknown=True)
    assert (made.samples, made.unknown) == (2, 0)


def test_a_check_that_passes_or_does_not_exist_is_an_error_that_says_so(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--format", "coco", "--out", str(tmp_path / "out"), "--database", str(faulty)]
    assert main([*arguments, "--check", "masks_are_binary"]) == 1
    assert capsys.readouterr().err == (
        "error: The check masks_are_binary names no image: there is nothing to export.\n"
    )
    assert main([*arguments, "--check", "labels_are_known"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: 'labels_are_known' is no check that names images. These are: ")
    assert "anomalous_images_have_masks, contents_stay_in_one_category," in said


@pytest.mark.slow
def test_both_images_of_near_duplicates_and_of_parted_folds_and_corrected_images_are_exported(
    tmp_path: Path,
) -> None:
    good, copied, other = (f"mvtec_ad/bottle/train/good/00{number}.png" for number in range(3))
    project = Project.at(tmp_path)
    project.save({**PICTURES, other: noise(60)})
    publish_project(project)
    correct(project, f"{other},,split,nowhere,,,")
    with project.warehouse.connect() as connection:
        add_near_duplicates(connection, [(good, copied, 0.1), (good, COPIES[0], 0.2)])
        connection.execute(
            "UPDATE near_duplicates SET crosses_splits = contains(image_id_b, '/test/') "
            "OR contains(image_id_a, '/test/')"
        )
        update(connection, tmp_path / "splits", "v1", Plan(val=0.5))
        connection.execute(
            "UPDATE assigned_contents SET fold = CASE image_id WHEN ? THEN 'val' ELSE 'train' END",
            [good],
        )
    database = publish_project(project)
    named = {
        "near_duplicates_stay_in_one_split": sorted([good, COPIES[0]]),
        "folds_do_not_leak": sorted([good, copied, COPIES[0]]),
        "corrections_are_applied": [other],
    }
    for check, expected in named.items():
        assert exported(to_parquet(tmp_path / check, database, check=check).folder) == expected
