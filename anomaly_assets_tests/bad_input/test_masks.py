"""Test masks of every kind: `value > 0` is a defect, and a check names the unusual ones."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.decoding.transform import UInt8Array, decode_mask
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.bad_input.files import mask_png
from anomaly_assets_tests.bad_input.loading import (
    DECODERS,
    Outcome,
    decoding_with,
    finding,
    load_all,
    offenders,
)
from anomaly_assets_tests.decoding.pictures import png
from anomaly_assets_tests.warehouse.project import SIZE, Project, noise

WIDTH, HEIGHT = SIZE
LEFT_HALF = np.zeros((HEIGHT, WIDTH), bool)
LEFT_HALF[:, :12] = True
LEFT_HALF_TENSOR = bytes([1, 1, 1, 0, 0, 0] * 8)
NONE = bytes(48)


def grey(defect: int, elsewhere: int = 0) -> UInt8Array:
    return np.where(LEFT_HALF, defect, elsewhere).astype(np.uint8)


def coloured(*colour: int) -> UInt8Array:
    return (LEFT_HALF[:, :, None] * np.array(colour)).astype(np.uint8)


def smoothed() -> UInt8Array:
    values = grey(255)
    values[:, 12:15] = 170, 128, 85
    return values


def in_palette(*colour: int) -> Image.Image:
    image = Image.frombytes("P", SIZE, grey(1).tobytes())
    image.putpalette([0, 0, 0, *colour])
    return image


def in_alpha() -> Image.Image:
    return Image.merge("LA", [Image.new("L", SIZE), Image.fromarray(grey(255))])


HALF_MASKS: dict[str, bytes] = {
    "0 and 255": mask_png(grey(255)),
    "0 and 1": mask_png(grey(1)),
    "0 and 7": mask_png(grey(7)),
    "one bit": png(Image.fromarray(grey(255)).convert("1")),
    "16 bits": png(Image.fromarray(grey(1).astype(np.uint16) * 999)),
    "white": mask_png(coloured(255, 255, 255)),
    "red": mask_png(coloured(255, 0, 0)),
    "darkest blue": mask_png(coloured(0, 0, 1)),
    "darkest red": mask_png(coloured(1, 0, 0)),
    "palette": png(in_palette(128, 0, 0)),
    "palette of darkest blue": png(in_palette(0, 0, 1)),
    "opaque": png(Image.fromarray(coloured(255, 255, 255)).convert("RGBA")),
    "half the width": mask_png(grey(255)[::2, ::2]),
    "three times the size": mask_png(np.kron(grey(255), np.ones((3, 3), np.uint8))),
}
"""The left half is defective, in a file of this kind."""

OTHER_MASKS: dict[str, tuple[bytes, bytes]] = {
    "smoothed": (mask_png(smoothed()), bytes([1, 1, 1, 1, 0, 0] * 8)),
    "all zero": (mask_png(grey(0)), NONE),
    "all one": (mask_png(grey(1, 1)), bytes([1] * 48)),
    "drawn in alpha alone": (png(in_alpha()), LEFT_HALF_TENSOR),
    "inverted": (mask_png(grey(0, 255)), bytes([0, 0, 0, 1, 1, 1] * 8)),
}  # fmt: skip
"""Content and the tensor it gives."""

MASKS = {name: (content, LEFT_HALF_TENSOR) for name, content in HALF_MASKS.items()} | OTHER_MASKS
WITH_MASKS = {f"bottle/test/cut/{name}.png": tensor for name, (_, tensor) in MASKS.items()}
STRAY_MASKS = {
    "bottle/ground_truth/good/no image_mask.png": "orphan_mask",
    "bottle/ground_truth/cut/two masks_mask.png": "duplicate_mask",
    "bottle/ground_truth/cut/no image_mask.png": "orphan_mask",
    "cable/ground_truth/000_mask.png": "orphan_mask",
}


def image_id(name: str) -> str:
    return f"mvtec_ad/bottle/test/cut/{name}.png"


@pytest.fixture(scope="module", params=["pillow", "wuffs"])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Outcome]:
    """Load an image with a mask of each kind, good ones with a mask, and one with two masks."""
    project = Project.at(tmp_path_factory.mktemp("masks"))
    for name, (content, _) in MASKS.items():
        project.save({image_id(name): noise(1)})
        project.path(f"mvtec_ad/bottle/ground_truth/cut/{name}_mask.png").write_bytes(content)
    project.save(
        {
            "mvtec_ad/bottle/test/good/000.png": noise(2),
            "mvtec_ad/bottle/test/good/001.png": noise(3),
            "mvtec_ad/bottle/ground_truth/good/001_mask.png": Image.new("L", SIZE),
            "mvtec_ad/bottle/test/cut/no mask.png": noise(2),
            "mvtec_ad/bottle/test/cut/two masks.png": noise(2),
            "mvtec_ad/cable/train/000.png": noise(2),
        }
    )
    drawn = ("bottle/ground_truth/cut/two masks.png", "bottle/ground_truth/good/000_mask.png")
    for path in [*STRAY_MASKS, *drawn]:
        project.path(f"mvtec_ad/{path}").write_bytes(mask_png(grey(255)))
    with decoding_with(request.param):
        return project, load_all(project)


@pytest.mark.slow
@pytest.mark.parametrize("name", MASKS)
def test_a_mask_of_any_kind_gives_the_tensor_of_its_rule(
    loaded: tuple[Project, Outcome], name: str
) -> None:
    assert loaded[1].samples[f"bottle/test/cut/{name}.png"] == MASKS[name][1]


def test_every_image_loads_with_its_mask_or_without(loaded: tuple[Project, Outcome]) -> None:
    assert loaded[1].samples == WITH_MASKS | {
        "bottle/test/good/000.png": None,
        "bottle/test/good/001.png": bytes(48),
        "bottle/test/cut/no mask.png": None,
        "bottle/test/cut/two masks.png": LEFT_HALF_TENSOR,
        "cable/train/000.png": None,
    }
    assert loaded[1].rejected == {}


def test_a_black_mask_of_a_good_image_agrees_and_another_does_not(
    loaded: tuple[Project, Outcome],
) -> None:
    disagreement = "good by its path, but a mask with defective pixels; used: good by path"
    found = offenders(loaded[0], "labels_agree")
    assert {name: detail for name, detail in found.items() if "/good/" in name} == {
        "mvtec_ad/bottle/test/good/000.png": disagreement
    }


def test_a_second_mask_and_masks_without_an_image_are_strays(
    loaded: tuple[Project, Outcome],
) -> None:
    assert loaded[1].strays == STRAY_MASKS
    assert offenders(loaded[0], "masks_belong_to_an_image") == STRAY_MASKS


@pytest.mark.parametrize(
    ("check", "named"),
    [
        (
            "masks_have_the_size_of_their_image",
            {
                image_id("half the width"): "mask 12x8, image 24x16",
                image_id("three times the size"): "mask 72x48, image 24x16",
            },
        ),
        ("masks_are_binary", {image_id("smoothed"): "5 grey values"}),
        (
            "masks_are_not_empty",
            {image_id("all zero"): "no defective pixel"},
        ),
        ("anomalous_images_have_masks", {image_id("no mask"): "cut"}),
    ],
)
def test_a_check_names_exactly_the_odd_masks(
    loaded: tuple[Project, Outcome], check: str, named: dict[str, str]
) -> None:
    assert offenders(loaded[0], check) == named


def test_nothing_else_is_said_about_them(loaded: tuple[Project, Outcome]) -> None:
    for check in ("images_are_usable", "files_are_recognised", "training_images_are_good"):
        assert finding(loaded[0], check).passed


@DECODERS
@pytest.mark.parametrize(
    ("name", "area"), [("0 and 1", 0.5), ("darkest blue", 0.5), ("smoothed", 15 / 24), ("all zero", 0.0)]
)  # fmt: skip
def test_the_area_counts_every_value_above_zero(name: str, area: float, decode_with: str) -> None:
    with decoding_with(decode_with):
        decoded = decode_mask(MASKS[name][0], Recipe(8, 6, 3))
    assert decoded.area_fraction == area
    assert decoded.box == ((0, 0, round(area * WIDTH), HEIGHT) if area else None)
