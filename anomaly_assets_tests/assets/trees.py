"""Write tiny roots: real PNG files of 16 x 16 pixels, all with different content."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from anomaly_assets_tests.decoding import pictures

if TYPE_CHECKING:
    from anomaly_assets_tests.assets.environment import Environment

SIDE = 16

MVTEC_IMAGES = (
    *(f"{category}/train/good/00{n}.png" for category in ("bolt", "woven") for n in range(3)),
    "bolt/test/good/000.png",
    "bolt/test/scratch/000.png",
    "woven/test/tear/000.png",
)
MVTEC_MASKS = ("bolt/ground_truth/scratch/000_mask.png", "woven/ground_truth/tear/000_mask.png")
DAGM_IMAGES = (
    "Class1/Train/0003.PNG",
    "Class1/Train/0004.PNG",
    "Class1/Test/0001.PNG",
    "Class1/Test/0002.PNG",
)
DAGM_MASKS = ("Class1/Train/Label/0004_label.PNG", "Class1/Test/Label/0002_label.PNG")


def write_tiny_roots(environment: "Environment") -> None:
    """Write nine images of two categories, and four images of a class without `Labels.txt`; no faults."""
    for root, images, masks in (
        (environment.mvtec_ad, MVTEC_IMAGES, MVTEC_MASKS),
        (environment.dagm_2007, DAGM_IMAGES, DAGM_MASKS),
    ):
        for path in images:
            write_image(root, path)
        for path in masks:
            write_mask(root, path)


def write_image(root: Path, path: str, content: bytes | None = None) -> bytes:
    """Write a grey image that no other path has, or the given bytes, and return the bytes."""
    return _write(root, path, grey_png(path) if content is None else content)


def write_mask(
    root: Path, path: str, *, side: int = SIDE, values: tuple[int, ...] = (255,)
) -> None:
    """Write a black mask whose first pixels have these values."""
    pixels = np.zeros((side, side), np.uint8)
    pixels.flat[: len(values)] = values
    _write(root, path, png(pixels))


def grey_png(seed: str) -> bytes:
    """Return a grey image that depends on the text."""
    random = np.random.default_rng(list(seed.encode()))
    return png(random.integers(0, 256, (SIDE, SIDE), np.uint8))


def png(pixels: np.ndarray) -> bytes:
    """Return an array as a PNG file."""
    return pictures.png(Image.fromarray(pixels))


def _write(root: Path, path: str, content: bytes) -> bytes:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return content
