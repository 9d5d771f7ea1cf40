"""Test the table of near duplicates: it follows the images, and only changed categories are searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.near_duplicates import search
from anomaly_assets.near_duplicates.search import Search, update_near_duplicates
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.checks import NEAR_DUPLICATE_CHECKS, evaluate
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.warehouse.content import content_id
from anomaly_assets.warehouse.removal import forget
from anomaly_assets_tests.near_duplicates.thumbnails import Thumbnails, copies, parts
from anomaly_assets_tests.warehouse.project import Project

SPEC = Recipe(32, 32, 3)
ORIGINAL = "mvtec_ad/bottle/train/good/003.png"
COPY = "mvtec_ad/bottle/test/good/000.png"
PAIRS = "SELECT image_id_a, image_id_b, category, crosses_splits FROM near_duplicates"
THUMBNAILS = "SELECT image_id, thumbnail FROM facts ORDER BY ALL"


def save(project: Project, path: str, thumbnail: Thumbnails) -> None:
    project.save({path: Image.fromarray(thumbnail).resize((64, 64), Image.Resampling.BICUBIC)})


def refreshed(project: Project) -> Search:
    """List, decode and search, as a run does."""
    project.list_files()
    project.build(SPEC)
    project.refresh_all()
    return searched(project)


def searched(project: Project) -> Search:
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
        return update_near_duplicates(connection)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Make two categories of 8 parts; a test image of one is a copy of a training image."""
    made = Project.at(tmp_path)
    for seed, category in enumerate(("bottle", "cable")):
        for number, part in enumerate(parts(8, seed)):
            save(made, f"mvtec_ad/{category}/train/good/{number:03}.png", part)
    save(made, COPY, copies(parts(8))[3])
    save(made, "mvtec_ad/cable/test/good/000.png", parts(9, 1)[8])
    assert refreshed(made) == Search(2, 18, 0)
    return made


@pytest.mark.slow
def test_a_copy_in_another_split_is_found_and_named_by_the_check(project: Project) -> None:
    assert project.rows(PAIRS) == [(COPY, ORIGINAL, "bottle", True)]
    with project.warehouse.connect() as connection:
        [(check, finding)] = evaluate(connection, *NEAR_DUPLICATE_CHECKS)
    [(offender, detail)] = finding.shown
    assert (finding.count, offender) == (1, COPY)
    assert str(detail).startswith(f"{ORIGINAL}, distance 0.")
    assert check.verdict(finding).startswith("1 image looks like a copy of one in another split.")


@pytest.mark.slow
def test_decoding_stores_a_thumbnail_of_each_image(project: Project) -> None:
    for image_id, thumbnail in project.rows(THUMBNAILS):
        tensor = project.tensor(image_id, SPEC)
        assert np.array_equal(np.frombuffer(thumbnail, np.uint8).reshape(32, 32), tensor[..., 0])


@pytest.mark.slow
def test_an_unchanged_warehouse_is_not_searched(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "near_pairs", None)
    assert refreshed(project) == Search(0, 0, 0)
    assert len(project.rows(PAIRS)) == 1


@pytest.mark.slow
def test_only_a_changed_category_is_searched(project: Project) -> None:
    save(project, "mvtec_ad/cable/test/good/001.png", copies(parts(8, 1))[5])
    assert refreshed(project) == Search(1, 10, 0)
    assert [row[2] for row in project.rows(f"{PAIRS} ORDER BY ALL")] == ["bottle", "cable"]


@pytest.mark.slow
def test_pairs_leave_with_their_images_and_categories(project: Project) -> None:
    project.path(COPY).unlink()
    assert refreshed(project) == Search(1, 8, 0)
    assert project.rows(PAIRS) == []
    for path in project.path("mvtec_ad/bottle").rglob("*.png"):
        path.unlink()
    assert refreshed(project) == Search(0, 0, 0)
    assert project.column("SELECT category FROM searched_categories") == ["cable"]


@pytest.mark.slow
def test_an_image_of_another_content_loses_its_pairs(project: Project) -> None:
    save(project, COPY, parts(9)[8])
    assert refreshed(project) == Search(1, 9, 0)
    assert project.rows(PAIRS) == []


@pytest.mark.parametrize(("split", "crosses"), [("train", False), ("unassigned", False)])
def test_a_category_whose_splits_changed_is_searched_again(
    project: Project, split: str, crosses: bool
) -> None:
    project.rows("UPDATE mvtec_ad.images SET split = ? WHERE image_id = ?", [split, COPY])
    assert searched(project) == Search(1, 9, 0)
    assert project.column("SELECT crosses_splits FROM near_duplicates") == [crosses]


def test_thumbnails_of_an_earlier_release_are_made_from_its_tensors(project: Project) -> None:
    pairs, thumbnails = project.rows("FROM near_duplicates"), project.rows(THUMBNAILS)
    for table in ("near_duplicates", "searched_categories"):
        project.rows(f"DROP VIEW anomaly.{table}")
        project.rows(f"DROP TABLE {table}")
    project.rows("DROP VIEW anomaly.facts")
    project.rows("ALTER TABLE facts DROP COLUMN thumbnail")
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
    assert project.column("SELECT count(thumbnail) FROM facts") == [0]
    assert project.build(SPEC).decoded == 0
    assert searched(project) == Search(2, 18, 18)
    assert project.rows("FROM near_duplicates") == pairs
    assert project.rows(THUMBNAILS) == thumbnails
    assert searched(project) == Search(0, 0, 0)


@pytest.mark.slow
def test_tensors_smaller_than_a_thumbnail_are_not_compared(project: Project) -> None:
    project.build(Recipe(16, 16, 3))
    assert searched(project) == Search(2, 18, 0)
    assert project.rows(PAIRS) == []


@pytest.mark.slow
def test_pairs_are_part_of_the_snapshot_id_and_searches_are_not(project: Project) -> None:
    with project.warehouse.connect() as connection:
        with_pair = content_id(connection)
        connection.execute("DELETE FROM near_duplicates")
        without = content_id(connection)
        connection.execute("DELETE FROM searched_categories")
        connection.execute("UPDATE facts SET thumbnail = NULL")
        assert content_id(connection) == without != with_pair


@pytest.mark.slow
def test_a_forgotten_dataset_leaves_no_pairs(project: Project) -> None:
    forget(project.warehouse, "mvtec_ad")
    for table in ("near_duplicates", "searched_categories"):
        assert project.rows(f"FROM {table}") == []
