"""Test the gallery: what its files hold, which of them a build writes, and which it removes."""

from __future__ import annotations

import io
import shutil
from datetime import timezone
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

from anomaly_assets.gallery import build
from anomaly_assets.gallery.build import build_gallery
from anomaly_assets.gallery.details import _relative
from anomaly_assets.gallery.folder import MARKER, GalleryError, opened_folder
from anomaly_assets.gallery.pictures import outline_of
from anomaly_assets.polygons import pixels_of
from anomaly_assets.previews.tiles import update_previews
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.export.published import (
    PICTURES,
    files_below,
    publish_pictures,
    publish_project,
    stored,
)
from anomaly_assets_tests.gallery.data_files import (
    arguments,
    details,
    index,
    picture,
    pixels,
    snapshot,
    tiles,
    words,
)
from anomaly_assets_tests.warehouse.project import Project, noise

SPEC = Recipe(48, 64, 3)
CRACK = "mvtec_ad/bottle/test/crack/000.png"
WITHOUT_MASK = "mvtec_ad/bottle/test/crack/001.png"
GOOD = "mvtec_ad/bottle/train/good/000.png"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Load ten images of both datasets, of all splits and labels."""
    made = Project.at(tmp_path / "project")
    made.save(PICTURES)
    return made


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish these images once."""
    return publish_pictures(tmp_path_factory.mktemp("published"), PICTURES, SPEC)


@pytest.fixture
def database(published_once: Path, tmp_path: Path) -> Path:
    """Copy the published database, because tests change it."""
    place = tmp_path / "published" / published_once.name
    place.parent.mkdir()
    shutil.copyfile(published_once, place)
    return place


def published(project: Project) -> Path:
    return publish_project(project, SPEC)


@pytest.mark.slow
def test_the_index_has_the_columns_of_all_samples(database: Path, tmp_path: Path) -> None:
    made = build_gallery(tmp_path / "gallery", str(database))
    data, samples = index(tmp_path / "gallery"), stored(database)
    ids = data["columns"]["image_id"]
    rows = [samples[image_id].row for image_id in ids]
    assert made.images == data["count"] == len(ids) == len(samples) == 10
    assert ids == sorted(ids)
    for name in ("source_dataset", "split", "label", "defect_type"):
        assert words(data, name) == [row[name] for row in rows]
    categories = [
        (data["words"]["source_dataset"][each["source_dataset"]], each["name"])
        for each in words(data, "category")
    ]
    assert categories == [(row["source_dataset"], row["category"]) for row in rows]
    assert data["columns"]["content"] == [row["content_sha256"][:12] for row in rows]
    areas = [row["mask_area_fraction"] for row in rows]
    assert data["columns"]["defect_area"] == areas
    loaded = [row["loaded_at"].replace(tzinfo=timezone.utc).timestamp() for row in rows]
    assert data["columns"]["loaded_at"] == loaded
    assert "score" not in data["columns"]
    assert data["recipe"] is None


def test_failed_checks_name_their_images(database: Path, tmp_path: Path) -> None:
    build_gallery(tmp_path / "gallery", str(database))
    data = index(tmp_path / "gallery")
    named = {
        check["name"]: [data["columns"]["image_id"][row] for row in rows]
        for check, rows in zip(data["words"]["check"], data["checks"], strict=True)
    }
    assert named["anomalous_images_have_masks"] == [WITHOUT_MASK]
    about = {check["name"]: check for check in data["words"]["check"]}
    assert about["anomalous_images_have_masks"] == {
        "name": "anomalous_images_have_masks",
        "asset": "samples",
        "sentence": "1 anomalous image has no mask. Add the missing mask files, or exclude it from "
        "pixel-level evaluation.",
    }


@pytest.mark.slow
def test_failed_checks_come_from_the_tables_of_the_publication(
    database: Path, tmp_path: Path
) -> None:
    build_gallery(tmp_path / "gallery", str(database))
    with duckdb.connect(str(database)) as connection:
        connection.execute("UPDATE quality_images SET image_id = ? WHERE place = 1", [GOOD])
    assert build_gallery(tmp_path / "gallery", str(database)).written
    data = index(tmp_path / "gallery")
    named = {data["columns"]["image_id"][row] for rows in data["checks"] for row in rows}
    assert GOOD in named
    assert WITHOUT_MASK not in named


def test_a_database_without_these_tables_has_the_same_failed_checks(
    database: Path, tmp_path: Path
) -> None:
    build_gallery(tmp_path / "gallery", str(database))
    with duckdb.connect(str(database)) as connection:
        for name in ("quality", "quality_images"):
            connection.execute(f"DROP TABLE {name}")
    build_gallery(tmp_path / "other", str(database))
    first, second = index(tmp_path / "gallery"), index(tmp_path / "other")
    assert [each["name"] for each in second["words"]["check"]]
    by_name = [
        sorted(
            (
                (about["name"], about["sentence"], rows)
                for about, rows in zip(data["words"]["check"], data["checks"], strict=True)
            )
        )
        for data in (first, second)
    ]
    assert by_name[0] == by_name[1]


def test_tiles_and_images_show_the_stored_tensors(database: Path, tmp_path: Path) -> None:
    build_gallery(tmp_path / "gallery", str(database))
    shown = tiles(tmp_path / "gallery")
    larger = details(tmp_path / "gallery")
    for image_id, sample in stored(database).items():
        assert shown[image_id].format == "WEBP"
        assert shown[image_id].size == (64, 48)
        # The pictures are noise, which WebP and JPEG blur: their mean stays.
        assert abs(pixels(shown[image_id]).mean() - sample.image.mean()) < 6
        assert sample.row["image_id"] == larger[image_id]["columns"]["image_id"]


@pytest.mark.slow
def test_a_large_tensor_is_reduced_and_keeps_its_shape(project: Project, tmp_path: Path) -> None:
    build_gallery(tmp_path / "gallery", str(publish_project(project, Recipe(320, 640, 3))))
    assert {tile.size for tile in tiles(tmp_path / "gallery").values()} == {(96, 48)}
    images = [picture(row["image"]) for row in details(tmp_path / "gallery").values()]
    assert {image.size for image in images} == {(256, 128)}


def test_details_have_every_column_but_addresses(database: Path, tmp_path: Path) -> None:
    build_gallery(tmp_path / "gallery", str(database))
    rows = details(tmp_path / "gallery")
    columns = rows[CRACK]["columns"]
    wanted = set(stored(database)[CRACK].row) - {"source_uri", "attributes", "loaded_at"}
    assert wanted <= columns.keys()
    assert columns["relative_path"] == "bottle/test/crack/000.png"
    assert columns["mask_relative_path"] == "bottle/ground_truth/crack/000_mask.png"
    assert columns["label_source"] == "path"
    for path in (tmp_path / "gallery").rglob("*.js"):
        assert str(tmp_path) not in path.read_text("utf-8")
        assert "file://" not in path.read_text("utf-8") or path.parent.name == "gallery"


def test_the_outline_is_the_border_of_the_mask(database: Path, tmp_path: Path) -> None:
    build_gallery(tmp_path / "gallery", str(database))
    rows, samples = details(tmp_path / "gallery"), stored(database)
    height, width = SPEC.height, SPEC.width
    rings = [np.reshape(ring, (-1, 2)) * (width, height) for ring in rows[CRACK]["mask"]]
    assert np.array_equal(pixels_of(rings, height, width), samples[CRACK].known_mask)
    assert rows[GOOD]["mask"] == []
    assert rows[WITHOUT_MASK]["mask"] is None


def test_an_outline_has_holes_and_a_point_of_a_large_mask_stays() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[1:7, 1:7] = 1
    mask[3:5, 3:5] = 0
    assert len(outline_of(mask)) == 2
    large = np.zeros((2048, 1024), np.uint8)
    large[2047, 1023] = 1
    assert outline_of(large) == [[0.9961, 0.998, 1.0, 0.998, 1.0, 1.0, 0.9961, 1.0]]


def test_without_details_there_are_none(database: Path, tmp_path: Path) -> None:
    made = build_gallery(tmp_path / "gallery", str(database), details=False)
    data = index(tmp_path / "gallery")
    assert data["details"] == []
    assert "detail" not in data["columns"]
    assert made.detail_bytes == 0
    assert not [*(tmp_path / "gallery" / "details").iterdir()]


def test_an_unchanged_snapshot_is_not_read_again(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_gallery(tmp_path / "gallery", str(database))
    before = files_below(tmp_path / "gallery")
    monkeypatch.setattr(build, "read_content", None)
    made = build_gallery(tmp_path / "gallery", str(database))
    assert not made.written
    assert made.images == 10
    assert files_below(tmp_path / "gallery") == before


@pytest.mark.parametrize("lost", ["details", "index.html", "snapshot.js"])
def test_a_lost_file_is_written_again(database: Path, tmp_path: Path, lost: str) -> None:
    build_gallery(tmp_path / "gallery", str(database))
    before = files_below(tmp_path / "gallery")
    path = tmp_path / "gallery" / lost
    (next(path.iterdir()) if path.is_dir() else path).unlink()
    assert build_gallery(tmp_path / "gallery", str(database)).written
    assert files_below(tmp_path / "gallery") == before


@pytest.mark.slow
def test_only_packs_with_a_changed_image_are_written(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    build_gallery(folder, str(published(project)))
    first = index(folder)
    project.save({CRACK: noise(99)})
    made = build_gallery(folder, str(published(project)))
    second = index(folder)
    assert (made.tile_packs, made.detail_packs) == (1, 1)
    assert len({*first["packs"]} & {*second["packs"]}) == 2
    changed = [
        image_id
        for image_id, one, other in zip(
            second["columns"]["image_id"],
            first["columns"]["content"],
            second["columns"]["content"],
            strict=True,
        )
        if one != other
    ]
    assert changed == [CRACK]


@pytest.mark.slow
def test_another_label_changes_the_details_and_no_tile(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    build_gallery(folder, str(published(project)))
    project.path("mvtec_ad/bottle/test/good/000.png").rename(
        project.path("mvtec_ad/bottle/test/broken/000.png")
    )
    made = build_gallery(folder, str(published(project)))
    assert (made.tile_packs, made.detail_packs) == (
        1,
        1,
    )  # another order, because the id is another
    assert words(index(folder), "label").count("anomalous") == 5


@pytest.mark.slow
def test_older_snapshots_stay_until_two_others_came(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    ids, indexes = [], []
    for number in range(4):
        project.save({CRACK: noise(200 + number)})
        build_gallery(folder, str(published(project)))
        ids.append(snapshot(folder)["snapshot"]["id"])
        indexes.append(snapshot(folder)["index"])
        held = [each["id"] for each in snapshot(folder)["previous"]]
        assert held == ids[-2 : -4 if number > 1 else None : -1] or held == ids[:-1][::-1][:2]
        for each in snapshot(folder)["previous"]:
            data = index(folder, each["index"])
            assert all((folder / path).is_file() for path in (*data["packs"], *data["details"]))
    assert not (folder / indexes[0]).exists()
    assert len([*(folder / "data").iterdir()]) == 3
    assert len([*(folder / "tiles").iterdir()]) == 3 + 2  # three of the category that changed


def test_a_folder_of_somebody_else_is_not_changed(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "website"
    folder.mkdir()
    (folder / "index.html").write_text("mine")
    with pytest.raises(GalleryError, match="is not a gallery of this project"):
        build_gallery(folder, str(database))
    assert files_below(folder) == {"index.html": b"mine"}
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(GalleryError, match="is not a gallery of this project"):
        build_gallery(file, str(database))


@pytest.mark.slow
def test_a_foreign_file_in_a_gallery_stays(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    build_gallery(folder, str(published(project)))
    (folder / "tiles" / "notes.txt").write_text("mine")
    (folder / "tiles" / ".aaaa.js.unfinished").write_text("of a killed build")
    for number in range(3):
        project.save({CRACK: noise(300 + number)})
        build_gallery(folder, str(published(project)))
    assert (folder / "tiles" / "notes.txt").read_text() == "mine"
    assert not (folder / "tiles" / ".aaaa.js.unfinished").exists()


@pytest.mark.slow
def test_a_build_that_fails_leaves_what_was_shown(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gallery"
    build_gallery(folder, str(published(project)))
    before = files_below(folder)
    project.save({CRACK: noise(99)})
    database = published(project)
    with monkeypatch.context() as patched:
        patched.setattr(build, "tiles_of", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_gallery(folder, str(database))
    after = files_below(folder)
    assert {path: after[path] for path in before} == before
    assert build_gallery(folder, str(database)).written
    assert snapshot(folder) != arguments_of(before["snapshot.js"], tmp_path)


def arguments_of(content: bytes, folder: Path) -> dict[str, object]:
    path = folder / "earlier.js"
    path.write_bytes(content)
    [found] = arguments(path, "snapshot")
    return dict(found)


def test_two_builds_do_not_write_one_folder(database: Path, tmp_path: Path) -> None:
    with (
        opened_folder(tmp_path / "gallery"),
        pytest.raises(GalleryError, match="Another process is writing"),
    ):
        build_gallery(tmp_path / "gallery", str(database))


def test_a_database_of_an_earlier_release_has_a_gallery(database: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.duckdb"
    shutil.copyfile(database, old)
    with duckdb.connect(str(old)) as connection:
        connection.execute("DROP TABLE image_previews")
        connection.execute("DROP TABLE near_duplicates")
    build_gallery(tmp_path / "gallery", str(old))
    assert len(tiles(tmp_path / "gallery")) == 10


@pytest.mark.slow
def test_stored_previews_are_the_tiles(project: Project, tmp_path: Path) -> None:
    project.list_files()
    project.build(SPEC)
    with project.warehouse.connect() as connection:
        update_previews(connection, 1)
        connection.execute(
            "UPDATE image_previews SET preview = ? WHERE image_id = ?", [_green(), GOOD]
        )
    build_gallery(tmp_path / "gallery", str(published(project)))
    assert tiles(tmp_path / "gallery")[GOOD].size == (7, 7)


def _green() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (7, 7), "green").save(content, "WEBP")
    return content.getvalue()


def _score(database: Path) -> None:
    """Store scores of all images but GOOD, and a map of CRACK."""
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            "INSERT INTO baseline_scores BY NAME SELECT image_id, '48x64x3' AS recipe, source_dataset, "
            "category, content_sha256, 'test' AS role, label, 0.25 AS score "
            "FROM samples WHERE image_id <> ?",
            [GOOD],
        )
        connection.execute(
            "INSERT INTO baseline_maps BY NAME SELECT image_id, '48x64x3' AS recipe, source_dataset, "
            "category, 3 AS height, 4 AS width, 0 AS low, 1 AS high, from_hex(repeat('80', 12)) AS map "
            "FROM samples WHERE image_id = ?",
            [CRACK],
        )


def test_scores_and_maps_are_shown_if_there_are_some(database: Path, tmp_path: Path) -> None:
    build_gallery(tmp_path / "gallery", str(database))
    _score(database)
    made = build_gallery(tmp_path / "gallery", str(database))
    data = index(tmp_path / "gallery")
    assert made.written
    assert made.tile_packs == 0
    assert data["recipe"] == "48x64x3"
    scores = dict(zip(data["columns"]["image_id"], data["columns"]["score"], strict=True))
    assert scores[GOOD] is None
    assert scores[CRACK] == 0.25
    rows = details(tmp_path / "gallery")
    assert picture(rows[CRACK]["map"]).size == (4, 3)
    assert rows[GOOD]["map"] is None
    assert snapshot(tmp_path / "gallery")["previous"] == []  # it is the same snapshot


def test_an_image_that_was_replaced_shows_no_score_and_no_map(
    database: Path, tmp_path: Path
) -> None:
    _score(database)
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            "UPDATE baseline_scores SET content_sha256 = 'another' WHERE image_id = ?", [CRACK]
        )
    build_gallery(tmp_path / "gallery", str(database))
    columns = index(tmp_path / "gallery")["columns"]
    scores = dict(zip(columns["image_id"], columns["score"], strict=True))
    assert scores[CRACK] is None
    assert scores[WITHOUT_MASK] == 0.25
    assert details(tmp_path / "gallery")[CRACK]["map"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["</script><b>.png", "it's.png", 'a"b.png', "\u2028ä\\.png"])
def test_hostile_names_are_text(tmp_path: Path, name: str) -> None:
    project = Project.at(tmp_path / "project")
    project.save({f"mvtec_ad/bottle/train/good/{name.replace('/', '_')}": noise(1)})
    build_gallery(tmp_path / "gallery", str(published(project)))
    expected = f"mvtec_ad/bottle/train/good/{name.replace('/', '_')}"
    assert index(tmp_path / "gallery")["columns"]["image_id"] == [expected]
    assert [*details(tmp_path / "gallery")] == [expected]


def test_the_marker_of_another_release_is_rebuilt(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    build_gallery(folder, str(database))
    before = files_below(folder)
    (folder / MARKER).write_text('{"made_by": "anomaly_assets.gallery", "builds": [{"x": 1}]}')
    assert build_gallery(folder, str(database)).written
    assert files_below(folder) == before


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("bottle/ground_truth/crack/000_mask.png", "bottle/ground_truth/crack/000_mask.png"),
        ("/home/me/masks/000.png", "000.png"),
        ("C:\\masks\\000.png", "000.png"),
        ("s3://bucket/masks/000.png", "000.png"),
        (None, None),
    ],
)
def test_the_address_of_a_corrected_mask_is_not_shown(path: str | None, shown: str | None) -> None:
    assert _relative(path) == shown
