"""Test tensors of several recipes: from one decode, each as if it was the only one."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from anomaly_assets.decoding import batch, build, transform
from anomaly_assets.decoding import open as compute
from anomaly_assets.decoding.build import find_stale
from anomaly_assets.decoding.transform import decode_image, decode_mask
from anomaly_assets.decoding.writes import Written
from anomaly_assets.recipes import NATIVE, Recipe, Recipes, tile_boxes
from anomaly_assets.warehouse import ranges
from anomaly_assets.warehouse.file import duckdb_settings
from anomaly_assets_tests.warehouse.project import SPEC, Project, mask, noise

GREY = Recipe(12, 12, 1)
NATIVE_SIZE = Recipe(10, 10, NATIVE)
FIT = Recipe(16, 16, 3, fit=True)
TILES = Recipe(8, 8, 3, overlap=2)
ALL = (SPEC, GREY, NATIVE_SIZE, FIT, TILES)
GOOD = "mvtec_ad/bottle/train/good/000.png"
CRACK = "mvtec_ad/bottle/test/crack/000.png"
CRACK_MASK = "mvtec_ad/bottle/ground_truth/crack/000_mask.png"
MADE = (
    "SELECT recipe, count(*), list(DISTINCT run_id) FROM recipe_tensors GROUP BY ALL ORDER BY ALL"
)


def png(picture: Image.Image) -> bytes:
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "P", "1", "RGBA", "I;16"])
def test_each_of_several_recipes_gives_what_it_gives_alone(mode: str) -> None:
    picture = noise(1).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    content = png(picture)
    together = decode_image(content, SPEC, further=ALL[1:], depth=16).tensors
    alone = [tensor for recipe in ALL for tensor in decode_image(content, recipe, depth=16).tensors]
    assert [tensor.recipe for tensor in together] == [tensor.recipe for tensor in alone]
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert (one.tile, one.box) == (other.tile, other.box)
        assert one.channel_sums == one.pixels.sum((0, 1), np.int64).tolist()
        squares = np.square(one.pixels.astype(np.int64)).sum((0, 1))
        assert one.channel_square_sums == squares.tolist()
    has_colour = mode in ("RGB", "P", "RGBA")
    assert together[2].pixels.shape == (10, 10, 3 if has_colour else 1)


def test_tiles_are_the_pixels_of_the_file_and_a_small_picture_is_padded() -> None:
    picture = noise(2)
    tensors = decode_image(png(picture), TILES).tensors
    pixels = np.asarray(picture)
    assert [tensor.tile for tensor in tensors] == list(range(len(tensors)))
    assert [tensor.box for tensor in tensors] == list(tile_boxes(TILES, *picture.size))
    for tensor in tensors:
        assert tensor.box is not None
        left, top, right, bottom = tensor.box
        assert np.array_equal(tensor.pixels, pixels[top:bottom, left:right])
    [small] = decode_image(png(noise(3, size=(5, 3))), TILES).tensors
    assert small.box == (0, 0, 5, 3)
    assert np.array_equal(small.pixels[:3, :5], np.asarray(noise(3, size=(5, 3))))
    assert not small.pixels[3:].any()
    assert not small.pixels[:, 5:].any()


def test_a_fitted_picture_is_resized_into_its_box_with_zeros_around() -> None:
    [fitted] = decode_image(png(noise(4)), FIT).tensors  # 24 x 16 becomes 16 x 11
    assert fitted.box == (0, 2, 16, 13)
    inside = np.asarray(noise(4).resize((16, 11), Image.Resampling.LANCZOS))
    assert np.array_equal(fitted.pixels[2:13], inside)
    assert not fitted.pixels[:2].any()
    assert not fitted.pixels[13:].any()


def test_masks_are_in_the_order_of_the_tensors_and_in_the_places_of_their_image() -> None:
    content = png(mask((2, 3, 11, 9)))
    decoded = decode_mask(content, SPEC, further=ALL[1:])
    tensors = decode_image(png(noise(5)), SPEC, further=ALL[1:]).tensors
    assert [each.shape for each in decoded.masks] == [each.pixels.shape[:2] for each in tensors]
    whole = np.asarray(mask((2, 3, 11, 9))) > 0
    for tensor, made in zip(tensors, decoded.masks, strict=True):
        if tensor.recipe is TILES and tensor.box:
            left, top, right, bottom = tensor.box
            assert np.array_equal(made, whole[top:bottom, left:right])


def test_a_mask_of_another_size_has_the_tiles_of_its_image() -> None:
    half = mask((1, 1, 5, 4), size=(12, 8))
    decoded = decode_mask(png(half), TILES, further=[FIT], picture_size=(24, 16))
    assert len(decoded.masks) == len(list(tile_boxes(TILES, 24, 16))) + 1
    doubled = decode_mask(
        png(half.resize((24, 16), Image.Resampling.NEAREST)), TILES, further=[FIT]
    )
    for one, other in zip(decoded.masks, doubled.masks, strict=True):
        assert np.array_equal(one, other)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the recipes of each decoded image."""
    calls: list[int] = []

    def decode(*arguments: object, further: tuple[Recipe, ...] = (), **options: object) -> object:
        calls.append(1 + len(further))
        return transform.decode_image(*arguments, further=further, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "decode_image", decode)
    return calls


@pytest.mark.slow
def test_a_first_build_decodes_each_image_once_for_all_recipes(
    project: Project, counted: list[int]
) -> None:
    report = project.build(*ALL, run_id="first")
    assert counted == [5] * 5
    sizes = project.rows("SELECT original_width, original_height FROM facts")
    tiles = sum(len(list(tile_boxes(TILES, *size))) for size in sizes)
    assert project.rows(MADE) == sorted(
        (recipe.name, tiles if recipe is TILES else 5, ["first"]) for recipe in ALL[1:]
    )
    assert (report.decoded, report.recipe_rows) == (5, 15 + tiles)
    assert project.build(*ALL).recipe_rows == 0
    assert counted == [5] * 5


@pytest.mark.slow
def test_an_added_recipe_is_inserted_and_touches_no_other_tensor(
    project: Project, counted: list[int]
) -> None:
    project.build(SPEC, GREY, run_id="first")
    before = project.rows("FROM image_tensors ORDER BY ALL")
    report = project.build(SPEC, GREY, FIT, run_id="second")
    assert (report.decoded, report.changed, report.unchanged, report.recipe_rows) == (0, 0, 5, 5)
    assert counted == [2] * 5 + [1] * 5
    assert project.rows("FROM image_tensors ORDER BY ALL") == before
    assert project.rows(MADE) == [(GREY.name, 5, ["first"]), (FIT.name, 5, ["second"])]
    assert project.column("SELECT count(*) FROM facts") == [5]


def test_a_recipe_that_is_no_longer_wanted_is_removed_without_decoding(
    project: Project, counted: list[int]
) -> None:
    project.build(*ALL, run_id="first")
    counted.clear()
    report = project.build(SPEC, GREY, run_id="second")
    assert report.recipe_rows_removed > 0
    assert project.rows(MADE) == [(GREY.name, 5, ["first"])]
    assert counted == []


@pytest.mark.slow
def test_a_changed_file_replaces_the_tensors_of_all_its_recipes(project: Project) -> None:
    project.build(SPEC, GREY, TILES, run_id="first")
    project.save({GOOD: noise(99)})
    project.list_files()
    report = project.build(SPEC, GREY, TILES, run_id="second")
    tiles = len(list(tile_boxes(TILES, 24, 16)))
    assert (report.changed, report.recipe_rows, report.recipe_rows_replaced) == (
        1,
        1 + tiles,
        1 + tiles,
    )
    changed = "SELECT DISTINCT image_id FROM recipe_tensors WHERE run_id = 'second'"
    assert project.column(changed) == [GOOD]
    agree = """
        SELECT count(*) FROM recipe_tensors JOIN image_tensors AS common USING (image_id)
        WHERE recipe_tensors.content_sha256 <> common.content_sha256
    """
    assert project.column(agree) == [0]


@pytest.mark.slow
def test_a_changed_common_recipe_keeps_the_tensors_of_the_others(project: Project) -> None:
    project.build(SPEC, GREY, run_id="first")
    report = project.build(Recipe(6, 8, 3), GREY, run_id="second")
    assert (report.changed, report.recipe_rows) == (5, 0)
    assert project.rows(MADE) == [(GREY.name, 5, ["first"])]


def test_the_stored_tensors_and_masks_are_those_of_the_file(project: Project) -> None:
    project.build(*ALL)
    expected = decode_image(project.path(CRACK).read_bytes(), ALL[1], further=ALL[2:]).tensors
    masks = decode_mask(
        project.path(CRACK_MASK).read_bytes(), ALL[1], further=ALL[2:], picture_size=(24, 16)
    ).masks
    stored = {
        (recipe, tile): (box, image, defect)
        for recipe, tile, box, image, defect in project.rows(
            "SELECT recipe, tile, box, image_tensor, mask_tensor FROM recipe_tensors WHERE image_id = ?",
            [CRACK],
        )
    }
    assert len(stored) == len(expected)
    for tensor, made in zip(expected, masks, strict=True):
        box, image, defect = stored[tensor.recipe.name, tensor.tile]
        assert image == tensor.pixels.tobytes()
        assert defect == made.tobytes()
        assert box == (list(tensor.box) if tensor.box else None)


@pytest.mark.slow
def test_an_image_that_left_or_is_rejected_has_no_tensor_of_any_recipe(project: Project) -> None:
    project.build(SPEC, GREY)
    project.path(GOOD).unlink()
    project.list_files()
    project.build(SPEC, GREY)
    ids = "SELECT count(DISTINCT image_id) FROM recipe_tensors"
    assert project.column(ids) == [4]
    project.path(CRACK).write_bytes(b"no image")
    project.list_files()
    project.build(SPEC, GREY, allow_shrink=True)
    assert project.column(ids) == [3]


@pytest.mark.slow
def test_a_rejected_image_is_not_decoded_for_a_recipe(project: Project, counted: list[int]) -> None:
    project.path(GOOD).write_bytes(b"no image")
    project.list_files()
    project.build(SPEC, GREY)
    counted.clear()
    assert project.build(SPEC, GREY).recipe_rows == 0
    assert counted == []


@pytest.mark.slow
def test_an_interrupted_build_has_all_recipes_of_an_image_or_none(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_settings, "ROW_GROUP_SIZE", 2)
    monkeypatch.setattr(compute, "BATCH_IMAGES", 1)
    monkeypatch.setattr(compute, "BATCHES_PER_WORKER", 2)

    def stop(done: int, _total: int) -> None:
        if done > 3:
            raise RuntimeError("the power went out")

    with pytest.raises(RuntimeError, match="the power went out"):
        project.build(SPEC, GREY, TILES, progress=stop)
    has_all = """
        SELECT image_id, count(DISTINCT recipe) FROM image_tensors
        LEFT JOIN recipe_tensors USING (image_id) GROUP BY ALL
    """
    assert {count for _, count in project.rows(has_all)} == {2}
    assert project.build(SPEC, GREY, TILES).decoded == 2


def test_a_transaction_of_tiles_ends_after_some_bytes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "BATCH_IMAGES", 1)
    monkeypatch.setattr(build, "COPIED_BYTES", -(10**9))
    written: list[int] = []
    write = build.write_images

    def counting(*arguments: object) -> Written:
        done = write(*arguments)  # type: ignore[arg-type]
        written.append(done.images)
        return done

    monkeypatch.setattr(build, "write_images", counting)
    assert project.build(SPEC, TILES).decoded == 5
    assert written == [1] * 5
    assert project.column("SELECT count(DISTINCT image_id) FROM recipe_tensors") == [5]


def test_stale_images_are_found_in_several_queries_like_in_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare the tables, and build from the one that has several parts."""
    recipes = Recipes(SPEC, {"mvtec_ad": (Recipe(12, 12, 1),)})

    def found() -> pa.Table:
        with project.warehouse.connect() as connection:
            return find_stale(connection, [*project.roots()], recipes)

    project.list_files()
    expected = found()
    assert expected.num_rows == 5
    monkeypatch.setattr(ranges, "IMAGES_AT_ONCE", 2)
    assert found().equals(expected)
    assert project.build(SPEC, Recipe(12, 12, 1)).decoded == expected.num_rows
    assert project.build(SPEC, Recipe(12, 12, 1)).decoded == 0
