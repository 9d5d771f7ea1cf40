"""Test that a corrected mask replaces the mask of exactly its image, and leaves with its line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anomaly_assets.tables.checks import LABEL_CHECKS, TENSOR_CHECKS, evaluate
from anomaly_assets_tests.curation.corrected import correct, details, sha256, statuses
from anomaly_assets_tests.warehouse.project import SPEC, Project, mask, noise

CRACK = "mvtec_ad/bottle/test/crack/000.png"
CRACK_MASK = "mvtec_ad/bottle/ground_truth/crack/000_mask.png"
PART = "dagm_2007/Class1/Train/0001.PNG"
"""Only its mask gives the label of this image."""
PART_MASK = "dagm_2007/Class1/Train/Label/0001_label.PNG"
LINE = f"{CRACK},,mask,masks/crack.png,,,"
AREA = "SELECT mask_area_fraction FROM samples WHERE image_id = ?"
LABEL = "SELECT label, label_source FROM {} WHERE image_id = ?"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.at(tmp_path_factory.mktemp("loaded"))
    project.save(
        {
            CRACK: noise(1),
            CRACK_MASK: mask((0, 0, 12, 8)),
            "mvtec_ad/bottle/train/good/000.png": noise(2),
            PART: noise(3, "L"),
            PART_MASK: mask((0, 0, 12, 8)),
        }
    )
    project.list_files()
    project.build()
    project.refresh_all()
    return project.folder


@pytest.fixture
def project(loaded: Path, tmp_path: Path) -> Project:
    project = Project.at(shutil.copytree(loaded, tmp_path / "project"))
    project.save({"masks/crack.png": mask((0, 0, 24, 8)), "masks/black.png": mask()})
    project.list_files()
    project.build()  # copies have the URIs of another folder
    return project


def is_current(project: Project) -> bool:
    check = next(
        each for each in TENSOR_CHECKS if each.name == "images_have_a_tensor_or_a_rejection"
    )
    with project.warehouse.connect() as connection:
        ((_, finding),) = evaluate(connection, check, spec=SPEC)
    return finding.passed


@pytest.mark.slow
def test_a_corrected_mask_is_read_and_leaves_with_its_line(project: Project) -> None:
    correct(project, LINE)
    assert not is_current(project)
    report = project.build()
    assert (report.decoded, report.changed, report.unchanged) == (1, 1, 2)
    assert is_current(project)
    assert project.column(AREA, [CRACK]) == [0.5]
    assert statuses(project) == ["applied"]
    assert project.build().decoded == 0
    correct(project)
    assert project.build().decoded == 1
    assert project.column(AREA, [CRACK]) == [0.25]


@pytest.mark.slow
def test_only_another_content_of_the_mask_makes_the_image_stale(project: Project) -> None:
    correct(project, LINE)
    project.build()
    project.path("masks/crack.png").rename(project.path("masks/renamed.png"))
    correct(project, LINE.replace("crack.png,", "renamed.png,"))
    assert project.build().decoded == 0
    project.save({"masks/renamed.png": mask((0, 0, 24, 16))})
    correct(project, LINE.replace("crack.png,", "renamed.png,"))
    assert project.build().decoded == 1
    assert project.column(AREA, [CRACK]) == [1.0]


def test_one_build_decodes_a_new_image_with_its_corrected_mask(project: Project) -> None:
    new = "mvtec_ad/bottle/test/crack/001.png"
    project.save({new: noise(7)})
    project.list_files()
    content = sha256(project.path(new))
    correct(project, f",{content},mask,masks/crack.png,,,")
    assert statuses(project) == ["unknown_image"]
    report = project.build()
    assert (report.decoded, report.changed, report.unchanged) == (1, 0, 3)
    assert project.column(AREA, [new]) == [0.5]
    assert is_current(project)


def test_the_content_of_a_corrected_mask_decides_the_label_that_masks_decide(
    project: Project,
) -> None:
    assert project.rows(LABEL.format("effective_images"), [PART]) == [("anomalous", "mask")]
    correct(project, f"{PART},,mask,masks/black.png,,,", LINE)
    project.build()
    assert project.rows(LABEL.format("effective_images"), [PART]) == [("good", "mask")]
    assert project.rows(LABEL.format("effective_images"), [CRACK]) == [("anomalous", "path")]
    assert project.rows(LABEL.format("images"), [CRACK]) == [("anomalous", "path")]


@pytest.mark.slow
def test_a_mask_of_another_content_is_not_used(project: Project) -> None:
    correct(project, LINE)
    project.save({CRACK: noise(8)})
    project.list_files()
    project.build()
    assert statuses(project) == ["other_content"]
    assert project.column(AREA, [CRACK]) == [0.25]


@pytest.mark.slow
def test_two_masks_of_one_image_are_a_conflict(project: Project) -> None:
    correct(project, LINE, f"{CRACK},,mask,masks/black.png,,,")
    assert statuses(project) == ["conflict", "conflict"]
    assert project.build().decoded == 0


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("masks/none.png", "the mask cannot be read: masks/none.png: No such file or directory"),
        ("../crack.png", "../crack.png is no path below the folder of the file"),
        ("/etc/hostname", "/etc/hostname is no path below the folder of the file"),
    ],
)
def test_a_mask_that_cannot_be_read_is_impossible(project: Project, path: str, fault: str) -> None:
    correct(project, f"{CRACK},,mask,{path},,,")
    assert (statuses(project), details(project)) == (["impossible_value"], [fault])
    assert project.build().decoded == 0


@pytest.mark.slow
def test_a_mask_that_changed_since_the_line_was_read_is_not_used(project: Project) -> None:
    correct(project, LINE)
    project.save({"masks/crack.png": mask((0, 0, 24, 16))})
    report = project.build()
    assert report.rejections == {"changed_while_reading": 1}
    assert project.column(AREA, [CRACK]) == [0.25]
    project.save({"masks/crack.png": mask((0, 0, 24, 8))})
    project.build()
    assert project.column(AREA, [CRACK]) == [0.5]


@pytest.mark.slow
def test_an_excluded_image_gets_its_corrected_mask_too(project: Project) -> None:
    correct(project, LINE, f"{CRACK},,exclude,true,,,")
    project.build()
    assert is_current(project)
    correct(project, LINE)
    assert project.build().decoded == 0
    assert project.column(AREA, [CRACK]) == [0.5]


VERSIONS = "SELECT mask_file_version IS NULL, mask_area_fraction FROM facts WHERE image_id = ?"


@pytest.mark.slow
def test_the_mask_of_the_source_holds_while_a_corrected_mask_cannot_be_decoded(
    project: Project,
) -> None:
    project.path("masks/crack.png").write_bytes(b"no picture")
    correct(project, LINE)
    for _ in range(2):
        project.build()
        assert statuses(project) == ["unreadable_mask"]
        assert details(project)[0].startswith("the mask of the source holds: ")
        assert project.column(AREA, [CRACK]) == [0.25]
        assert is_current(project)
        effective = "SELECT mask_relative_path FROM effective_images WHERE image_id = ?"
        assert project.column(effective, [CRACK]) == [CRACK_MASK.partition("/")[2]]
        assert project.column("SELECT relative_path FROM rejected_images") == ["masks/crack.png"]
    assert project.build().decoded == 0

    project.save({CRACK_MASK: mask((0, 0, 24, 16))})  # the source goes on
    project.list_files()
    assert project.build().decoded == 1
    assert (statuses(project), project.column(AREA, [CRACK])) == (["unreadable_mask"], [1.0])

    project.save({"masks/crack.png": mask((0, 0, 24, 8))})
    correct(project, LINE)
    project.build()
    assert (statuses(project), project.column(AREA, [CRACK])) == (["applied"], [0.5])
    assert project.column("SELECT relative_path FROM rejected_images") == []


@pytest.mark.slow
def test_a_corrected_mask_that_cannot_be_decoded_leaves_with_its_line(project: Project) -> None:
    project.path("masks/crack.png").write_bytes(b"no picture")
    correct(project, LINE, f"{PART},,mask,masks/crack.png,,,")
    project.build()
    assert project.rows("SELECT image_id FROM rejected_images ORDER BY ALL") == [(PART,), (CRACK,)]
    correct(project, f"{PART},,mask,masks/crack.png,,,")
    project.build()
    assert project.rows("SELECT image_id FROM rejected_images") == [(PART,)]
    correct(project)
    assert project.build().decoded == 0
    assert project.rows("FROM rejected_images") == []


@pytest.mark.slow
def test_a_new_image_whose_corrected_mask_cannot_be_decoded_keeps_that_of_the_source(
    project: Project,
) -> None:
    new = "mvtec_ad/bottle/test/crack/001.png"
    project.path("masks/crack.png").write_bytes(b"no picture")
    picture, drawn = noise(7), mask((0, 0, 12, 8))
    project.save({new: picture, "mvtec_ad/bottle/ground_truth/crack/001_mask.png": drawn})
    project.list_files()
    correct(project, f",{sha256(project.path(new))},mask,masks/crack.png,,,")
    project.build()
    assert (statuses(project), project.column(AREA, [new])) == (["unreadable_mask"], [0.25])


def test_a_mask_that_cannot_be_read_for_a_while_is_tried_again(project: Project) -> None:
    correct(project, LINE)
    project.save({"masks/crack.png": mask((0, 0, 24, 16))})
    project.build()
    assert (statuses(project), project.column(AREA, [CRACK])) == (["unreadable_mask"], [0.25])
    project.save({"masks/crack.png": mask((0, 0, 24, 8))})
    project.build()
    assert (statuses(project), project.column(AREA, [CRACK])) == (["applied"], [0.5])


@pytest.mark.slow
def test_a_mask_of_a_good_image_is_reported_and_used_once_the_label_is_corrected(
    project: Project,
) -> None:
    good = "mvtec_ad/bottle/train/good/000.png"
    correct(project, f"{good},,mask,masks/crack.png,,,")
    project.build()
    assert (statuses(project), details(project)) == (
        ["impossible_value"],
        [f"{good} is good, so its mask is not used: correct its label as well"],
    )
    assert project.column(AREA, [good]) == [None]
    check = next(each for each in LABEL_CHECKS if each.name == "labels_agree")
    with project.warehouse.connect() as connection:
        ((_, finding),) = evaluate(connection, check)
    assert finding.shown == [
        (
            good,
            "good by its path, but a corrected mask with defective pixels; used: good by path",
        )
    ]
    correct(project, f"{good},,mask,masks/crack.png,,,", f"{good},,label,anomalous,,,")
    assert project.build().decoded == 0
    assert (statuses(project), project.column(AREA, [good])) == (["applied", "applied"], [0.5])
    correct(project, f"{good},,mask,masks/black.png,,,")
    project.build()
    assert statuses(project) == ["applied"]
