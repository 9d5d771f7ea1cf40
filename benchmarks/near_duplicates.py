"""Plant copies among images, and print how many are found as near duplicates, and how many others are.

    python -m benchmarks.near_duplicates              # recall and false pairs
    python -m benchmarks.near_duplicates --load 400   # processor time of a first load

The images are parts in a fixture, drawn here, more of the synthetic samples, and the real excerpts if they
are available. A copy is a file that is decoded like any other. Each distortion is planted alone, in a few
images at a time, so that copies stay as rare as they are in a folder.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomaly_assets.arguments import at_least
from anomaly_assets.decoding import batch
from anomaly_assets.decoding.open import open_compute
from anomaly_assets.decoding.thumbnail import SIDE, thumbnail_of
from anomaly_assets.decoding.transform import decode_image
from anomaly_assets.near_duplicates.measure import near_pairs
from anomaly_assets.recipes import SIMD, Recipe
from anomaly_assets_tests.warehouse.project import Project
from benchmarks.trees import REAL, build_tree, pictures
from tools.synthetic_samples import Drawing, draw_bolt, draw_surface, draw_woven

SPEC = Recipe(resize=SIMD)
SIZE = 512
"""Height and width of the drawn parts, in pixels."""

_COPIES = 40
"""Maximum number of images of a category of which copies are planted, per distortion."""

Thumbnails = npt.NDArray[np.uint8]


def _as_file(picture: Image.Image, kind: str = "BMP", **options: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def _rescaled(picture: Image.Image, factor: float) -> bytes:
    width, height = picture.size
    return _as_file(
        picture.resize((int(width * factor), int(height * factor)), Image.Resampling.BICUBIC)
    )


def _brighter(picture: Image.Image) -> bytes:
    return _as_file(picture.point(lambda value: min(255, round(value * 1.05))))


def _cropped(picture: Image.Image, left: int, top: int, right: int, bottom: int) -> bytes:
    width, height = picture.size
    return _as_file(picture.crop((left, top, width - right, height - bottom)))


DISTORTIONS: Mapping[str, Callable[[Image.Image], bytes]] = {
    "JPEG 70": partial(_as_file, kind="JPEG", quality=70),
    "half size": partial(_rescaled, factor=0.5),
    "size x 1.5": partial(_rescaled, factor=1.5),
    "5 % brighter": _brighter,
    "6 px off all sides": lambda picture: _cropped(picture, 6, 6, 6, 6),
    "6 px off two sides": lambda picture: _cropped(picture, 6, 6, 0, 0),
}


def parts(seed: int, count: int, surface: float, jitter: float) -> Iterator[Image.Image]:
    """Draw parts of one kind in a fixture, grey.

    Args:
        seed: Seed of the kind.
        count: Number of parts.
        surface: Amplitude of what is individual about the surface of each part, in grey levels.
        jitter: Standard deviation of the position, in pixels, and of the angle, in fifths of a degree.
    """
    shape = _shape(np.random.default_rng(seed))
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) / SIZE
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        turn = np.radians(rng.normal(0, 0.2 * jitter))
        left, top = rng.normal(0, jitter, 2) / SIZE
        x, y = axis[None, :] - left, axis[:, None] - top
        value = shape(x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn))
        value += surface / 2 * sum(_noise(rng, cells) for cells in (9, 21, 47, 101))
        towards = rng.uniform(0, 2 * np.pi)
        light = x * np.cos(towards) + y * np.sin(towards)
        value *= (1 + rng.normal(0, 0.015)) * (1 + rng.normal(0, 0.04) * light)
        value += rng.normal(0, 1.5, value.shape)  # noise of the sensor
        yield Image.fromarray(np.clip(value, 0, 255).astype(np.uint8))


Axes = npt.NDArray[np.float64]


def _shape(rng: np.random.Generator) -> Callable[[Axes, Axes], Axes]:
    """Return a function that draws a plate with ellipses and boxes; coordinates are -0.5 to 0.5."""
    features = [
        (
            rng.random() < 0.4,
            *rng.uniform(-0.35, 0.35, 2),
            *rng.uniform(0.03, 0.16, 2),
            *rng.uniform(-1, 1, 2),
        )
        for _ in range(14)
    ]

    def drawn(x: Axes, y: Axes) -> Axes:
        plate = _inside((np.maximum(abs(x), abs(y)) / 0.42 - 1) * 0.42)
        value = 60 + 90 * plate
        for is_round, left, top, width, height, angle, brightness in features:
            turn = angle * np.pi / 2
            along = ((x - left) * np.cos(turn) + (y - top) * np.sin(turn)) / width
            across = ((y - top) * np.cos(turn) - (x - left) * np.sin(turn)) / height
            outline = np.hypot(along, across) if is_round else np.maximum(abs(along), abs(across))
            value += 70 * brightness * plate * _inside((outline - 1) * min(width, height))
        return value

    return drawn


def _inside(distance: Axes) -> Axes:
    """Return 1 inside an outline and 0 outside, with an edge of about two pixels."""
    return 1 / (1 + np.exp(np.clip(distance * SIZE, -30, 30)))


def _noise(rng: np.random.Generator, cells: int) -> npt.NDArray[np.float32]:
    grid = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def categories(count: int) -> Iterator[tuple[str, list[Image.Image]]]:
    """Yield the name and the images of each category."""
    for name, folder in _REAL.items():
        files = sorted(
            path for path in (REAL / folder).rglob("*.*") if path.suffix.lower() == ".png"
        )
        found = [path for path in files if not {"ground_truth", "Label"} & {*path.parts}]
        if found:
            yield name, [Image.open(path).copy() for path in found]
    for seed, (surface, jitter) in enumerate(((6, 0), (6, 1), (3, 1), (3, 3)), 1):
        yield f"parts, surface {surface}, jitter {jitter}", [*parts(seed, count, surface, jitter)]
    synthetic: dict[str, Callable[[np.random.Generator], Drawing]] = {
        "bolt": draw_bolt,
        "woven": draw_woven,
        "mottled": partial(draw_surface, texture="mottled"),
        "brushed": partial(draw_surface, texture="brushed"),
    }
    for name, draw in synthetic.items():
        generators = (np.random.default_rng([7, number]) for number in range(count // 3))
        yield name, [Image.fromarray(draw(rng).image) for rng in generators]


_REAL = {
    "real: leather": "official_layout/mvtec_ad/leather",
    "real: Class8": "official_layout/dagm_2007/Class8",
    "real: bottle": "seed_excerpt/mvtec_excerpt/bottle",
    "real: Class1": "seed_excerpt/dagm_excerpt/Class1",
}


def _thumbnails(files: Sequence[bytes]) -> Thumbnails:
    made = b"".join(thumbnail_of(decode_image(content, SPEC).pixels) or b"" for content in files)
    return np.frombuffer(made, np.uint8).reshape(-1, SIDE, SIDE)


def planted(originals: Thumbnails, copies: Thumbnails) -> tuple[int, int, int]:
    """Plant copies of the first images, a few at a time.

    Args:
        originals: Thumbnails of a category, uint8, N x `SIDE` x `SIDE`.
        copies: Thumbnails of copies of its first images.

    Returns:
        Copies that were found, pairs that are no copies, and images that were compared.
    """
    found = false = images = 0
    at_once = max(1, len(originals) // 20)
    for start in range(0, len(copies), at_once):
        part = copies[start : start + at_once]
        both = np.concatenate([originals, part])
        contents, splits = np.arange(len(both)), np.zeros(len(both), np.int64)
        pairs = {(one, other) for one, other, _ in near_pairs(both, contents, splits)}
        expected = {(start + number, len(originals) + number) for number in range(len(part))}
        found += len(pairs & expected)
        false += len(pairs - expected)
        images += len(both)
    return found, false, images


def measure_recall(count: int) -> None:
    """Print, for each category and distortion, the copies that are found, and the false pairs."""
    names = "".join(f"{name:>20}" for name in DISTORTIONS)
    print(f"{'category':30}{names}{'false/1,000 images':>20}", flush=True)
    for name, images in categories(count):
        originals = _thumbnails([_as_file(image) for image in images])
        shares, false, compared = "", 0, 0
        for distort in DISTORTIONS.values():
            copies = _thumbnails([distort(image) for image in images[:_COPIES]])
            found, wrong, tried = planted(originals, copies)
            share = f"{found} of {len(copies)} ({found / len(copies):.0%})"
            shares, false, compared = f"{shares}{share:>20}", false + wrong, compared + tried
        print(f"{name:30}{shares}{1000 * false / compared:20.1f}", flush=True)


def measure_load(count: int, pairs: int) -> None:
    """Print the processor time of a first load with thumbnails, divided by that of one without."""
    ratios = []
    with tempfile.TemporaryDirectory(prefix="anomaly-bench-") as folder:
        work = Path(folder)
        tree = build_tree(work, "tree", pictures(work), count)
        for number in range(pairs):
            times = []
            order = (True, False) if number % 2 else (False, True)
            for with_thumbnails in order:
                times.append(
                    _load_seconds(
                        work / f"{number}-{with_thumbnails}", work / "tree", with_thumbnails
                    )
                )
            seconds = dict(zip(order, times, strict=True))
            ratios.append(seconds[True] / seconds[False])
            print(
                f"{seconds[True]:.2f} s with, {seconds[False]:.2f} s without: {ratios[-1]:.3f}",
                flush=True,
            )
    print(f"{tree.images} images, median of {pairs} pairs: {median(ratios):.3f}")


def _load_seconds(folder: Path, roots: Path, with_thumbnails: bool) -> float:
    folder.mkdir()
    project = Project.at(folder, roots)
    project.list_files()
    made = thumbnail_of if with_thumbnails else _no_thumbnail
    started = sum(os.times()[:2])
    with patch.object(batch, "thumbnail_of", made):
        project.build(
            SPEC, compute=lambda: open_compute("threads", project.roots(), SPEC, workers=1)
        )
    return sum(os.times()[:2]) - started


def _no_thumbnail(_pixels: Thumbnails) -> bytes | None:
    return None


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.near_duplicates", description=__doc__
    )
    parser.add_argument(
        "--images", type=at_least(30), default=300, help="images per drawn category"
    )
    parser.add_argument(
        "--load", type=at_least(50), help="measure a first load of about this many images"
    )
    parser.add_argument("--pairs", type=at_least(1), default=5, help="pairs of loads")
    options = parser.parse_args()
    if options.load:
        measure_load(options.load, options.pairs)
    else:
        measure_recall(options.images)


if __name__ == "__main__":
    main()
