"""Test samples of further recipes: chosen by name or size, read, cached, and stitched from tiles."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from anomaly_assets.decoding import open as compute
from anomaly_assets.decoding.build import build_tensors
from anomaly_assets.reader import Samples, cached_selections, open_cache, open_samples
from anomaly_assets.reader.pixels.lake import RemotePixels
from anomaly_assets.recipes import NATIVE, Recipe, Recipes
from anomaly_assets.warehouse import ranges
from anomaly_assets_tests.reader.published import PICTURES
from anomaly_assets_tests.warehouse.project import SPEC, Project

GREY = Recipe(12, 12, 1)
FIT = Recipe(12, 12, 3, fit=True)
TILES = Recipe(12, 12, 3, overlap=4)
NATIVE_SIZE = Recipe(10, 10, NATIVE)
OF_MVTEC = (GREY, FIT, TILES, NATIVE_SIZE)
EXISTING = "dagm_2007: 8x6x3; mvtec_ad: 8x6x3, 10x10xnative, 12x12x1, 12x12x3/fit, full/tile=12.4"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_recipes(tmp_path_factory.mktemp("recipes"))


def publish_recipes(folder: Path) -> Path:
    """Publish the pictures; mvtec_ad has further recipes."""
    project = Project.at(folder)
    project.save(PICTURES)
    project.list_files()
    project.refresh_all()
    recipes, roots = Recipes(SPEC, {"mvtec_ad": OF_MVTEC}), project.roots()
    build_tensors(
        project.warehouse,
        roots,
        recipes,
        compute=lambda: compute.open_compute("threads", roots, SPEC, workers=1),
    )
    with project.warehouse.connect() as connection:
        for dataset in roots:
            for recipe in recipes.of(dataset):
                values = [recipe.name, dataset, recipe.transform, recipe == SPEC]
                connection.execute("INSERT INTO recipes VALUES (?, ?, ?, ?, 'declaration')", values)
    project.refresh_all()
    project.warehouse.publish(folder / "anomaly.duckdb", SPEC)
    return folder / "anomaly.duckdb"


def of_mvtec(database: Path, **asked: Any) -> Samples:
    return open_samples(database, source_dataset="mvtec_ad", **asked)


@pytest.mark.parametrize(
    ("asked", "recipe", "shape"),
    [
        ({"size": 12}, "12x12x1", (12, 12, 1)),
        ({"size": (12, 12)}, "12x12x1", (12, 12, 1)),
        ({"recipe": "12x12x1"}, "12x12x1", (12, 12, 1)),
        ({"recipe": "12/fit"}, "12x12x3/fit", (12, 12, 3)),
        ({"recipe": "full/tile=12+4"}, "full/tile=12+4", (12, 12, 3)),
        ({"size": 10, "where": "channels = 1"}, "10x10xnative", (10, 10, 1)),
        ({"size": (8, 6)}, "8x6x3", (8, 6, 3)),
        ({}, "8x6x3", (8, 6, 3)),
    ],
)
def test_samples_are_the_stored_tensors_of_the_recipe(
    database: Path, asked: dict[str, Any], recipe: str, shape: tuple[int, int, int]
) -> None:
    samples = of_mvtec(database, **asked)
    assert (samples.recipe, samples.shape) == (recipe, shape)
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(
            "SELECT image_tensor, mask_tensor FROM samples_at(?) "
            "WHERE source_dataset = 'mvtec_ad' AND channels = ? ORDER BY image_id, tile",
            [recipe, shape[2]],
        ).fetchall()
    assert len(samples) == len(rows)
    empty = bytes(shape[0] * shape[1])
    for read in (samples, pickle.loads(pickle.dumps(samples))):
        assert [image.tobytes() for image in read.images[:]] == [row[0] for row in rows]
        assert [mask.tobytes() for mask in read.masks[:]] == [row[1] or empty for row in rows]
    # DuckDB and a lake read the same.
    positions = np.arange(len(samples))[::-1]
    selection = samples._selection
    remote = RemotePixels(
        samples._pixels._database,  # type: ignore[attr-defined]
        selection.table["image_id"],
        selection.mask_from_file,
        shape,
        selection.further_recipe,
        selection.tiles,
    )
    for pixels in (samples._pixels._asked, remote):  # type: ignore[attr-defined]
        assert np.array_equal(pixels.images(positions), samples.images[:][::-1])
        assert np.array_equal(pixels.masks(positions), samples.masks[:][::-1])


def test_samples_without_a_recipe_have_the_columns_that_they_had(database: Path) -> None:
    samples = open_samples(database)
    assert not {"recipe", "tile", "box"} & {*samples.table.column_names}
    assert samples.recipes["dagm_2007"] == ("8x6x3",)
    assert samples.recipes["mvtec_ad"][0] == "8x6x3"
    assert {*samples.recipes["mvtec_ad"]} == {"8x6x3", *(recipe.name for recipe in OF_MVTEC)}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"size": 77}, f"size=77 does not exist for dagm_2007, mvtec_ad. .*{EXISTING}"),
        ({"recipe": "12x12x1"}, "recipe='12x12x1' does not exist for dagm_2007.*source_dataset="),
        ({"size": 12, "source_dataset": "dagm_2007"}, "Existing recipes: dagm_2007: 8x6x3"),
    ],
)
def test_a_recipe_that_a_selected_dataset_lacks_is_refused_with_those_it_has(
    database: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(LookupError, match=message):
        open_samples(database, **asked)


def test_every_filter_narrows_the_datasets_that_need_the_recipe(database: Path) -> None:
    assert len(open_samples(database, size=12, category="carpet")) == 2
    assert len(open_samples(database, size=12, where="category = 'carpet'")) == 2


def test_native_channels_of_two_kinds_name_a_condition_that_chooses(database: Path) -> None:
    with pytest.raises(ValueError, match="where='height = 10 AND width = 10 AND channels = 1'"):
        of_mvtec(database, size=10)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"size": 8, "recipe": "8x6x3"}, ValueError),
        ({"size": "8"}, TypeError),
        ({"size": (1, 2, 3)}, TypeError),
        ({"recipe": 8}, TypeError),
        ({"recipe": "large"}, ValueError),
    ],
)
def test_what_is_no_size_or_recipe_is_refused(
    database: Path, asked: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        open_samples(database, **asked)


@pytest.mark.slow
def test_a_published_file_without_recipes_has_its_common_one(tmp_path: Path) -> None:
    old = publish_recipes(tmp_path)
    with duckdb.connect(str(old)) as connection:
        connection.execute(
            "DROP VIEW recipe_statistics; DROP TABLE recipes; DROP TABLE recipe_tensors"
        )
    samples = open_samples(old, size=(8, 6))
    assert samples.recipes == {"dagm_2007": ("8x6x3",), "mvtec_ad": ("8x6x3",)}
    assert pickle.loads(pickle.dumps(samples)).images[:].any()
    with pytest.raises(LookupError, match="Existing recipes: dagm_2007: 8x6x3"):
        open_samples(old, size=12)


def test_statistics_are_those_of_the_recipe(database: Path) -> None:
    samples = of_mvtec(database, size=12, category="bottle")
    good = samples.table["split"].to_numpy() == "train"
    normalised = samples.normalised().images[:][good]
    assert np.allclose(normalised.mean((0, 1, 2)), 0, atol=1e-4)
    assert np.allclose(normalised.std((0, 1, 2)), 1, atol=1e-4)


def test_every_recipe_has_a_cache(database: Path, tmp_path: Path) -> None:
    for asked in ({}, {"size": 12}, {"recipe": "12/fit"}, {"recipe": "full/tile=12+4"}):
        samples = of_mvtec(database, **asked)
        assert np.array_equal(samples.cache(tmp_path).images[:], samples.images[:])
    tiles = samples[:3]
    tiles.cache(tmp_path)
    opened = [open_cache(entry.folder) for entry in cached_selections(tmp_path)]
    assert {each.recipe for each in opened} == {"8x6x3", "12x12x1", "12x12x3/fit", samples.recipe}
    assert len(opened) == 5
    assert opened[0].recipes == samples.recipes


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_stitched_tiles_of_an_image_are_the_image(database: Path, dtype: Any) -> None:
    samples = of_mvtec(database, recipe="full/tile=12+4")
    found = samples.stitch(samples.images[:].astype(dtype))
    assert len(found) == 11
    for image_id, image in found.items():
        picture = np.asarray(PICTURES[image_id].convert("RGB"))
        assert image.dtype == dtype
        assert np.array_equal(image, picture)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_overlaps_of_stitched_maps_are_averaged(database: Path, dtype: Any) -> None:
    samples = of_mvtec(database, recipe="full/tile=12+4", category="carpet")
    maps = np.random.default_rng(0).integers(0, 256, (len(samples), 12, 12)).astype(dtype)
    found = samples.stitch(maps)
    for image_id, image in found.items():
        values: dict[tuple[int, int], list[float]] = {}
        for row, tile_map in zip(samples.table.to_pylist(), maps, strict=True):
            left, top, right, bottom = row["box"]
            if row["image_id"] == image_id:
                for y in range(top, bottom):
                    for x in range(left, right):
                        values.setdefault((y, x), []).append(float(tile_map[y - top, x - left]))
        assert max(map(len, values.values())) > 1
        assert len(values) == image.size
        for place, several in values.items():
            mean = sum(several) / len(several)
            assert image[place] == pytest.approx(int(mean + 0.5) if dtype is np.uint8 else mean)


def test_maps_that_cannot_be_stitched_are_refused(database: Path) -> None:
    samples = of_mvtec(database, recipe="full/tile=12+4")
    maps = samples.images[:]
    with pytest.raises(ValueError, match="tile 0 is missing"):
        samples[1:].stitch(maps[1:])
    with pytest.raises(ValueError, match="one map per sample"):
        samples.stitch(maps[1:])
    with pytest.raises(TypeError, match="int64"):
        samples.stitch(maps.astype(np.int64))
    with pytest.raises(ValueError, match="whole images"):
        of_mvtec(database, size=12).stitch(maps)
    with pytest.raises(KeyError, match="several tiles"):
        samples[samples.table["image_id"][0].as_py()]


def test_tiles_of_an_image_stay_together_in_several_queries(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = """
        SELECT image_id, recipe, tile, box, image_tensor FROM recipe_tensors
        WHERE image_id BETWEEN $first AND $last ORDER BY image_id, recipe, tile
    """
    with duckdb.connect(str(database), read_only=True) as connection:
        expected = ranges.fetch_images(connection, query, {}, "recipe_tensors")
        monkeypatch.setattr(ranges, "IMAGES_AT_ONCE", 4)
        assert ranges.fetch_images(connection, query, {}, "recipe_tensors").equals(expected)
    assert len(expected["image_id"].unique()) > 4
