"""Test that the report names masks that contradict the declaration, and predicts what a run refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.inspection.check import Inspection, inspect
from anomaly_assets.inspection.report import odd
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.warehouse.project import noise

SIZE = 8


def inspected(root: Path, toml: str) -> Inspection:
    found = declared({"line4.toml": f"[line4]\n{toml}".encode()})
    assert [str(problem) for problem in found.problems] == []
    [declaration] = found.declarations
    return inspect(SourceDataset(declaration), open_root(str(root)))


def odd_in(root: Path, toml: str) -> list[str]:
    return list(odd(inspected(root, toml)))


def write(root: Path, path: str, picture: Image.Image) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    picture.save(root / path)


def images(root: Path, count: int, folder: str = "images", suffix: str = "png") -> None:
    for number in range(count):
        write(root, f"{folder}/{number}.{suffix}", noise(number, size=(SIZE, SIZE)))


def masks(root: Path, count: int, value: object, mode: str = "L") -> None:
    for number in range(count):
        drawn = Image.new(mode, (SIZE, SIZE))
        if mode == "P":
            drawn.putpalette([each for grey in range(256) for each in (255 - grey, grey, 0)])
        drawn.paste(value, (1, 1, 4, 4))  # type: ignore[arg-type]
        write(root, f"masks/{number}.png", drawn)


DRAWN = 'images = ["images/{name}"]\nmasks = [{ path = "masks/{name}", defect = %s }]\n'
SHAPES = 'images = ["images/{name}"]\nmasks = [{ path = "{name}.json", read = "labelme", %s }]\n'


def test_a_colour_that_no_mask_contains(tmp_path: Path) -> None:
    images(tmp_path, 2)
    masks(tmp_path, 2, (255, 0, 0), "RGB")
    [found] = odd_in(tmp_path, DRAWN % '["#fe0000"]')
    assert found.startswith(
        "No mask that was read contains #fe0000; they contain #000000, #ff0000. Every image with "
        "such a mask counts as good"
    )
    assert "No image is good." in odd_in(tmp_path, DRAWN % '["#ff0000"]')


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_number_that_no_mask_contains(mode: str, tmp_path: Path) -> None:
    images(tmp_path, 2)
    masks(tmp_path, 2, (3, 3, 3) if mode == "RGB" else 3, mode)
    [found] = odd_in(tmp_path, DRAWN % "[2, 255]")
    assert found.startswith("No mask that was read contains 2 or 255; they contain 0, 3.")


def test_a_shape_that_no_file_contains(tmp_path: Path) -> None:
    images(tmp_path, 3)
    for number in range(3):
        names = ["crack", "part"][: 1 + number % 2]
        points = [[1, 1], [5, 1], [5, 5]]
        shapes = [{"label": n, "points": points, "shape_type": "polygon"} for n in names]
        content = {"shapes": shapes, "imageHeight": SIZE, "imageWidth": SIZE}
        (tmp_path / f"{number}.json").write_text(json.dumps(content))
    [found] = odd_in(tmp_path, SHAPES % 'shapes = ["crak"]')
    assert found.startswith(
        'No mask that was read contains "crak"; they contain "crack" (3), "part" (1).'
    )
    assert odd_in(tmp_path, SHAPES % 'shapes = ["crack"]') == ["No image is good."]


@pytest.mark.parametrize(("count", "says"), [(2, False), (3, True)])
def test_masks_without_any_defect(count: int, says: bool, tmp_path: Path) -> None:
    images(tmp_path, count)
    masks(tmp_path, count, 0)
    found = odd_in(tmp_path, DRAWN % '"nonzero"')
    said = "None of the 3 masks that were read has a defective pixel: every image with one counts as good"
    assert any(sentence.startswith(said) for sentence in found) == says


def test_masks_that_are_jpeg(tmp_path: Path) -> None:
    images(tmp_path, 2)
    for number in range(2):
        drawn = Image.new("L", (SIZE, SIZE))
        drawn.paste(255, (1, 1, 4, 6))
        write(tmp_path, f"masks/{number}.jpg", drawn)
    toml = DRAWN % '"nonzero"'
    assert any("which is lossy" in sentence for sentence in odd_in(tmp_path, toml))
    masks(tmp_path, 2, 255)
    for number in range(2):
        (tmp_path / f"masks/{number}.jpg").unlink()
    assert not any("lossy" in sentence for sentence in odd_in(tmp_path, toml))


def deep(value: int) -> Image.Image:
    return Image.fromarray(np.full((SIZE, SIZE), value, np.uint16))


def test_some_images_of_16_bits_without_a_depth(tmp_path: Path) -> None:
    images(tmp_path, 30, "ok")
    write(tmp_path, "ok/deep.tif", deep(4000))
    toml = 'images = ["{label}/{name}"]\n'
    found = inspected(tmp_path, toml)
    [sentence] = odd(found)
    assert sentence.startswith(
        "1 of the 21 images that were read would be rejected (needs_bit_depth), such as ok/deep.tif: The "
        "file has values of 16 bits"
    )
    assert sentence.endswith("In the TOML file, depth = 12 is the same as LINE4_DEPTH=12.")
    assert found.would_load


def test_a_root_of_which_no_image_can_be_used(tmp_path: Path) -> None:
    write(tmp_path, "ok/deep.tif", deep(4000))
    (tmp_path / "ok/broken.png").write_bytes(b"x")
    found = inspected(tmp_path, 'images = ["{label}/{name}"]\n')
    assert list(odd(found))[-1] == "None of the images that were read can be used."
    assert not found.would_load


def test_a_root_of_which_most_files_are_strays(tmp_path: Path) -> None:
    images(tmp_path, 2, "ok")
    toml = 'images = ["{label}/{name}"]\n'
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("x")
        assert inspected(tmp_path, toml).would_load == (number < 2)
    [sentence] = odd_in(tmp_path, toml)
    assert sentence.startswith("The first run would refuse this root. ")
    assert "3 of 5 files belong to no image of line4 (3 unrecognised_path)" in sentence


def test_strays_that_would_be_images_or_masks(tmp_path: Path) -> None:
    images(tmp_path, 3, "ok")
    images(tmp_path, 2, "old")
    toml = 'images = ["**/{name}"]\nlabel = "good"\nstrays = ["old/*"]\n'
    [sentence] = odd_in(tmp_path, toml)
    assert sentence == "2 files match `strays` and would be images otherwise, such as old/0.png."


def test_images_that_are_much_smaller_than_most(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path, f"ok/{number}.png", noise(number, size=(64, 64)))
    write(tmp_path, "ok/small.png", noise(9, size=(16, 16)))
    [sentence] = odd_in(tmp_path, 'images = ["{label}/{name}"]\n')
    assert sentence.startswith(
        "1 of the 5 images that were read are much smaller than the others, such as ok/small.png (16 x 16)"
    )


def test_files_without_a_suffix_in_the_place_of_images(tmp_path: Path) -> None:
    images(tmp_path, 3, "a.b")
    for name in ("one", "two", "three.gif"):
        (tmp_path / "a.b" / name).write_bytes(b"x")
    [sentence] = odd_in(tmp_path, 'images = ["*/{name}"]\nlabel = "good"\n')
    assert sentence == (
        "Files in the place of images have another suffix: 2 with no suffix, 1 with .gif. See the key "
        "`formats`."
    )


def test_an_image_whose_mask_cannot_be_read_is_unknown_as_in_a_run(tmp_path: Path) -> None:
    images(tmp_path, 2)
    for number, text in enumerate(("{", json.dumps({"shapes": []}))):
        (tmp_path / f"images/{number}.json").write_text(text)
    toml = 'images = ["images/{name}"]\nmasks = [{ path = "images/{name}.json", read = "labelme" }]'
    found = inspected(tmp_path, toml)
    assert [image.label for image in found.images] == ["unknown", "good"]
