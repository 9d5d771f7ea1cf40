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


def test_decoding_draws_a_preview_of_every_tensor(project: Project) -> None:
    found = previews(project)
    assert [*found] == IDS
    for content in found.values():
        picture = Image.open(io.BytesIO(content))
        assert picture.format == "WEBP"
        assert picture.size == (48, 96)
    assert len({*found.values()}) == 5
    assert updated(project) == RowChanges(unchanged=5)


@pytest.mark.slow
def test_decoding_draws_only_new_and_changed_tensors(project: Project) -> None:
    before = previews(project)
    project.save({IDS[1]: noise(50), "mvtec_ad/bottle/test/good/000.png": noise(51)})
    project.path(IDS[2]).write_bytes(b"no picture")
    project.path(IDS[4]).unlink()
    project.list_files()
    project.build(SPEC, allow_shrink=True)
    after = previews(project)
    assert [*after] == ["mvtec_ad/bottle/test/good/000.png", IDS[0], IDS[1], IDS[3]]
    assert [name for name in before if before[name] == after.get(name)] == [IDS[0], IDS[3]]
    assert updated(project) == RowChanges(unchanged=4)


@pytest.mark.slow
def test_another_recipe_draws_all_again(project: Project) -> None:
    before = previews(project)
    project.build(Recipe(32, 32, 1))
    assert not {*before.values()} & {*previews(project).values()}


def test_tensors_of_an_earlier_release_get_the_same_previews(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "_COMMITTED", 2)
    monkeypatch.setattr(tensors, "AT_ONCE_BYTES", 1)
    before = previews(project)
    project.rows("DELETE FROM image_previews")
    assert updated(project) == RowChanges(added=5)
    assert previews(project) == before


def test_only_previews_of_another_tensor_are_drawn_again(project: Project) -> None:
    before = previews(project)
    project.rows("DELETE FROM image_previews WHERE image_id = ?", [IDS[0]])
    project.rows(
        "UPDATE image_previews SET content_sha256 = '', preview = ''::BLOB WHERE image_id = ?",
        [IDS[4]],
    )
    project.rows("INSERT INTO image_previews VALUES ('mvtec_ad/gone.png', '', '', ''::BLOB)")
    assert updated(project) == RowChanges(added=1, changed=1, removed=1, unchanged=3)
    assert previews(project) == before


@pytest.mark.slow
def test_previews_are_no_part_of_the_snapshot_id(project: Project) -> None:
    project.refresh_all()
    with project.warehouse.connect() as connection:
        of_all = content_id(connection)
        connection.execute("DELETE FROM image_previews")
        assert content_id(connection) == of_all


@pytest.mark.slow
def test_a_database_without_previews_is_published_once_more(project: Project) -> None:
    project.refresh_all()
    project.rows("DELETE FROM image_previews")
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
