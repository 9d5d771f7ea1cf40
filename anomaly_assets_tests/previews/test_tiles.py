"""Test the table of previews: it follows the tensors, and only changed ones are drawn."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from anomaly_assets.previews import tiles
from anomaly_assets.previews.tiles import update_previews
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.tables.row_changes import RowChanges
from anomaly_assets.warehouse import tensors
from anomaly_assets.warehouse.content import content_id
from anomaly_assets.warehouse.removal import forget
from anomaly_assets_tests.warehouse.project import Project, noise

SPEC = Recipe(192, 96, 3)
IDS = [f"mvtec_ad/bottle/train/good/{number:03}.png" for number in range(5)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.at(tmp_path)
    made.save({image_id: noise(number) for number, image_id in enumerate(IDS)})
    made.list_files()
    made.build(SPEC)
    return made


def updated(project: Project) -> RowChanges:
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
        return update_previews(connection, 2)


def previews(project: Project) -> dict[str, bytes]:
    return dict(project.rows("SELECT image_id, preview FROM image_previews ORDER BY ALL"))


@pytest.mark.slow
def test_every_tensor_has_a_preview(project: Project) -> None:
    assert updated(project) == RowChanges(added=5)
    found = previews(project)
    assert [*found] == IDS
    for content in found.values():
        picture = Image.open(io.BytesIO(content))
        assert picture.format == "WEBP"
        assert picture.size == (48, 96)
    assert len({*found.values()}) == 5
    joined = "FROM image_previews JOIN image_tensors USING (image_id, content_sha256, transform)"
    assert project.rows(f"SELECT count(*) {joined}") == [(5,)]


@pytest.mark.slow
def test_only_new_and_changed_tensors_are_drawn(project: Project) -> None:
    updated(project)
    before = previews(project)
    assert updated(project) == RowChanges(unchanged=5)
    project.save({IDS[1]: noise(50), "mvtec_ad/bottle/test/good/000.png": noise(51)})
    project.path(IDS[4]).unlink()
    project.list_files()
    project.build(SPEC)
    assert updated(project) == RowChanges(added=1, changed=1, removed=1, unchanged=3)
    after = previews(project)
    same = [image_id for image_id in IDS[:4] if after[image_id] == before[image_id]]
    assert same == [IDS[0], IDS[2], IDS[3]]


@pytest.mark.slow
def test_another_recipe_draws_all_again(project: Project) -> None:
    updated(project)
    project.build(Recipe(32, 32, 1))
    assert updated(project) == RowChanges(changed=5)


def test_transactions_have_an_end(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_COMMITTED", 2)
    monkeypatch.setattr(tensors, "AT_ONCE_BYTES", 1)
    assert updated(project) == RowChanges(added=5)
    before = previews(project)
    with project.warehouse.connect() as connection:
        connection.execute("DELETE FROM image_previews WHERE image_id IN (?, ?)", [IDS[0], IDS[4]])
    assert updated(project) == RowChanges(added=2, unchanged=3)
    assert previews(project) == before


@pytest.mark.slow
def test_previews_are_no_part_of_the_snapshot_id(project: Project) -> None:
    project.refresh_all()
    with project.warehouse.connect() as connection:
        without = content_id(connection)
    updated(project)
    with project.warehouse.connect() as connection:
        assert content_id(connection) == without


@pytest.mark.slow
def test_a_database_without_previews_is_published_once_more(project: Project) -> None:
    project.refresh_all()
    database = project.folder / "anomaly.duckdb"
    first = project.warehouse.publish(database, SPEC)
    updated(project)
    second = project.warehouse.publish(database, SPEC)
    assert second.written
    assert second.snapshot_id == first.snapshot_id
    assert not project.warehouse.publish(database, SPEC).written


@pytest.mark.slow
def test_a_forgotten_dataset_has_no_previews(project: Project) -> None:
    project.refresh_all()
    updated(project)
    forget(project.warehouse, "mvtec_ad")
    assert previews(project) == {}
