"""Test the summaries, number by number, on a catalogue small enough to count by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone

import numpy as np
import pytest

from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.ddl import sql_text
from anomaly_assets_tests.warehouse.project import Project, mask, noise

GREY = (20, 10)
PICTURES = {
    "mvtec_ad/bottle/train/good/000.png": noise(0),
    "mvtec_ad/bottle/train/good/001.png": noise(1),
    "mvtec_ad/bottle/test/good/000.png": noise(0),
    "mvtec_ad/bottle/test/crack/000.png": noise(2),
    "mvtec_ad/bottle/test/crack/001.png": noise(3),
    "mvtec_ad/bottle/test/crack/002.png": noise(4),
    "mvtec_ad/bottle/test/crack/003.png": noise(5),
    "mvtec_ad/bottle/ground_truth/crack/000_mask.png": mask((2, 3, 8, 7)),
    "mvtec_ad/bottle/ground_truth/crack/001_mask.png": mask((0, 0, 24, 4), (0, 8, 12, 12)),
    "mvtec_ad/bottle/ground_truth/crack/002_mask.png": mask(),
    "mvtec_ad/tile/train/good/000.png": noise(6, "L", GREY),
    "mvtec_ad/tile/test/good/000.png": noise(2),
    "dagm_2007/Class1/Train/0001.PNG": noise(7, "L", GREY),
    "dagm_2007/Class1/Train/0002.PNG": noise(8, "L", GREY),
    "dagm_2007/Class1/Train/Label/0002_label.PNG": mask((0, 0, 5, 5), size=GREY),
    "dagm_2007/Class1/Test/0003.PNG": noise(9, "L", GREY),
}
DAMAGED = "mvtec_ad/bottle/train/good/002.png"
TURNED = Recipe(5, 7, 1)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.at(tmp_path_factory.mktemp("counted"))
    project.save(PICTURES)
    project.path(DAMAGED).write_bytes(b"no picture")
    project.path("mvtec_ad/bottle/ground_truth/crack/003_mask.png").write_bytes(b"no picture")
    project.list_files()
    project.build()
    project.refresh_all()
    return project


def size_of(project: Project, *image_ids: str) -> int:
    return sum(project.path(image_id).stat().st_size for image_id in image_ids)


def numbered(start: str, count: int) -> list[str]:
    return [f"{start}/{number:03}.png" for number in range(count)]


@pytest.mark.slow
def test_dataset_summary_counts_every_group(counted: Project) -> None:
    bottle, tile, dagm = "mvtec_ad/bottle", "mvtec_ad/tile", "dagm_2007/Class1"
    rgb, grey = (["24x16"], ["RGB"]), (["20x10"], ["L"])

    def row(*group: object, counts: Sequence[int], files: list[str], kinds: tuple) -> tuple:
        return (*group, *counts, size_of(counted, *files), *kinds)

    assert counted.rows("FROM dataset_summary ORDER BY ALL") == [
        row(
            *("dagm_2007", "Class1", "test", "good", None),
            counts=(1, 1, 0, 0), files=[f"{dagm}/Test/0003.PNG"], kinds=grey,
        ),
        row(
            *("dagm_2007", "Class1", "train", "anomalous", "unspecified"),
            counts=(1, 1, 0, 1), files=[f"{dagm}/Train/0002.PNG"], kinds=grey,
        ),
        row(
            *("dagm_2007", "Class1", "train", "good", None),
            counts=(1, 1, 0, 0), files=[f"{dagm}/Train/0001.PNG"], kinds=grey,
        ),
        row(
            *("mvtec_ad", "bottle", "test", "anomalous", "crack"),
            counts=(4, 4, 0, 4), files=numbered(f"{bottle}/test/crack", 4), kinds=rgb,
        ),
        row(
            *("mvtec_ad", "bottle", "test", "good", None),
            counts=(1, 1, 0, 0), files=[f"{bottle}/test/good/000.png"], kinds=rgb,
        ),
        row(
            *("mvtec_ad", "bottle", "train", "good", None),
            counts=(3, 2, 1, 0), files=numbered(f"{bottle}/train/good", 3), kinds=rgb,
        ),
        row(
            *("mvtec_ad", "tile", "test", "good", None),
            counts=(1, 1, 0, 0), files=[f"{tile}/test/good/000.png"], kinds=rgb,
        ),
        row(
            *("mvtec_ad", "tile", "train", "good", None),
            counts=(1, 1, 0, 0), files=[f"{tile}/train/good/000.png"], kinds=grey,
        ),
    ]  # fmt: skip


def test_a_group_without_any_usable_image_has_no_sizes_and_no_modes(counted: Project) -> None:
    with counted.warehouse.connect() as connection:
        connection.begin()
        connection.execute("DELETE FROM image_tensors WHERE image_id LIKE '%tile/train%'")
        connection.execute(sql_text("dataset_summary"))
        query = """
            SELECT images, tensors, original_sizes, original_modes FROM dataset_summary
            WHERE category = 'tile' AND split = 'train'
        """
        assert connection.execute(query).fetchall() == [(1, 0, None, None)]
        connection.rollback()


def test_pixel_statistics_are_those_of_the_good_training_tensors(counted: Project) -> None:
    rows = counted.rows("FROM pixel_statistics ORDER BY ALL")
    groups = {
        ("dagm_2007", "Class1"): ["dagm_2007/Class1/Train/0001.PNG"],
        ("mvtec_ad", "bottle"): numbered("mvtec_ad/bottle/train/good", 2),
        ("mvtec_ad", "tile"): numbered("mvtec_ad/tile/train/good", 1),
    }
    assert [row[:3] for row in rows] == [(*key, len(ids)) for key, ids in groups.items()]
    for (*_, means, deviations), image_ids in zip(rows, groups.values(), strict=True):
        values = np.stack([counted.tensor(image_id) for image_id in image_ids]) / 255
        assert means == pytest.approx(values.mean(axis=(0, 1, 2)).tolist(), abs=1e-12)
        assert deviations == pytest.approx(values.std(axis=(0, 1, 2)).tolist(), abs=1e-12)


def test_defect_summary_measures_the_masks_at_the_files_own_size(counted: Project) -> None:
    crack_areas = [0.0, 24 / 384, (96 + 48) / 384]
    assert counted.rows("FROM defect_summary ORDER BY ALL") == [
        ("dagm_2007", "Class1", "train", "unspecified", 1, 1, 0, *[25 / 200] * 4, 5 / 20, 5 / 10),
        (
            *("mvtec_ad", "bottle", "test", "crack"),
            *(4, 3, 1),
            *(crack_areas[0], crack_areas[1]),
            pytest.approx(np.quantile(crack_areas, 0.9), abs=1e-15),
            crack_areas[2],
            *((6 / 24 + 24 / 24) / 2, (4 / 16 + 12 / 16) / 2),
        ),
    ]


def test_duplicate_images_say_what_they_cross(counted: Project) -> None:
    def sha256(image_id: str) -> str:
        return hashlib.sha256(counted.path(image_id).read_bytes()).hexdigest()

    leak = ["mvtec_ad/bottle/test/good/000.png", "mvtec_ad/bottle/train/good/000.png"]
    confusion = ["mvtec_ad/bottle/test/crack/000.png", "mvtec_ad/tile/test/good/000.png"]
    assert counted.rows("FROM duplicate_images ORDER BY image_ids DESC") == [
        (sha256(leak[0]), 2, leak, True, False, False),
        (sha256(confusion[0]), 2, confusion, False, True, True),
    ]


def test_samples_hold_every_usable_image_with_its_labels(counted: Project) -> None:
    query = """
        SELECT image_id, split, label, label_index, defect_type, mask_tensor IS NOT NULL
        FROM anomaly.samples WHERE category = 'bottle' ORDER BY ALL
    """
    cracks = numbered("mvtec_ad/bottle/test/crack", 4)
    assert counted.rows(query) == [
        *((image_id, "test", "anomalous", 1, "crack", True) for image_id in cracks[:3]),
        (cracks[3], "test", "anomalous", 1, "crack", False),
        ("mvtec_ad/bottle/test/good/000.png", "test", "good", 0, None, False),
        ("mvtec_ad/bottle/train/good/000.png", "train", "good", 0, None, False),
        ("mvtec_ad/bottle/train/good/001.png", "train", "good", 0, None, False),
    ]
    assert counted.column("SELECT count(*) FROM samples") == [12]


def test_samples_describe_the_tensor_and_the_file(counted: Project) -> None:
    image_id = "mvtec_ad/tile/train/good/000.png"
    (row,) = counted.rows(
        """
        SELECT
            filename, source_dataset, category, height, width, channels, octet_length(image_tensor),
            original_width, original_height, original_mode, source_uri, loaded_at
        FROM samples WHERE image_id = ?
        """,
        [image_id],
    )
    uri = counted.path(image_id).as_uri()
    expected = ("000.png", "mvtec_ad", "tile", 8, 6, 3, 144, 20, 10, "L", uri)
    assert row[:-1] == expected
    assert (datetime.now(timezone.utc) - row[-1]).total_seconds() < 600


@pytest.mark.slow
def test_summaries_follow_another_tensor_shape(counted: Project) -> None:
    project = Project.at(counted.folder / "turned", counted.roots_folder)
    project.list_files()
    project.build(TURNED)
    project.refresh_all()
    (row,) = project.rows("FROM pixel_statistics WHERE category = 'bottle'")
    values = np.stack(
        [project.tensor(i, TURNED) for i in numbered("mvtec_ad/bottle/train/good", 2)]
    )
    assert row == (
        *("mvtec_ad", "bottle", 2),
        [pytest.approx((values / 255).mean(), abs=1e-12)],
        [pytest.approx((values / 255).std(), abs=1e-12)],
    )


def test_an_even_surface_deviates_by_exactly_nothing(project: Project) -> None:
    project.rows(
        """
        UPDATE image_tensors SET
            channel_sums = [200 * 48, 7 * 48, 0],
            channel_square_sums = [200 * 200 * 48, 7 * 7 * 48, 0]
        """
    )
    project.refresh_all()
    query = "SELECT DISTINCT channel_means, channel_standard_deviations FROM pixel_statistics"
    assert project.rows(query) == [([200 / 255, 7 / 255, 0.0], [0.0, 0.0, 0.0])]
